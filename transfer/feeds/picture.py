"""A small picture of work done: two bars a bin, side by side; no letters, since what it shows is said beside it."""

from collections.abc import Sequence

import numpy as np

from kspace.preview.png import encode

_WIDTH, _HEIGHT, _EDGE = 480, 140, 6
_PAPER, _LINE = (250, 250, 250), (225, 225, 225)
_COLOURS = ((70, 120, 180), (80, 160, 90))


def bars(pairs: Sequence[tuple[float, float]]) -> bytes:
    """Return the PNG of pairs of values, in time; the tallest bar is the greatest value, the lines are its quarters.

    The first of a pair is blue, the second green. What is greater than nothing is at least two pixels high.
    """
    canvas = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    floor, room = _HEIGHT - _EDGE, _HEIGHT - 2 * _EDGE
    for quarter in range(5):
        canvas[floor - room * quarter // 4] = _LINE
    greatest = max((value for pair in pairs for value in pair), default=0.0)
    edges = np.linspace(_EDGE, _WIDTH - _EDGE, 2 * len(pairs) + 1).astype(int)
    for number, value in enumerate(value for pair in pairs for value in pair):
        if value > 0:
            height = max(2, int(room * value / greatest))
            gap = 2 if number % 2 else 0
            canvas[floor - height : floor, edges[number] + 2 - gap : edges[number + 1] - gap] = _COLOURS[number % 2]
    return encode(canvas)
