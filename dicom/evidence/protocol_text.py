"""The whole protocol: the ASCCONV block of the TWIX text Phoenix and of the image, line by line, as a digest."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin


class ProtocolTextClue(Clue):
    """Same text. Weak: it holds the protocol number, so it says nothing that `lprotid` does not say.

    Other text is silence: that both sides write the same lines was seen on VB19A only.
    """

    name = "protocol_text"
    level = Level.MEASUREMENT
    strength = Strength.WEAK

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two digests."""
        raw, image = measurement.protocol_digest, series.protocol_digest
        if raw is None or image is None:
            return self._silent(f"protocol text missing in {'the raw data' if raw is None else 'the DICOM'}")
        if raw == image:
            return self._says(Weight.SUPPORTS, "the whole protocol text is the same")
        return self._silent(f"protocol texts differ ({raw} and {image})")


PLUGIN = Plugin("protocol_text", NoSettings, ProtocolTextClue)
