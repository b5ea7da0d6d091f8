"""How sizes, times and badges are written on a page."""

from datetime import datetime

from markupsafe import Markup, escape

from hardware.pools import amount

_KB = 1000


def size(value: float | None) -> str:
    """Return bytes as people read them."""
    if value is None:
        return "unknown"
    return f"{value / _KB:,.0f} kB" if abs(value) < _KB * _KB else amount(value)


def when(at: datetime | None) -> Markup:
    """Return an instant for `relay.js`, which shows it in the viewer's zone; without it, in UTC."""
    if at is None:
        return Markup("not yet")
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M} UTC")


def day(date: str | None) -> str:
    """Return a DICOM date (DA, PS3.5, 6.2) with hyphens."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date and len(date) == 8 else "no date"


def word(text: str) -> Markup:
    """Return a badge."""
    return Markup('<span class="badge {}">{}</span>').format(escape(text).replace(" ", "-"), text)


def prose(text: str) -> Markup:
    """Return a sentence in which commands stand between backticks."""
    pieces = text.split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(one) if n % 2 else escape(one) for n, one in enumerate(pieces))


def number(count: int, what: str) -> str:
    """Return how many there are of something whose plural ends in s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
