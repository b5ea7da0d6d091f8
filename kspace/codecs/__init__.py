"""How a chunk of source bytes is stored: the Codec port; one module a codec. Codec names live in manifests for ever."""

from collections import Counter
from typing import Protocol


class Codec(Protocol):
    """Encodes a chunk so that it can be decoded by itself. An instance belongs to one thread."""

    tally: Counter[str]
    """What it met while encoding, for the log: what was only observed has to be watched."""

    def encode(self, raw: bytes | bytearray | memoryview) -> bytes:
        """Return the stored form of any bytes, also none."""

    def decode(self, stored: bytes, *, raw_bytes: int) -> bytes | bytearray:
        """Return the raw bytes, never more than raw_bytes of them.

        Raises:
            SpoolError: the stored bytes are not what this codec wrote for so many raw bytes.
        """
