"""The beginning of acquisition: the first image's AcquisitionTime is the time stamp of the first readout, exactly."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from dicom.ticks import DAY, clock_of, span_of
from kspace.records import Measurement
from kspace.registry import Plugin


class FirstReadoutClue(Clue):
    """Same beginning. Weak: it adds nothing to `tick` but for a person, since a wrong clock moves both together.

    Another beginning is silence: noise and reference lines come before every image, later echoes after it.
    """

    name = "first_readout"
    level = Level.MEASUREMENT
    strength = Strength.WEAK
    tells_when = True

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the series' first tick with the first readout; it counts only if no image lies outside."""
        span, ticks = span_of(measurement.ticks), series.ticks
        if span is None or not ticks:
            return self._silent(f"acquisition times missing in {'the DICOM' if span else 'the raw data'}")
        if any(tick not in span for tick in ticks):
            return self._silent(f"acquisition times lie outside {span}")
        after = min((tick - span.first) % DAY for tick in ticks)
        first = clock_of(span.first + after)
        if after:
            return self._silent(f"the first acquisition {first} is later than the first readout {clock_of(span.first)}")
        return self._says(Weight.SUPPORTS, f"the first acquisition {first} is the first readout")


PLUGIN = Plugin("first_readout", NoSettings, FirstReadoutClue)
