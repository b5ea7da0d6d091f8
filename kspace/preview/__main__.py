"""The child process: ``python -m kspace.preview READER FILE FOLDER`` writes preview.png and preview.json, or error."""

import json
import signal
import sys
from pathlib import Path

_LAST_RESORT_S = 600


def main(reader: str, path: str, folder: str) -> None:
    """Draw one file; of whatever goes wrong only the error's name is left, in a file named ``error``."""
    sys.excepthook = lambda kind, *_: (Path(folder) / "error").write_text(kind.__name__) and None
    # The parent's own limit is far shorter; this one is for a parent that was killed.
    signal.alarm(_LAST_RESORT_S)
    # Only here: numpy and the readers take a second to load, and may fail at it.
    from kspace.preview import drawing, png, readers  # noqa: PLC0415 -- the reason above

    look = drawing.draw(readers.READERS[reader](path))
    (Path(folder) / "preview.png").write_bytes(png.encode(look.pixels))
    (Path(folder) / "preview.json").write_text(json.dumps(look.told), encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
