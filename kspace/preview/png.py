"""PNG from pixels, as ISO/IEC 15948 (PNG specification, second edition) lays it out: no filter, no interlace."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR = 2


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG of RGB pixels, shaped (rows, columns, 3)."""
    rows, columns, _ = pixels.shape
    unfiltered = np.insert(pixels.reshape(rows, columns * 3), 0, 0, axis=1).tobytes()
    header = struct.pack(">IIBBBBB", columns, rows, 8, _TRUE_COLOUR, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(unfiltered)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
