"""The instant of acquisition: an image's AcquisitionTime is the time stamp of one of its readouts, exactly."""

import numpy as np

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from dicom.ticks import DAY, clock_of, span_of
from kspace.records import Measurement
from kspace.registry import Plugin


class TickClue(Clue):
    """Same tick. All readouts count: later echoes and slices carry later ones, noise comes before every image.

    A series that reaches beyond the measurement is of another one too, or of another one alone: it is silence.
    """

    name = "tick"
    level = Level.MEASUREMENT
    strength = Strength.STRONG
    tells_when = True

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Look for the series' ticks among the readouts; contradict only where all lie outside the measurement."""
        span, ticks = span_of(measurement.ticks), series.ticks
        if span is None or not ticks:
            return self._silent(f"acquisition times missing in {'the DICOM' if span else 'the raw data'}")
        inside = [tick % DAY for tick in ticks if tick in span]
        if not inside:  # as for all other series of a study: the readouts, maybe a million, are not looked at
            first = clock_of(min(ticks))
            return self._says(Weight.CONTRADICTS, f"acquisition {first} lies outside the measurement, {span}")
        if len(inside) < len(ticks):
            return self._silent(f"only {len(inside)} of {len(ticks)} acquisition times lie within {span}")
        readouts = np.asarray(measurement.ticks, dtype=np.uint32) % DAY
        hits = np.flatnonzero(np.isin(readouts, np.array(inside, dtype=np.uint32)))
        if hits.size:
            at, number = clock_of(int(readouts[hits[0]])), int(hits[0]) + 1
            return self._says(Weight.SUPPORTS, f"acquisition {at} is readout {number} of {readouts.size}")
        first = clock_of(min(inside))
        return self._silent(f"acquisition {first} is no readout's time, though the measurement was running")


PLUGIN = Plugin("tick", NoSettings, TickClue)
