"""The protocol's name: tProtocolName (TWIX MeasYaps) and ProtocolName (0018,1030). Free text, so never quoted."""

import re

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin

_UTF7 = re.compile(r"\+[A-Za-z0-9/+]{3}-")


class ProtocolNameClue(Clue):
    """Same name. Weak: 27 measurements of one study were all called ``pulseq``."""

    name = "protocol_name"
    level = Level.MEASUREMENT
    strength = Strength.WEAK

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two names."""
        if not measurement.protocol or not series.protocol:
            return self._silent(f"protocol name missing in {'the DICOM' if measurement.protocol else 'the raw data'}")
        if _plain(measurement.protocol) == _plain(series.protocol):
            return self._says(Weight.SUPPORTS, "same protocol name")
        return self._says(Weight.CONTRADICTS, "protocol names differ")


def _plain(name: str) -> str:
    """VB to VE write ``_`` and other signs of a name as UTF-7 in the protocol: ``ep2d+AF8-bold``."""
    return _UTF7.sub(lambda sign: sign[0].encode().decode("utf-7", "replace"), name).strip()


PLUGIN = Plugin("protocol_name", NoSettings, ProtocolNameClue)
