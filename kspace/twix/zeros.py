"""Finds long runs of zero bytes in a stream: holes that a parallel or resumed copy left inside samples."""

import numpy as np

_SUSPECT = 512
"""The longest run inside the readouts of real files is 68 bytes."""
_WORD = 8
_STRIDE = _SUSPECT - _WORD
"""Of the words at this distance at least one lies wholly inside every suspect run."""
_LOOKS = ((-248, 256), (-124, 128))
"""That run also holds the words this far before it, or this far behind it."""


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
        if self._began is not None:
            first = _forward(data, 0)
            if first == len(data):
                return  # the run goes on
            if self._report(self._began, at + first):
                return
        last = _backward(data, len(data))
        for hit in _hits(data[:last]):
            if self._report(at + _backward(data, hit), at + _forward(data, hit)):
                return
        self._began = at + last if last < len(data) else None

    def _report(self, start: int, end: int) -> bool:
        self._began = None
        if end - start >= _SUSPECT:
            self.found = (start, end - start)
        return self.found is not None


def _hits(data: memoryview) -> list[int]:
    """Return where words of zeros lie that may be inside a suspect run: at least one of every run in ``data``.

    Most words of zeros lie in readout headers, and their neighbours tell. Beyond an end of the data its last word is
    looked at instead: that may let a word pass, but drops none, since a run in the data has its other side inside.
    """
    count = max(0, (len(data) - _WORD) // _STRIDE + 1)
    hits = np.flatnonzero(np.ndarray((count,), np.uint64, data, 0, (_STRIDE,)) == 0) * _STRIDE
    for before, behind in _LOOKS:
        if not len(hits):
            return []
        last = len(data) - _WORD
        words = np.ndarray((last + 1,), np.uint64, data, 0, (1,))
        hits = hits[(words[np.maximum(hits + before, 0)] == 0) | (words[np.minimum(hits + behind, last)] == 0)]
    return [int(hit) for hit in hits]


def _forward(data: memoryview, at: int) -> int:
    """Return where the zeros that begin at the offset ``at`` end."""
    window = 64
    while at < len(data):
        piece = bytes(data[at : at + window])
        at += len(piece)
        if rest := piece.lstrip(b"\0"):
            return at - len(rest)
        window *= 4
    return at


def _backward(data: memoryview, at: int) -> int:
    """Return where the zeros that end at the offset ``at`` begin."""
    window = 64
    while at:
        piece = bytes(data[max(0, at - window) : at])
        at -= len(piece)
        if rest := piece.rstrip(b"\0"):
            return at + len(rest)
        window *= 4
    return at
