"""Restore a raw file from a copy of its folder in the archive, without the relay: python decode.py FOLDER OUT.dat

Needs Python 3.10 or later, numpy and zstandard. The format: docs/design/container.md. Nothing counts before the digests
agree: each chunk's, then the whole file's. Ends with 0 only if OUT.dat is byte for byte the file on the scanner.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import zstandard


def decode_zstd(stored, raw_bytes):
    """Decode one zstd frame that states its size (RFC 8878)."""
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw_bytes), np.uint8)


DECODERS = {"zstd": decode_zstd}
"""By the codec's name in the chunk table: functions of the stored bytes and the raw length that give the raw bytes."""


def packed(folder):
    """Yield the packed file in blocks: the parts in order, zeros for what is missing so that all keeps its place."""
    try:
        parts = [(p["name"], p["size"]) for p in json.loads((folder / "delivery.json").read_bytes())["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        parts = [(path.name, path.stat().st_size) for path in sorted(folder.glob("part-*.bin"))]
    for name, size in parts:
        path, left = folder / Path(name).name, size
        if path.is_file():
            with path.open("rb") as handle:
                while left and (block := handle.read(min(left, 1 << 20))):
                    left -= len(block)
                    yield block
        while left:
            yield bytes(min(left, 1 << 20))
            left -= min(left, 1 << 20)


def restore(folder, out):
    """Write the file and return how it differs from the original: nothing, if it does not."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    if (manifest["format"], manifest["version"]) != ("kspace-capture", 1):
        return ["The manifest is of another version than this program reads."]
    problems, whole, blocks, held = [], hashlib.sha256(), packed(folder), bytearray()
    with out.open("xb") as target:
        for row in manifest["chunks"]:
            chunk = dict(zip(manifest["chunk_columns"], row, strict=True))
            while len(held) < chunk["stored_bytes"] and (block := next(blocks, b"")):
                held += block
            stored, at = bytes(held[: chunk["stored_bytes"]]), target.tell()
            del held[: chunk["stored_bytes"]]
            if hashlib.sha256(stored).hexdigest() == chunk["sha256"]:
                raw = DECODERS[chunk["codec"]](stored, chunk["raw_bytes"])
            else:
                problems.append(f"Bytes {at} to {at + chunk['raw_bytes']} cannot be had; zeros stand for them.")
                raw = np.zeros(chunk["raw_bytes"], np.uint8)
            whole.update(raw)
            target.write(raw)
        size = target.tell()
    if (size, whole.hexdigest()) != (manifest["source"]["size"], manifest["source"]["sha256"]):
        problems.append(f"{out} is not the original file.")
    return problems


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit("\n".join(restore(Path(sys.argv[1]), Path(sys.argv[2]))) or 0)
