"""How this process's memory comes and goes while chunks of many megabytes pass through it."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""From glibc's malloc.h; mallopt(3)."""
_KEPT_BYTES = 128 << 20
_MOST_BLOCK_BYTES = 32 << 20
"""The most that older glibc takes as its threshold; a chunk is 16 MiB."""
_ARENAS = 2
"""Else each of some thirty threads keeps what it once used for itself."""


def keep_large_blocks() -> None:
    """Have malloc use freed blocks of a chunk's size again, whichever thread freed them; called before any thread is.

    By default each of the buffers that a codec library makes for itself comes as fresh pages from the kernel, at a page
    fault every 4 KiB: a third of the processor time of a pack. Another C library than glibc is left as it is.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
