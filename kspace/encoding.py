"""Encodes chunks on threads of its own while their file is still being read, and appends them in their order."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import structlog

from kspace.chunks import Coders, Encoded, encode
from kspace.container import PackedFile
from kspace.errors import SourceError

_THREADS = 2
_SYNC_BYTES = 256 << 20
"""Stored, so much at the most has to be read again after a power cut."""


_log = structlog.get_logger()


class _Own(threading.local):
    """Of each thread its own, and a list of them all."""

    def __init__(self, of_all: list[Coders]) -> None:
        self.coders = Coders()
        of_all.append(self.coders)


class Encoding:
    """A few chunks at a time, in buffers that are used again; what they go through releases the interpreter's lock.

    Use as a context manager, from one thread. At its end, also where the source failed, what was put is appended.

    Raises:
        SpoolError: at whatever step: a codec gave back other bytes, or the disk refuses.
    """

    def __init__(
        self,
        packed: PackedFile,
        *,
        codec: str,
        buffer_bytes: int,
        progress: Callable[[int], None],
        sync_bytes: int = _SYNC_BYTES,
    ) -> None:
        self._packed = packed
        self._codec = codec
        self._buffer_bytes = buffer_bytes
        self._progress = progress
        self._sync_bytes = sync_bytes
        self._of_all: list[Coders] = []
        self._own = _Own(self._of_all)
        self._threads = ThreadPoolExecutor(_THREADS, "encode")
        self._disk = ThreadPoolExecutor(1, "append")
        self._syncs = ThreadPoolExecutor(1, "sync")
        self._on_its_way: deque[Future[int]] = deque()
        self._free: list[bytearray] = []
        self._sync: Future[None] | None = None
        self._synced_bytes = packed.stored_bytes
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        is_kept = error is None or isinstance(error, SourceError)
        try:
            while is_kept and self._on_its_way:
                self._await_next()
            if is_kept and self._sync is not None:
                self._sync.result()
            if is_kept:
                self._log_tally()
        finally:
            for threads in (self._threads, self._disk, self._syncs):
                threads.shutdown(cancel_futures=True)

    def buffer(self) -> bytearray:
        """Return room for a chunk; it comes back by ``put``."""
        return self._free.pop() if self._free else bytearray(self._buffer_bytes)

    def put(self, buffer: bytearray, length: int) -> None:
        """Take the first bytes of a buffer as the next chunk, and wait while too many are on their way."""
        chunk = memoryview(buffer)[:length]
        encoded = self._threads.submit(self._encode, chunk)
        self._on_its_way.append(self._disk.submit(self._append, encoded, buffer))
        while len(self._on_its_way) > _THREADS or (self._on_its_way and self._on_its_way[0].done()):
            self._await_next()

    def _encode(self, chunk: memoryview) -> Encoded:
        return encode(chunk, codec=self._codec, coders=self._own.coders)

    def _append(self, encoded: Future[Encoded], buffer: bytearray) -> int:
        """Append in the order of the file, and never behind one that failed; return the bytes that are safe now."""
        if self._failed:
            raise CancelledError
        self._failed = True
        self._packed.append(encoded.result())
        self._free.append(buffer)
        if self._packed.stored_bytes - self._synced_bytes >= self._sync_bytes:
            if self._sync is not None:
                self._sync.result()  # a disk that is slower than the source holds the reading up here
            self._synced_bytes = self._packed.stored_bytes
            self._sync = self._syncs.submit(self._packed.sync)
        self._failed = False
        return self._packed.raw_bytes

    def _await_next(self) -> None:
        """What the disk or a codec refused is told here."""
        self._progress(self._on_its_way.popleft().result())

    def _log_tally(self) -> None:
        """What of this file was encoded in this life; samples off the lattice say that a codec's assumption ends."""
        tally = Counter[str]()
        for coder in (coder for coders in self._of_all for coder in coders.values()):
            tally.update(coder.tally)
        _log.info("chunks.encoded", file=self._packed.path.name, chunks=len(self._packed.chunks), **tally)
