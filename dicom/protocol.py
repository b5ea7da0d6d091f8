"""The protocol text Siemens puts into its images, as far as the join needs it."""

import re
from collections.abc import Iterable

from kspace.twix.protocol import protocol_digest

_ASCCONV = re.compile(rb"### ASCCONV BEGIN(.*?)### ASCCONV END", re.DOTALL)
_LPROTID = re.compile(rb"^lProtID[ \t]*=[ \t]*(-?\d{1,10})[ \t\r]*$", re.MULTILINE)
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FREE = re.compile(rb"^sWi[pP]MemBlock\.tFree[ \t]*=[ \t]*([^\r\n]*)", re.MULTILINE)


def lprotid_in(texts: Iterable[bytes]) -> int | None:
    """Return the protocol number (lProtID) of the ASCCONV blocks, None where there is none or they disagree.

    The block lies in MrPhoenixProtocol of the CSA series header (VB to VE) or in (0021,1019) (XA). The text is
    searched as bytes, so neither the CSA table's padding nor the way a sequence was encoded matters.
    """
    found = {int(n) for text in texts for block in _ASCCONV.findall(text) for n in _LPROTID.findall(block)}
    return found.pop() if len(found) == 1 else None


def digest_in(texts: Iterable[bytes]) -> str | None:
    """Return the digest of the protocol's whole text, None where there is none or several disagree."""
    found = {digest for text in texts if (digest := protocol_digest(text)) is not None}
    return found.pop() if len(found) == 1 else None


def uuid_in(texts: Iterable[bytes], marks: Iterable[bytes]) -> str | None:
    """Return the UUID of a CMRR multiband sequence, None where there is none or several disagree.

    ``marks`` are the values of (0021,xx43); the protocol repeats the mark as sWipMemBlock.tFree.
    """
    free = [line for text in texts for block in _ASCCONV.findall(text) for line in _FREE.findall(block)]
    found = {mark[0].lower() for text in (*marks, *free) if (mark := _UUID.search(text))}
    return found.pop().decode() if len(found) == 1 else None
