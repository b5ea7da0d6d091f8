"""Temperatures of the machine: what the kernel's sensors show (hwmon, through psutil)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psutil

from hardware.readings import NotHere, ReaderSettings
from hardware.records import Limit, Reading
from kspace.registry import Plugin

Sensors = Callable[[], Mapping[str, Sequence[Any]]]


class TemperatureSettings(ReaderSettings):
    """From where on the machine is too hot; disks have their own limits (see smart)."""

    hot_celsius: float = 85.0


class TemperatureReader:
    """Reads every sensor that has a value; disks' own are read by SMART and left out here."""

    def __init__(self, settings: TemperatureSettings, *, sensors: Sensors | None = None) -> None:
        self._sensors = sensors or psutil.sensors_temperatures
        self.limits = (
            Limit(
                key="hot",
                what="temperature_celsius",
                warning=settings.hot_celsius,
                gap=5,
                text="The machine is hot: {of} shows {value:.0f} °C. See to fans, dust and the room.",
            ),
        )

    def read(self) -> Iterator[Reading]:
        """Yield each sensor's temperature.

        Raises:
            NotHere: the machine has no sensors, as virtual ones have none.
        """
        found = self._sensors()
        if not found:
            raise NotHere("This machine shows no temperatures; they are not watched.")
        for chip, sensors in found.items():
            if chip not in {"nvme", "drivetemp"}:
                for number, sensor in enumerate(sensors):
                    yield Reading(
                        what="temperature_celsius", of=f"{chip}/{sensor.label or number}", value=sensor.current
                    )


PLUGIN = Plugin("temperature", TemperatureSettings, TemperatureReader)
