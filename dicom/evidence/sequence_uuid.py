"""The mark that CMRR's multiband sequences set: a UUID in sWipMemBlock.tFree (TWIX) and in (0021,1043) of the image."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import Plugin


class SequenceUuidClue(Clue):
    """Same mark. The relay of the Human Connectome Project finds raw data by it (XNAT wiki, Data Relay Workflow)."""

    name = "sequence_uuid"
    level = Level.MEASUREMENT
    strength = Strength.STRONG

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:
        """One key ``uuid:<uuid>``."""
        return _keys(measurement.free_uuid)

    def keys_of_series(self, series: Series) -> frozenset[str]:
        """The same."""
        return _keys(series.free_uuid)

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two marks."""
        raw, image = measurement.free_uuid, series.free_uuid
        if raw is None or image is None:
            return self._silent(f"no mark of the sequence in {'the raw data' if raw is None else 'the DICOM'}")
        if raw.lower() == image.lower():
            return self._says(Weight.SUPPORTS, f"the sequence's mark {raw.lower()} on both sides")
        return self._says(Weight.CONTRADICTS, f"the sequence's mark {raw.lower()} against {image.lower()}")


def _keys(uuid: str | None) -> frozenset[str]:
    return frozenset({f"uuid:{uuid.lower()}"} if uuid else ())


PLUGIN = Plugin("sequence_uuid", NoSettings, SequenceUuidClue)
