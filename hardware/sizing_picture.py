"""What waits on the box during an outage and after it, as a picture (SVG), from the same figures as the answer."""

from collections.abc import Sequence
from itertools import pairwise

from hardware.sizing import DAY_H

_WIDTH, _HEIGHT = 720, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 44, 20, 44
_STEPS = (1, 2, 5, 10)


def picture(points: Sequence[tuple[float, float]], *, outage_h: float, room_gb: float, title: str) -> str:
    """Return the curve of hours and waiting GB with the outage behind it and the pool's room as a line."""
    last_h, most_gb = max(points[-1][0], 1.0), max(room_gb, *(gb for _, gb in points)) * 1.05
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(hour: float) -> float:
        return _LEFT + wide * hour / last_h

    def y(gb: float) -> float:
        return _TOP + high * (1 - gb / most_gb)

    shapes = [f'<rect x="{_LEFT}" y="{_TOP}" width="{x(outage_h) - _LEFT:.1f}" height="{high}" fill="#f3dcd8"/>']
    for day in _ticks(last_h / DAY_H):
        at = x(day * DAY_H)
        shapes.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + high}" stroke="#ddd"/>')
        shapes.append(_text(at, _HEIGHT - 22, f"{day:g}", anchor="middle"))
    for tb in _ticks(most_gb / 1000):
        at = y(tb * 1000)
        shapes.append(f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        shapes.append(_text(_LEFT - 8, at + 4, f"{tb:g} TB", anchor="end"))
    full = y(room_gb)
    shapes += [
        f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{full:.1f}" y2="{full:.1f}" stroke="#a33" stroke-dasharray="6"/>',
        _text(_LEFT + wide, full - 6, "no more is packed", anchor="end"),
        *(
            f'<line x1="{x(a):.1f}" y1="{y(b):.1f}" x2="{x(c):.1f}" y2="{y(d):.1f}" stroke="#246" stroke-width="2"/>'
            for (a, b), (c, d) in pairwise(points)
        ),
        _text(_LEFT + 6, _TOP + 40, "outage", anchor="start"),
        _text(_LEFT, 24, title, anchor="start"),
        _text(_LEFT + wide, _HEIGHT - 6, "days", anchor="end"),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    return "\n".join(
        [f'{head} font-size="13">', '<rect width="100%" height="100%" fill="white"/>', *shapes, "</svg>", ""]
    )


def _ticks(most: float) -> list[float]:
    """Return at most eight round numbers from 0 to the most."""
    step = 0.001
    while most / step > 8:
        step = next(s for n in range(-3, 9) for m in _STEPS if (s := m * 10.0**n) > step * 1.0001)
    return [n * step for n in range(int(most / step) + 1)]


def _text(x: float, y: float, said: str, *, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'
