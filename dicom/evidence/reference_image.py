"""The images the measurement was planned on: tReferenceImage0..2 (TWIX MeasYaps) are SOP Instances of its study."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin


class ReferenceImageClue(Clue):
    """The study holds a planning image. It supports through the localizer's series, for the whole study."""

    name = "reference_image"
    level = Level.STUDY
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """A key ``sop:<uid>`` for each planning image, three at most."""
        return frozenset(f"sop:{uid}" for uid in planned_on(measurement))

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """A key ``sop:<uid>`` for each instance."""
        return frozenset(f"sop:{uid}" for uid in series.sop_uids)

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Look for the planning images among the series' instances."""
        wanted = planned_on(measurement)
        if not wanted:
            return self._silent("the raw data name no planning image")
        found = wanted & series.sop_uids
        if found:
            return self._says(Weight.SUPPORTS, f"planned on {len(found)} of this series' images")
        return self._silent("planned on no image of this series")


def planned_on(measurement: Measurement) -> frozenset[str]:
    """Return the SOP Instance UIDs of the planning images; on XA the field reads ``class;uid;frame``."""
    parts = (text.split(";") for text in measurement.reference_image_uids)
    return frozenset(uid for part in parts if (uid := part[1] if len(part) > 1 else part[0]))


PLUGIN = Plugin("reference_image", NoSettings, ReferenceImageClue)
