"""The duration of the measurement: every image was acquired between its first and its last readout."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from dicom.ticks import clock_of, span_of
from kspace.records import Measurement
from kspace.registry import Plugin


class IntervalClue(Clue):
    """Same stretch of time. Weak: a day has many measurements, and ticks carry no date."""

    name = "interval"
    level = Level.MEASUREMENT
    strength = Strength.WEAK
    tells_when = True

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the series' ticks with the first and the last readout."""
        span, ticks = span_of(measurement.ticks), series.ticks
        if span is None or not ticks:
            return self._silent(f"acquisition times missing in {'the DICOM' if span else 'the raw data'}")
        inside = [tick for tick in ticks if tick in span]
        if 0 < len(inside) < len(ticks):
            return self._silent(f"only {len(inside)} of {len(ticks)} acquisition times lie within {span}")
        if inside:
            return self._says(Weight.SUPPORTS, f"acquisition {clock_of(min(inside))} lies within {span}")
        return self._says(Weight.CONTRADICTS, f"acquisition {clock_of(min(ticks))} lies outside {span}")


PLUGIN = Plugin("interval", NoSettings, IntervalClue)
