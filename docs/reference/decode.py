"""Restore a raw file from a copy of its folder in the archive, without the relay: python decode.py FOLDER OUT.dat

Needs Python 3.10 or later, numpy and zstandard. The format: docs/design/container.md. Nothing counts before the digests
agree: each chunk's, then the whole file's. Ends with 0 only if OUT.dat is byte for byte the file on the scanner.
"""

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import zstandard


def decode_zstd(stored, raw_bytes):
    """Decode one zstd frame that states its size (RFC 8878)."""
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw_bytes), np.uint8)


def decode_twx(stored, raw_bytes):
    """Put a TWIX-aware chunk together: headers from the side frame, samples from four planes of their bytes."""
    if stored[:4] != b"TWX1":
        return decode_zstd(stored, raw_bytes)
    ends = 24 + np.concatenate(([0], np.cumsum(np.frombuffer(stored, "<u4", 5, 4), dtype=int)))
    side, *planes = (zstandard.ZstdDecompressor().decompress(stored[a:b]) for a, b in pairwise(ends))
    is_integers, header, channel_header, runs, exceptions = np.frombuffer(side, "<u4", 5).tolist()
    words = sum(np.frombuffer(plane, np.uint8).astype("<u4") << 8 * number for number, plane in enumerate(planes))
    if is_integers:
        integers = (words >> 1).view("<i4") ^ -(words & 1).view("<i4")
        words = (integers.astype("<f4") * np.float32(2.0**-32)).view("<u4")
    table = np.frombuffer(side, "<u4", 4 * runs, 20).reshape(runs, 4).tolist()
    places, bits = np.frombuffer(side, "<u4", 2 * exceptions, 20 + 16 * runs).reshape(2, exceptions)
    words[places] = bits
    raw, rest, at, value = np.empty(raw_bytes, np.uint8), side[20 + 16 * runs + 8 * exceptions :], 0, 0
    for gap, count, channels, samples in table:
        raw[at : at + gap], rest, at = np.frombuffer(rest, np.uint8, gap), rest[gap:], at + gap
        size = header + channels * (channel_header + 8 * samples)
        readouts = raw[at : at + count * size].reshape(count, size)
        of_channels = readouts[:, header:].reshape(count, channels, -1)
        for place in (readouts[:, :header], of_channels[:, :, :channel_header]):
            columns = np.frombuffer(rest, "<u4", place.size // 4).reshape(-1, count)
            place[:] = np.cumsum(columns, axis=1, dtype="<u4").T.copy().view(np.uint8).reshape(place.shape)
            rest = rest[place.size :]
        place = of_channels[:, :, channel_header:]
        place[:] = words[value : value + place.size // 4].view(np.uint8).reshape(place.shape)
        value, at = value + place.size // 4, at + count * size
    raw[at:] = np.frombuffer(rest, np.uint8)
    return raw


DECODERS = {"zstd": decode_zstd, "twx": decode_twx}
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
