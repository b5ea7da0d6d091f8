"""Draws what a bench measured as horizontal bars (SVG): one panel a measure, one bar a contestant."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

_LABEL, _PANEL, _BAR, _GAP, _TOP = 220, 230, 22, 8, 56


def draw(path: Path, *, title: str, panels: Mapping[str, Mapping[str, float]], form: str = "{:.3g}") -> None:
    """Write panels of bars, each panel by its own scale from zero; the relay's own are green."""
    names = list(next(iter(panels.values())))
    wide, high = _LABEL + _PANEL * len(panels) + 30, _TOP + len(names) * (_BAR + _GAP) + 16
    shapes = [f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>']
    for row, name in enumerate(names):
        shapes.append(f'<text x="{_LABEL - 10}" y="{_y(row) + 15}" text-anchor="end">{escape(name)}</text>')
    for column, (measure, values) in enumerate(panels.items()):
        left, most = _LABEL + column * _PANEL, max(values.values()) or 1.0
        shapes.append(f'<text x="{left}" y="{_TOP - 10}" fill="#555">{escape(measure)}</text>')
        for row, name in enumerate(names):
            long = (_PANEL - 70) * values[name] / most
            colour = "#1f6f54" if name == "relay" or "relay" not in names else "#b9c4cc"
            shapes.append(f'<rect x="{left}" y="{_y(row)}" width="{long:.1f}" height="{_BAR}" fill="{colour}" rx="2"/>')
            shapes.append(f'<text x="{left + long + 6:.1f}" y="{_y(row) + 15}">{form.format(values[name])}</text>')
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="13" fill="#222">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(shapes)}</svg>\n'
    )


def _y(row: int) -> int:
    return _TOP + row * (_BAR + _GAP)
