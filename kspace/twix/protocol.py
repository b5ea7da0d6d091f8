"""The protocol as the scanner writes it down: the ASCCONV block of a TWIX header's text Phoenix and of an image."""

import re
from hashlib import sha256

_BLOCK = re.compile(rb"### ASCCONV BEGIN[^\n]*\n(.*?)\n?### ASCCONV END", re.DOTALL)
_DIGITS = 16


def protocol_digest(text: bytes) -> str | None:
    """Return the digest of a text's last ASCCONV block, None where there is none; of the block nothing can be told.

    Raw data and image hold the same lines (measured on VB19A), but for the doubled quotes of a text inside a text and
    the ends of lines. Phoenix holds the sequence's own block before it.
    """
    blocks = _BLOCK.findall(text)
    if not blocks:
        return None
    lines = (line.strip() for line in blocks[-1].replace(b'""', b'"').replace(b"\r", b"").split(b"\n"))
    return sha256(b"\n".join(lines)).hexdigest()[:_DIGITS]
