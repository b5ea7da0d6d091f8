"""The scanner's serial number, as text: DeviceSerialNumber on both sides, else the one inside a Siemens UID."""

from dicom.clue import Clue, NoSettings, Strength
from dicom.records import Evidence, Level, Series, Weight
from dicom.uids import serial_in
from kspace.records import Measurement
from kspace.registry import Plugin


def serial_of_measurement(measurement: Measurement) -> str | None:
    """Return DeviceSerialNumber of the TWIX buffer Dicom, else the serial in its frame of reference or study UID."""
    return measurement.serial or serial_in((measurement.frame_of_reference, measurement.study_uid))


def serial_of_series(series: Series) -> str | None:
    """Return DeviceSerialNumber (0018,1000), else the serial in the series' UIDs."""
    return series.serial or serial_in((series.series_uid, series.study_uid, series.frame_of_reference))


class SerialClue(Clue):
    """Same scanner. It has no keys: every series of a scanner would be a candidate."""

    name = "serial"
    level = Level.SCANNER
    strength = Strength.STRONG

    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Compare the two serial numbers."""
        raw, image = serial_of_measurement(measurement), serial_of_series(series)
        if raw is None or image is None:
            return self._silent(f"serial number missing in {'the raw data' if raw is None else 'the DICOM'}")
        if raw == image:
            return self._says(Weight.SUPPORTS, f"same scanner {raw}")
        return self._says(Weight.CONTRADICTS, f"scanner {raw} against scanner {image}")


PLUGIN = Plugin("serial", NoSettings, SerialClue)
