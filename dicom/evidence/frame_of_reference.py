"""The registration of the patient: FrameOfReference (TWIX Config, Meas) and FrameOfReferenceUID (0020,0052)."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from dicom.uids import registration_of
from kspace.records import Measurement
from kspace.registry import Plugin


class FrameOfReferenceClue(Clue):
    """Same registration, by serial and stamp. Another one is silence: a study may have several (four in one, on XA)."""

    name = "frame_of_reference"
    level = Level.STUDY
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """One key ``for:<serial>:<stamp>``."""
        return _keys(measurement.frame_of_reference)

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """The same."""
        return _keys(series.frame_of_reference)

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two registrations."""
        raw, image = registration_of(measurement.frame_of_reference), registration_of(series.frame_of_reference)
        if raw is None or image is None:
            return self._silent(f"frame of reference missing in {'the raw data' if raw is None else 'the DICOM'}")
        if raw == image:
            return self._says(Weight.SUPPORTS, f"same frame of reference {raw[0]}, {raw[1]}")
        return self._silent(f"frames of reference {raw[0]}, {raw[1]} and {image[0]}, {image[1]} differ")


def _keys(frame_of_reference: str | None) -> frozenset[str]:
    found = registration_of(frame_of_reference)
    return frozenset({f"for:{found[0]}:{found[1]}"} if found else ())


PLUGIN = Plugin("frame_of_reference", NoSettings, FrameOfReferenceClue)
