"""The protocol text Siemens puts into its images, as far as the join needs it."""

import re
from collections.abc import Iterable

_ASCCONV = re.compile(rb"### ASCCONV BEGIN(.*?)### ASCCONV END", re.DOTALL)
_LPROTID = re.compile(rb"^lProtID[ \t]*=[ \t]*(-?\d{1,10})[ \t\r]*$", re.MULTILINE)


def lprotid_in(texts: Iterable[bytes]) -> int | None:
    """Return the protocol number (lProtID) of the ASCCONV blocks, None where there is none or they disagree.

    The block lies in MrPhoenixProtocol of the CSA series header (VB to VE) or in (0021,1019) (XA). The text is
    searched as bytes, so neither the CSA table's padding nor the way a sequence was encoded matters.
    """
    found = {int(n) for text in texts for block in _ASCCONV.findall(text) for n in _LPROTID.findall(block)}
    return found.pop() if len(found) == 1 else None
