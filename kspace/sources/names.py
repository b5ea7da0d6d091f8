"""Names of files on a share as text that any database takes, and back to the very same bytes."""

from collections.abc import Iterable
from fnmatch import fnmatch

_LATIN_1 = "latin-1:"
"""Marks a path that is not UTF-8: names from old consoles. Databases take no lone surrogates."""


def to_text(path: bytes) -> str:
    """Return a path as text."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return _LATIN_1 + path.decode("latin-1")
    return _LATIN_1 + path.decode("latin-1") if text.startswith(_LATIN_1) else text


def to_bytes(path: str) -> bytes:
    """Return the bytes that `to_text` made this text of."""
    return path[len(_LATIN_1) :].encode("latin-1") if path.startswith(_LATIN_1) else path.encode()


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name fits one of the patterns, whatever the case."""
    lower = name.lower()
    return any(fnmatch(lower, pattern.lower()) for pattern in patterns)
