"""The study itself, on XA only: Meas.StudyInstanceUID of the TWIX header and StudyInstanceUID (0020,000D)."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin


class StudyUidClue(Clue):
    """Same study. The only clue that can say: another study."""

    name = "study_uid"
    level = Level.STUDY
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """One key ``study:<uid>``."""
        return frozenset({f"study:{measurement.study_uid}"} if measurement.study_uid else ())

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """The same."""
        return frozenset({f"study:{series.study_uid}"})

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two UIDs."""
        if measurement.study_uid is None:
            return self._silent("study UID missing in the raw data, as always before XA")
        if measurement.study_uid == series.study_uid:
            return self._says(Weight.SUPPORTS, f"same study {series.study_uid}")
        return self._says(Weight.CONTRADICTS, f"study {measurement.study_uid} against study {series.study_uid}")


PLUGIN = Plugin("study_uid", NoSettings, StudyUidClue)
