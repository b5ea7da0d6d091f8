"""The stand-alone decoder of the documents works in an environment that holds nothing else, and so does stock zstd."""

import hashlib
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from kspace.container import cut
from kspace.manifest import write_manifest
from kspace.pack import pack
from kspace.sources.share import PLUGIN as SHARE
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.stages.cutting import cut_parts

ROOT = Path(__file__).parents[2]
DECODER = ROOT / "docs" / "reference" / "decode.py"
WANTED = ("numpy", "zstandard")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Return the Python of an environment with nothing but the two libraries, as the lock pins them."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    pinned = [block for block in blocks if block.partition("==")[0] in WANTED]
    assert len(pinned) >= len(WANTED)
    (folder / "pinned.txt").write_text("\n".join(pinned))
    where = next(folder.glob("lib/python*/site-packages"))
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--target", where]
    command = [sys.executable, "-m", "pip", "install", "-qq", *options, "-r", folder / "pinned.txt"]
    subprocess.run(command, check=True)
    assert {path.name.partition("-")[0] for path in where.glob("*.dist-info")} == set(WANTED)
    return folder / "bin" / "python"


@pytest.fixture(params=["auto", "zstd"])
def archived(tmp_path, request) -> tuple[Path, bytes]:
    """Return a capture's folder as it lies in an archive, and the original file's bytes."""
    source, packed = tmp_path / "scanner" / "meas.dat", tmp_path / "1.packed"
    source.parent.mkdir()
    write_twix(source, Synthetic(mid=1, readouts=40), Synthetic(mid=2, readouts=90))
    share = SHARE.build(SHARE.settings(path=source.parent))
    with share.open("meas.dat") as reader:
        found = pack(reader, size=source.stat().st_size, target=packed, codec=request.param, chunk_bytes=65_536)
    folder = tmp_path / "0000002-archived"
    folder.mkdir()
    parts = cut_parts(packed, found.chunks, part_bytes=100_000, progress=lambda: None)
    assert len(parts) == len(cut(found.chunks, part_bytes=100_000)) > 3
    data = packed.read_bytes()
    for part in parts:
        (folder / part.name).write_bytes(data[part.offset : part.offset + part.size])
    (folder / "manifest.json").write_bytes(write_manifest(found, source_name=None))
    (folder / "delivery.json").write_text(json.dumps({"parts": [{"name": p.name, "size": p.size} for p in parts]}))
    return folder, source.read_bytes()


def decoded(python: Path, folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [python, "-I", DECODER, folder, out]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_decoder_gives_the_original_back(python, archived, tmp_path):
    folder, original = archived
    for is_there in (True, False):
        out = tmp_path / f"{is_there}.dat"
        assert decoded(python, folder, out).returncode == 0
        assert out.read_bytes() == original
        (folder / "delivery.json").unlink(missing_ok=True)


def test_the_decoder_names_what_cannot_be_had_and_keeps_the_rest_in_place(python, archived, tmp_path):
    folder, original = archived
    (folder / "part-00002.bin").unlink()
    said = decoded(python, folder, tmp_path / "out.dat")
    assert said.returncode == 1
    assert "is not the original file" in said.stderr
    holes = [tuple(map(int, pair)) for pair in re.findall(r"Bytes (\d+) to (\d+)", said.stderr)]
    assert holes
    kept, expected = bytearray((tmp_path / "out.dat").read_bytes()), bytearray(original)
    for start, end in holes:
        assert not any(kept[start:end])
        expected[start:end] = bytes(end - start)
    assert kept == expected


@pytest.mark.parametrize("archived", ["zstd"], indirect=True)
def test_stock_zstd_gives_the_original_back(archived, requires):
    folder, original = archived
    zstd = requires("zstd")
    command = f"cat part-*.bin | {zstd} -dc"
    out = subprocess.run(["sh", "-c", command], check=True, cwd=folder, capture_output=True).stdout
    assert out == original
    said = json.loads((folder / "manifest.json").read_bytes())["source"]
    assert hashlib.sha256(out).hexdigest() == said["sha256"]
