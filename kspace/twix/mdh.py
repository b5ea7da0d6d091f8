"""The header of a readout (MDH), in both families. All integers are little-endian.

Sources: pehses/twixtools ``twixtools/mdh_def.py``; ismrmrd/siemens_to_ismrmrd ``siemensraw.h``; and measurement on real
VB19, VE11, VE12 and XA61 files.
"""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple

_WORDS = Struct("<4I")
_WORD = Struct("<I")
_PAIR = Struct("<HH")


class Block(NamedTuple):
    """What the walk needs of one block's header."""

    dma: int
    """The length the block gives itself, bytes; kept as it is only for end markers and synchronous data."""
    uid: int
    """MeasUID, the measurement's MID."""
    counter: int
    tick: int
    mask: int
    samples: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdh:
    """Where the fields of a readout's header stand; offsets in bytes from its begin."""

    ACQEND: ClassVar[int] = 1 << 0
    SYNCDATA: ClassVar[int] = 1 << 5
    DMA_LENGTH: ClassVar[int] = 0x01FF_FFFF
    """The low 25 bits of the first word; the others are the pack bit and enable flags."""
    STREAMED_END: ClassVar[int] = 8192
    """The DMA length a sender in the reconstruction gives its end marker, while it stores the bare header only."""

    header: int
    """Bytes before the first channel: on VD+ one header a readout; on VB none, since it is repeated in each channel."""
    channel_header: int
    mask: int
    samples: int
    channels: int
    sort_and_shape: Struct
    """The mask's low word, and samples and channels as one word: ``channels << 16 | samples``."""

    @property
    def smallest(self) -> int:
        """Bytes of the smallest header: what must be there to look at a block at all."""
        return self.header or self.channel_header

    def block(self, data: bytes | memoryview, at: int = 0) -> Block:
        """Read the header that begins at ``at``."""
        dma, uid, counter, tick = _WORDS.unpack_from(data, at)
        (mask,) = _WORD.unpack_from(data, at + self.mask)
        samples, channels = _PAIR.unpack_from(data, at + self.samples)
        return Block(dma & self.DMA_LENGTH, uid, counter, tick, mask, samples, channels)

    def size(self, *, samples: int, channels: int) -> int:
        """Return the bytes of a readout; the DMA length is not to be trusted for it (packed EPI)."""
        return self.header + channels * (self.channel_header + 8 * samples)

    def native_end(self, channels: int) -> int:
        """Return the DMA length of the end marker as the host's export stores it.

        VD+: always 352. VB: that of a readout of 16 samples, in as many channels as its header says.
        """
        return 352 if self.header else self.size(samples=16, channels=channels)


VD_MDH = Mdh(header=192, channel_header=32, mask=40, samples=48, channels=50, sort_and_shape=Struct("<40xI4xI"))
VB_MDH = Mdh(header=0, channel_header=128, mask=20, samples=28, channels=30, sort_and_shape=Struct("<20xI4xI"))
