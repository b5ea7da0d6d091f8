"""A curve over time as a picture (SVG): axes with round numbers, limits as lines, spans shaded."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

_WIDTH, _HEIGHT = 720, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 72, 44, 20, 44
_STEPS = (1, 2, 5, 10)


def chart(  # noqa: PLR0913 -- the parts of a picture
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    across: str,
    up: str,
    limits: Sequence[tuple[float, str]] = (),
    spans: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Return the curve of points; ``across`` and ``up`` are the units, ``limits`` heights and ``spans`` stretches."""
    last, most = max(points[-1][0], 1e-9), max(0.001, *(y for _, y in points), *(y for y, _ in limits)) * 1.05
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + wide * value / last

    def y(value: float) -> float:
        return _TOP + high * (1 - value / most)

    shapes = []
    for begin, end, said in spans:
        left, right = x(begin), x(min(end, last))
        shapes.append(f'<rect x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{high}" fill="#f3dcd8"/>')
        shapes.append(_text(left + 6, _TOP + 40, said, anchor="start"))
    for tick in _ticks(last):
        shapes.append(_line((x(tick), _TOP), (x(tick), _TOP + high), 'stroke="#ddd"'))
        shapes.append(_text(x(tick), _HEIGHT - 22, f"{tick:g}", anchor="middle"))
    for tick in _ticks(most):
        shapes.append(_line((_LEFT, y(tick)), (_LEFT + wide, y(tick)), 'stroke="#ddd"'))
        shapes.append(_text(_LEFT - 8, y(tick) + 4, f"{tick:g} {up}", anchor="end"))
    for value, said in limits:
        shapes.append(_line((_LEFT, y(value)), (_LEFT + wide, y(value)), 'stroke="#a33" stroke-dasharray="6"'))
        shapes.append(_text(_LEFT + wide, y(value) - 6, said, anchor="end"))
    curve = [(x(at), y(value)) for at, value in points]
    shapes += [_line(a, b, 'stroke="#246" stroke-width="2"') for a, b in pairwise(curve)]
    shapes += [_text(_LEFT, 24, title, anchor="start"), _text(_LEFT + wide, _HEIGHT - 6, across, anchor="end")]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    return "\n".join(
        [f'{head} font-size="13">', '<rect width="100%" height="100%" fill="white"/>', *shapes, "</svg>", ""]
    )


def _ticks(most: float) -> list[float]:
    """Return at most eight round numbers from 0 to the most."""
    step = 0.001
    while most / step > 8:
        step = next(s for n in range(-3, 15) for m in _STEPS if (s := m * 10.0**n) > step * 1.0001)
    return [n * step for n in range(int(most / step) + 1)]


def _line(start: tuple[float, float], end: tuple[float, float], how: str) -> str:
    return f'<line x1="{start[0]:.1f}" x2="{end[0]:.1f}" y1="{start[1]:.1f}" y2="{end[1]:.1f}" {how}/>'


def _text(x: float, y: float, said: str, *, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
