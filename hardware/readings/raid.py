"""Linux software RAID, from /proc/mdstat.

Every account may read it, and unlike `mdadm --detail --export` it names failed members and how far a rebuild is.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware.readings import NotHere, ReaderSettings
from hardware.records import Limit, Reading
from kspace.registry import Plugin

_ARRAY = re.compile(r"^(?P<name>md\S*) : (?P<state>\w+)")
_LEVEL = re.compile(r"raid(\d+)")
_COUNTS = re.compile(r"\[(?P<wanted>\d+)/(?P<there>\d+)\] \[[U_]+\]")
_FAILED = re.compile(r"(\S+)\[\d+\](?:\([A-Z]\))*\(F\)")
_ACTION = re.compile(r"(?P<what>recovery|resync|check|reshape)\s*=\s*(?P<percent>[\d.]+)%")


class RaidSettings(ReaderSettings):
    """How often to look; there is nothing to name, the kernel knows every array."""


class RaidReader:
    """Reads /proc/mdstat (Documentation/admin-guide/md.rst; drivers/md/md.c, ``md_seq_show``)."""

    limits = (
        Limit(
            key="raid",
            what="raid_missing_members",
            critical=1,
            text="The array {of} lacks {value:.0f} of its disks{said}. The data are still there, without the next "
            "disk's protection. Replace the disk; the array is rebuilt beside the work.",
        ),
        Limit(
            key="raid_down",
            what="raid_is_running",
            critical=0,
            is_low=True,
            text="The array {of} does not run: it lost more disks than it can do without. Nothing was deleted: stop "
            "the relay, and ask for help before anything is written to its disks.",
        ),
    )

    def __init__(self, settings: RaidSettings, *, mdstat: Callable[[], str] | None = None) -> None:
        del settings
        self._mdstat = mdstat or _read_mdstat

    def read(self) -> Iterator[Reading]:
        """Yield how many members each array lacks, how many failed, and how far a rebuild is.

        Raises:
            NotHere: this kernel has no software RAID.
        """
        for name, state, told in _arrays(self._mdstat()):
            counts, action, failed = _COUNTS.search(told), _ACTION.search(told), _FAILED.findall(told)
            missing = int(counts["wanted"]) - int(counts["there"]) if counts else 0
            is_running = state == "active" and missing <= _may_lack(told, counts)
            yield Reading(what="raid_is_running", of=name, value=float(is_running), said=state)
            yield Reading(what="raid_missing_members", of=name, value=missing, said=_said(failed, action))
            yield Reading(what="raid_failed_members", of=name, value=len(failed), said=", ".join(failed))
            if action:
                yield Reading(what="raid_rebuilt_percent", of=name, value=float(action["percent"]), said=action["what"])


def _read_mdstat() -> str:
    try:
        return Path("/proc/mdstat").read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotHere("This system has no software RAID (mdadm); its arrays are not watched.") from None


def _arrays(mdstat: str) -> Iterator[tuple[str, str, str]]:
    """Yield each array's name, its state, and all lines that tell of it."""
    for block in re.split(r"\n(?=md|unused)", mdstat):
        found = _ARRAY.match(block)
        if found:
            yield found["name"], found["state"], block


def _may_lack(told: str, counts: re.Match[str] | None) -> int:
    """How many members the level can do without; the kernel calls an array that lost more of them active still."""
    level = _LEVEL.search(told)
    by_level = {"4": 1, "5": 1, "6": 2, "10": 1, "1": int(counts["wanted"]) - 1 if counts else 0}
    return by_level.get(level[1], 0) if level else 0


def _said(failed: list[str], action: re.Match[str] | None) -> str:
    words = [f"failed: {', '.join(failed)}"] if failed else []
    words += [f"{action['what']} at {action['percent']} %"] if action else []
    return f" ({'; '.join(words)})" if words else ""


PLUGIN = Plugin("raid", RaidSettings, RaidReader)
