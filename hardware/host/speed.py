"""How fast the disk under a folder writes to the platter, and reads back what is not in memory."""

import os
import time
from pathlib import Path

_BLOCK = 1 << 20


def measure(path: Path, *, size: int) -> tuple[float, float]:
    """Return bytes a second written and synced, then read, of a file that is removed again.

    Raises:
        OSError: the disk takes or gives no more.
    """
    block = os.urandom(_BLOCK)
    began = time.monotonic()
    try:
        with path.open("xb", buffering=0) as out:
            for _ in range(0, size, _BLOCK):
                out.write(block)
            os.fsync(out.fileno())
            written = size / (time.monotonic() - began)
            os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.monotonic()
        with path.open("rb", buffering=0) as back:
            while back.read(_BLOCK):
                pass
        return written, size / (time.monotonic() - began)
    finally:
        path.unlink(missing_ok=True)
