"""The files of the host for the mini-server, as a page: `python -m tests.docs.host_files` writes it anew."""

from pathlib import Path

from transfer.app.hosting import files_of
from transfer.config import load_config

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE, PAGE = DOCS / "howto" / "mini-server.toml", DOCS / "reference" / "host-files.md"
_HEAD = (
    "# The files of the host\n\n"
    "What `kspace host files` makes of [mini-server.toml](../howto/mini-server.toml), the 4-bay mini-server beside two "
    "scanners. This page is made by `python -m tests.docs.host_files`; a test sees that it is fresh. "
    "[hardware/README.md](../../hardware/README.md) says what each file is for.\n"
)


def page() -> str:
    """Return the page as it must be."""
    made = files_of(load_config(EXAMPLE))
    first = ("INSTALL.txt", "NETWORK.txt", "POOL.sh")
    names = [*first, *(name for name in made if name not in first)]
    return _HEAD + "".join(f"\n## {name}\n\n```\n{made[name]}```\n" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
