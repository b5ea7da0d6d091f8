"""The protocol's number: lProtID of TWIX MeasYaps and of the protocol inside the image."""

from collections.abc import Iterable

from dicom.clue import Clue, NoSettings, Strength
from dicom.evidence.serial import serial_of_measurement, serial_of_series
from dicom.records import Evidence, Level, Series, Weight
from dicom.ticks import DAY, span_of
from kspace.records import Measurement
from kspace.registry import Plugin

_MINUTE = 60 * 400


class ProtocolNumberClue(Clue):
    """Same number. No two measurements of a study share one; between studies it means nothing."""

    name = "lprotid"
    level = Level.MEASUREMENT
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """A key ``number:<serial>:<number>:<minute of the day>`` for each minute the measurement ran in.

        Without the time every session of a scanner would be a candidate: each has a measurement of this number.
        """
        span = span_of(measurement.ticks)
        first, last = (span.first, span.first + span.length) if span else (0, -1)
        minutes = range(first // _MINUTE, last // _MINUTE + 1)
        return _keys(serial_of_measurement(measurement), measurement.lprotid, minutes)

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """The same."""
        return _keys(serial_of_series(series), series.lprotid, {tick // _MINUTE for tick in series.ticks})

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two numbers."""
        raw, image = measurement.lprotid, series.lprotid
        if raw is None or image is None:
            return self._silent(f"protocol number missing in {'the raw data' if raw is None else 'the DICOM'}")
        if raw == image:
            return self._says(Weight.SUPPORTS, f"protocol number {raw} on both sides")
        return self._says(Weight.CONTRADICTS, f"protocol number {raw} against {image}")


def _keys(serial: str | None, number: int | None, minutes: Iterable[int]) -> frozenset[str]:
    known = serial and number is not None
    return frozenset(f"number:{serial}:{number}:{minute % (DAY // _MINUTE)}" for minute in minutes if known)


PLUGIN = Plugin("lprotid", NoSettings, ProtocolNumberClue)
