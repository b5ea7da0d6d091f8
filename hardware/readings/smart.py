"""What disks say of themselves: `smartctl --json` of every disk that it finds."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from hardware.readings import NoAnswer, ReaderSettings
from hardware.readings.tool import output_of
from hardware.records import Limit, Reading
from kspace.clock import SystemClock
from kspace.paths import AbsolutePath
from kspace.registry import Plugin

Run = Callable[[list[str]], str]

_COUNTED: Mapping[int, str] = {
    5: "disk_reallocated_sectors",
    197: "disk_pending_sectors",
    198: "disk_uncorrectable_sectors",
}
"""ATA attributes whose raw value is a plain count on every drive (smartmontools' drivedb.h)."""
_LIFE_LEFT = {
    "Media_Wearout_Indicator",
    "Percent_Life_Remaining",
    "Percent_Lifetime_Remain",
    "SSD_Life_Left",
    "Wear_Leveling_Count",
}
"""ATA attributes whose normalised value falls from 100 as the flash wears, by drivedb.h's names: numbers differ."""
_STALE_S = 7200.0
_NEVER_READ = 0b11
"""Bits of smartctl's exit status: a wrong command line, or a disk that did not open (smartctl(8), EXIT STATUS)."""


class SmartSettings(ReaderSettings):
    """How often, how long one disk may take, and from where on its values are findings."""

    every_s: float = Field(default=600.0, ge=1)
    timeout_s: float = Field(default=30.0, gt=0)
    warm_celsius: float = 50.0
    hot_celsius: float = 60.0
    worn_percent: float = Field(default=80.0, gt=0)
    left_in: AbsolutePath | None = None
    """Where a timer of root leaves what smartctl prints, since disks tell no other account; None: it is run here."""


class SmartReader:
    """Reads health, temperature, wear and bad sectors of every disk."""

    def __init__(self, settings: SmartSettings, *, run: Run | None = None) -> None:
        left_in = settings.left_in
        self._run = run or (
            (lambda command: _left(left_in, command))
            if left_in
            else (lambda command: output_of(command, timeout_s=settings.timeout_s, takes=range(256)))
        )
        self.limits = _limits(settings)

    def read(self) -> Iterator[Reading]:
        """Yield the readings of every disk that smartctl finds and may read.

        Raises:
            NotHere: smartctl is not installed.
            NoAnswer: it hangs, prints no JSON, or may read none of the disks it finds.
        """
        devices = self._ask("--scan-open").get("devices", [])
        seen = 0
        for device in devices:
            told = self._ask("-H", "-A", "-n", "standby,0", "-d", device["type"], device["name"])
            if told["smartctl"]["exit_status"] & _NEVER_READ:
                continue
            seen += 1
            yield from _of_disk(device["name"].removeprefix("/dev/"), told)
        if devices and not seen:
            raise NoAnswer(
                f"smartctl may read none of {len(devices)} disks; allow it to the relay's account (CAP_SYS_RAWIO, or "
                "CAP_SYS_ADMIN for NVMe)."
            )

    def _ask(self, *words: str) -> dict[str, Any]:
        try:
            told = json.loads(self._run(["smartctl", "--json=c", *words]))
            told["smartctl"]["exit_status"]
        except (ValueError, KeyError, TypeError) as error:
            raise NoAnswer("smartctl printed no JSON that is understood; version 7 or later is needed.") from error
        return dict(told)


def _left(folder: Path, command: list[str]) -> str:
    """Return what the timer left of smartctl's words, the scan or one disk's."""
    place = folder / f"{'scan' if '--scan-open' in command else Path(command[-1]).name}.json"
    try:
        age_s = SystemClock().now().timestamp() - place.stat().st_mtime
        if age_s < _STALE_S:
            return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        age_s = 0.0
    said = f"the newest are {age_s / 3600:.0f} h old" if age_s else "there is none"
    raise NoAnswer(f"No fresh words of smartctl are in {folder} ({said}); see `systemctl status kspace-smart.timer`.")


def _of_disk(name: str, told: Mapping[str, Any]) -> Iterator[Reading]:
    """Take what the disk has: hard disks do not wear, and a NVMe counts no sectors."""
    if "passed" in told.get("smart_status", {}):
        yield Reading(what="disk_is_healthy", of=name, value=float(told["smart_status"]["passed"]))
    if "current" in told.get("temperature", {}):
        yield Reading(what="disk_temperature_celsius", of=name, value=told["temperature"]["current"])
    nvme = told.get("nvme_smart_health_information_log", {})
    if "percentage_used" in nvme:  # NVMe Base Specification, SMART / Health Information log: may exceed 100
        yield Reading(what="disk_wear_percent", of=name, value=nvme["percentage_used"])
        yield Reading(what="disk_media_errors", of=name, value=nvme.get("media_errors", 0))
    for row in told.get("ata_smart_attributes", {}).get("table", []):
        if row["id"] in _COUNTED:
            yield Reading(what=_COUNTED[row["id"]], of=name, value=row["raw"]["value"])
        elif row["name"] in _LIFE_LEFT:
            yield Reading(what="disk_wear_percent", of=name, value=max(0, 100 - row["value"]))


def _limits(settings: SmartSettings) -> tuple[Limit, ...]:
    bad = "The disk {of} has {value:.0f} %s. What is mirrored is safe; plan to replace it, at once if the number grows."
    return (
        Limit(
            key="disk_health",
            what="disk_is_healthy",
            critical=0,
            is_low=True,
            text="The disk {of} says of itself that it is failing (SMART). Replace it now; what is mirrored is safe.",
        ),
        Limit(
            key="disk_hot",
            what="disk_temperature_celsius",
            warning=settings.warm_celsius,
            critical=settings.hot_celsius,
            gap=5,
            text="The disk {of} is {value:.0f} °C hot. See to fans, dust and the room.",
        ),
        Limit(
            key="disk_worn",
            what="disk_wear_percent",
            warning=settings.worn_percent,
            critical=100,
            text="The flash of disk {of} is worn to {value:.0f} %. Plan to replace it.",
        ),
        Limit(key="disk_pending", what="disk_pending_sectors", warning=1, text=bad % "sectors that it cannot read"),
        Limit(key="disk_reallocated", what="disk_reallocated_sectors", warning=10, text=bad % "replaced sectors"),
        Limit(key="disk_media", what="disk_media_errors", warning=1, text=bad % "media errors"),
    )


PLUGIN = Plugin("smart", SmartSettings, SmartReader)
