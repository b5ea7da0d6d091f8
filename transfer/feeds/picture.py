"""A small picture of work done: two bars a bin, side by side, over an axis of time and beside one of GB."""

from collections.abc import Sequence
from math import log10

import numpy as np
from numpy.typing import NDArray

from kspace.preview.png import encode

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 12, 34, 28
_PAPER, _LINE, _INK = (255, 255, 255), (222, 222, 222), (60, 60, 60)
_COLOURS = ((70, 120, 180), (80, 160, 90))
_WORDS = ("captured", "proved")
_DOT, _HIGH = 2, 14
"""A letter is 5 by 7 dots of so many pixels, so that a mail reader that shrinks the picture leaves it legible."""
_LETTERS = {
    letter: bytes.fromhex(columns)
    for letter, columns in {
        "0": "3e5149453e", "1": "00427f4000", "2": "4261514946", "3": "2141454b31", "4": "1814127f10",
        "5": "2745454539", "6": "3c4a494930", "7": "0171090503", "8": "3649494936", "9": "064949291e",
        ".": "0060600000", ":": "0036360000", "-": "0808080808", "B": "7f49494936", "G": "3e4149497a",
        "a": "2054545478", "c": "3844444420", "d": "384444487f", "e": "3854545418", "o": "3844444438",
        "p": "7c14141408", "r": "7c08040408", "t": "043f444020", "u": "3c4040207c", "v": "1c2040201c",
    }.items()
}  # fmt: skip
"""Each letter's five columns from the left, the lowest bit on top."""


def bars(pairs: Sequence[tuple[float, float]], *, begins: Sequence[str]) -> bytes:
    """Return the PNG of pairs of GB, captured and proved, in bins of time; ``begins`` says when every n-th begins.

    The axis ends at a round number above the greatest value. What is greater than nothing is at least two pixels high.
    """
    canvas = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    floor, room = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    top = _round_above(max((value for pair in pairs for value in pair), default=0.0))
    for half in range(3):
        at = floor - room * half // 2
        canvas[at, _LEFT : _WIDTH - _RIGHT] = _LINE
        _write(canvas, f"{top * half / 2:g} GB", right=_LEFT - 8, middle=at)
    edges = np.linspace(_LEFT, _WIDTH - _RIGHT, 2 * len(pairs) + 1).astype(int)
    for number, value in enumerate(value for pair in pairs for value in pair):
        if value > 0:
            height = max(2, int(room * value / top))
            gap = 2 if number % 2 else 0
            canvas[floor - height : floor, edges[number] + 2 - gap : edges[number + 1] - gap] = _COLOURS[number % 2]
    for text, at in zip(begins, edges[:: max(2, len(edges) // max(1, len(begins)))], strict=False):
        canvas[floor : floor + 5, at] = _INK
        _write(canvas, text, right=at + _wide(text), middle=floor + 16)
    right = _WIDTH - _RIGHT
    for word, colour in reversed([*zip(_WORDS, _COLOURS, strict=True)]):
        _write(canvas, word, right=right, middle=_TOP // 2)
        right -= _wide(word) + 8
        canvas[_TOP // 2 - 6 : _TOP // 2 + 6, right - 12 : right] = colour
        right -= 32
    return encode(canvas)


def _round_above(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** int(log10(value) // 1)
    return next(step * power for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if step * power >= value)


def _wide(text: str) -> int:
    return 6 * _DOT * len(text)


def _write(canvas: NDArray[np.uint8], text: str, *, right: int, middle: int) -> None:
    """Write to the left of a column, around a row."""
    left, top = right - _wide(text), middle - _HIGH // 2
    for place, letter in enumerate(text):
        columns = np.frombuffer(_LETTERS.get(letter, bytes(5)), np.uint8)
        dots = (columns[None, :] >> np.arange(7)[:, None]) & 1
        there = np.repeat(np.repeat(dots, _DOT, 0), _DOT, 1).astype(bool)
        at = left + 6 * _DOT * place
        canvas[top : top + _HIGH, at : at + 5 * _DOT][there] = _INK
