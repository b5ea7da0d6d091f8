"""The child process: ``python -m kspace.preview READER FILE FOLDER`` writes preview.png and preview.json there."""

import json
import sys
from pathlib import Path


def main(reader: str, path: str, folder: str) -> None:
    """Draw one file; whatever goes wrong ends the process with the error's name as the last word on stderr."""
    sys.excepthook = lambda kind, *_: sys.stderr.write(f"\n{kind.__name__}\n") and None
    # Only here: numpy and the readers cost seconds and a gigabyte of address space.
    from kspace.preview import drawing, png, readers  # noqa: PLC0415 -- the reason above

    look = drawing.draw(readers.READERS[reader](path))
    (Path(folder) / "preview.png").write_bytes(png.encode(look.pixels))
    (Path(folder) / "preview.json").write_text(json.dumps(look.told), encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
