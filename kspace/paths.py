"""Two habits with files: absolute paths in a configuration, and folders that are synced before anything is promised."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        # Not quoted: where a secret's file is wanted, somebody may have written the secret.
        raise ValueError("this must be an absolute path: it begins with /")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""A path that begins at the root: nobody should have to know where a service was started."""


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries (a new or renamed file) are on the disk."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Return once what was written to the file, by whomever, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
