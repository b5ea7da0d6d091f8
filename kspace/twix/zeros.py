"""Finds long runs of zero bytes in a stream: holes that a parallel or resumed copy left inside samples."""

import numpy as np
from numpy.typing import NDArray

_SUSPECT = 512
"""The longest run inside the readouts of real files is 68 bytes."""
_STRIDE = 504
"""Of the words at this distance at least one lies wholly inside every suspect run."""
_NEAR = (80, 160, 240)
"""On one side of that word the run goes on for at least so many bytes; readout headers, mostly zeros, do not."""
_WORD = 8


class ZeroRuns:
    """Fed piece by piece; keeps the first suspect run."""

    def __init__(self) -> None:
        self.found: tuple[int, int] | None = None
        """Offset and length of the first suspect run."""
        self._began: int | None = None

    def close(self, *, at: int) -> None:
        """End a run in progress: zeros are normal from the offset ``at`` on."""
        if self._began is not None:
            self._report(self._began, at)

    def feed(self, data: memoryview, *, at: int) -> None:
        """Look at the next bytes, which lie at the offset ``at``."""
        if self.found is not None or not len(data):
            return
        array = np.frombuffer(data, np.uint8)
        first = _leading(array)
        if self._began is not None:
            if first == array.size:
                return  # the run goes on
            if self._report(self._began, at + first):
                return
        trailing = _leading(array[::-1])
        for hit in _hits(data[: array.size - trailing]):
            start, end = hit - _leading(array[:hit][::-1]), hit + _leading(array[hit:])
            if self._report(at + start, at + end):
                return
        self._began = at + array.size - trailing if trailing else None

    def _report(self, start: int, end: int) -> bool:
        self._began = None
        if end - start >= _SUSPECT:
            self.found = (start, end - start)
        return self.found is not None


def _hits(data: memoryview) -> list[int]:
    """Return where words of zeros lie that are part of a long run, at least one of every suspect run."""
    last = len(data) - _WORD
    count = max(0, last // _STRIDE + 1)
    hits = np.flatnonzero(np.ndarray((count,), np.uint64, data, 0, (_STRIDE,)) == 0) * _STRIDE
    if not hits.size:
        return []
    words = np.ndarray((last + 1,), np.uint64, data, 0, (1,))
    near = [np.all([words[np.clip(hits + side * d, 0, last)] == 0 for d in _NEAR], axis=0) for side in (-1, 1)]
    return [int(hit) for hit in hits[near[0] | near[1]]]


def _leading(array: NDArray[np.uint8]) -> int:
    """Return how many zero bytes an array begins with, looking no further than needed."""
    done, window = 0, 64
    while done < array.size:
        piece = array[done : done + window]
        if piece.any():
            return done + int((piece != 0).argmax())
        done += piece.size
        window *= 4
    return done
