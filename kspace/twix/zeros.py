"""Finds long runs of zero bytes in a stream: holes that a parallel or resumed copy left inside headers or samples."""

import numpy as np
from numpy.typing import NDArray

_SUSPECT = 512
"""The longest run inside the readouts of real files is 68 bytes, inside their headers 17."""
_STRIDE = 128
"""Every run of `_SUSPECT` zero bytes covers three words at this distance; shorter ones hardly ever do."""
_WORD = 8


class ZeroRuns:
    """Fed piece by piece; keeps the first suspect run."""

    def __init__(self) -> None:
        self.found: tuple[int, int] | None = None
        """Offset and length of the first suspect run."""
        self._began: int | None = None

    def restart(self) -> None:
        """Forget a run in progress: what follows lies elsewhere."""
        self._began = None

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
        for hit in _hits(array):
            start = hit - _leading(array[:hit][::-1])
            if self._report(at + start, at + hit + _leading(array[hit:])):
                return
        trailing = _leading(array[::-1])
        self._began = at + array.size - trailing if trailing else None

    def _report(self, start: int, end: int) -> bool:
        self._began = None
        if end - start >= _SUSPECT:
            self.found = (start, end - start)
        return self.found is not None


def _hits(array: NDArray[np.uint8]) -> NDArray[np.int64]:
    count = array.size // _STRIDE
    if count < 3:
        return np.empty(0, np.int64)
    words = array[: count * _STRIDE].reshape(count, _STRIDE)[:, :_WORD].copy().view(np.uint64)[:, 0] == 0
    return np.flatnonzero(words[:-2] & words[1:-1] & words[2:]) * _STRIDE


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
