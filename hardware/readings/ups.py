"""The uninterruptible power supply: what `upsc` of Network UPS Tools tells."""

from collections.abc import Callable, Iterator

from pydantic import Field

from hardware.readings import ReaderSettings
from hardware.readings.tool import output_of
from hardware.records import Limit, Reading
from kspace.registry import Plugin

Run = Callable[[list[str]], str]

_NUMBERS = {
    "battery.charge": "ups_charge_percent",
    "battery.runtime": "ups_runtime_seconds",
    "ups.load": "ups_load_percent",
}
"""NUT's variables (docs/nut-names.txt) and ours."""


class UpsSettings(ReaderSettings):
    """Which UPS feeds the relay, and for how long it works on battery before it stops."""

    every_s: float = Field(default=15.0, ge=1)
    address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+(@[A-Za-z0-9.:_-]+)?$")
    """As `upsc` takes it, ``ups@localhost``. None: there is none."""
    timeout_s: float = Field(default=10.0, gt=0)
    stop_after_s: float = Field(default=60.0, ge=0)
    """For so long on battery the relay goes on; a battery that is low ends it at once."""


class UpsReader:
    """Reads whether there is mains, and how long the battery lasts (NUT developer guide, status data: OL, OB, LB)."""

    limits = (
        Limit(
            key="ups",
            what="ups_is_on_battery",
            critical=1,
            text="The power is out: the relay runs on the battery of its UPS{said}. It finishes what it sends, then "
            "stops, and goes on by itself when the power is back. Nothing is lost.",
        ),
        Limit(
            key="ups_battery",
            what="ups_battery_is_old",
            warning=1,
            text="The UPS {of} asks for a new battery. Without one, a power cut ends the relay at once; nothing would "
            "be lost, and it would go on by itself.",
        ),
    )

    def __init__(self, settings: UpsSettings, *, run: Run | None = None) -> None:
        self._address = settings.address
        self._run = run or (lambda command: output_of(command, timeout_s=settings.timeout_s))

    def read(self) -> Iterator[Reading]:
        """Yield the state of the UPS; nothing where there is none.

        Raises:
            NotHere: NUT is not installed.
            NoAnswer: its server or the UPS does not answer.
        """
        if self._address is None:
            return
        told = dict(line.split(": ", 1) for line in self._run(["upsc", self._address]).splitlines() if ": " in line)
        name, status = self._address.split("@")[0], told.get("ups.status", "").split()
        said = f" ({told['battery.charge']} % left)" if "battery.charge" in told else ""
        yield Reading(what="ups_is_on_battery", of=name, value=float("OB" in status), said=said)
        yield Reading(what="ups_battery_is_low", of=name, value=float("LB" in status))
        yield Reading(what="ups_battery_is_old", of=name, value=float("RB" in status))
        for variable, what in _NUMBERS.items():
            if variable in told:
                yield Reading(what=what, of=name, value=float(told[variable]))


PLUGIN = Plugin("ups", UpsSettings, UpsReader)
