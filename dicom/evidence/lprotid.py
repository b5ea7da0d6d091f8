"""The protocol's number: lProtID of TWIX MeasYaps and of the protocol inside the image."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.evidence.serial import serial_of_measurement, serial_of_series
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin


class ProtocolNumberClue(Clue):
    """Same number. No two measurements of a study share one; between studies it means nothing."""

    name = "lprotid"
    level = Level.MEASUREMENT
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """One key ``serial+lprotid:<serial>:<number>``."""
        return _keys(serial_of_measurement(measurement), measurement.lprotid)

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """The same."""
        return _keys(serial_of_series(series), series.lprotid)

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two numbers."""
        raw, image = measurement.lprotid, series.lprotid
        if raw is None or image is None:
            return self._silent(f"protocol number missing in {'the raw data' if raw is None else 'the DICOM'}")
        if raw == image:
            return self._says(Weight.SUPPORTS, f"protocol number {raw} on both sides")
        return self._says(Weight.CONTRADICTS, f"protocol number {raw} against {image}")


def _keys(serial: str | None, number: int | None) -> frozenset[str]:
    return frozenset({f"serial+lprotid:{serial}:{number}"} if serial and number is not None else ())


PLUGIN = Plugin("lprotid", NoSettings, ProtocolNumberClue)
