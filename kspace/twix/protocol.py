"""The protocol as the scanner writes it down: the ASCCONV block of a TWIX header's text Phoenix and of an image."""

from hashlib import sha256

_BEGIN, _END = b"### ASCCONV BEGIN", b"### ASCCONV END"
_DIGITS = 16


def protocol_digest(text: bytes) -> str | None:
    """Return the digest of a text's last ASCCONV block, None where there is none; of the block nothing can be told.

    Raw data and image hold the same lines (measured on VB19A), but for the doubled quotes of a text inside a text and
    the ends of lines. Phoenix holds the sequence's own block before it.
    """
    end = text.rfind(_END)
    begin = text.rfind(_BEGIN, 0, max(end, 0))
    start = text.find(b"\n", begin, end) + 1
    if begin < 0 or not start:
        return None
    block = text[start:end].removesuffix(b"\n").replace(b'""', b'"').replace(b"\r", b"")
    return sha256(b"\n".join(line.strip() for line in block.split(b"\n"))).hexdigest()[:_DIGITS]
