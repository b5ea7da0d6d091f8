"""Folders and files in a configuration are absolute: nobody should have to know where a service was started."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} must be an absolute path, such as /srv/{path.name}")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""A path that begins at the root."""
