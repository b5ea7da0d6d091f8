"""Whole practice files as the walk sees them, and programs in the place of the readers."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kspace.preview.quicklook import Limits
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.app.rawfile import RawFile, look_into


@pytest.fixture
def practice(tmp_path) -> Callable[..., RawFile]:
    """Write one practice file of the given fields and return it as it was walked."""

    def write(**fields) -> RawFile:
        path = tmp_path / "practice.dat"
        write_twix(path, Synthetic(**fields))
        return look_into(path)

    return write


@pytest.fixture
def command(tmp_path) -> Callable[[str], tuple[str, str]]:
    """Turn a program's text into the command of a child; it is given a reader's name, a file and a folder."""

    def write(text: str) -> tuple[str, str]:
        program = tmp_path / "reader.py"
        program.write_text(f"import os, signal, sys\nfrom pathlib import Path\n{text}\n")
        return sys.executable, str(program)

    return write


@pytest.fixture
def tight() -> Limits:
    return Limits(wall_s=3.0, cpu_s=1, memory_bytes=256 << 20)


@pytest.fixture
def twix_samples(data_folder) -> list[Path]:
    """The whole real files."""
    found = (path for path in (data_folder / "twix").rglob("*") if path.suffix in {".dat", ".twix"})
    return sorted(path for path in found if "incomplete" not in path.name)
