"""How fast to read beside others: additive increase, multiplicative decrease, by how long the share takes."""

from collections import deque
from statistics import median

_STEP = 0.02
"""Of the limit, added with each read that is not slow; and of what the share can do, the least that is left."""
_SLOWER = 1.5
_NOISE_S = 0.002
"""A read that takes so little longer tells nothing: that is this machine's own doing."""
_JUDGED_BYTES = 65_536
"""A shorter read tells more of the way than of the share."""
_HOUR_S = 3600.0


class Yielding:
    """The rate for one scanner, from how long its reads take against its own quiet baseline.

    The baseline is the best hour of the last day, by the median of eight reads in a row, so that neither a lucky read
    nor hours beside somebody else move it.
    """

    def __init__(self) -> None:
        self._per_s: float | None = None
        self._recent: deque[float] = deque(maxlen=8)
        self._hours: deque[float] = deque(maxlen=24)
        self._hour = -1
        self._was_slow = False

    def rate(self, *, took_s: float, length: int, limit: float, at_s: float) -> float:
        """Return the bytes a second to read at after this read, never above ``limit``; ``at_s`` is monotonic."""
        per_s = self._per_s or limit / 10  # begin softly
        if length >= _JUDGED_BYTES:
            quiet_s = length * self._learn(took_s / length, at_s)
            is_slow = took_s > max(quiet_s * _SLOWER, quiet_s + _NOISE_S)
            able = min(limit, length / max(quiet_s, 1e-9))
            if is_slow and self._was_slow:
                per_s = max(able * _STEP, min(per_s, able) / 2)
            elif not is_slow:
                per_s += limit * _STEP
            self._was_slow = is_slow
        self._per_s = min(per_s, limit)
        return self._per_s

    def _learn(self, byte_s: float, at_s: float) -> float:
        """Return the quiet time a byte takes."""
        self._recent.append(byte_s)
        seen, hour = median(self._recent), int(at_s // _HOUR_S)
        if hour != self._hour:
            self._hour = hour
            self._hours.append(seen)
        self._hours[-1] = min(self._hours[-1], seen)
        return min(self._hours)
