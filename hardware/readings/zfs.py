"""ZFS pools, from the text of `zpool status`: it is the same in every version, JSON came with OpenZFS 2.3."""

import re
from collections.abc import Callable, Iterator

from pydantic import Field

from hardware.readings import NoAnswer, ReaderSettings
from hardware.readings.tool import output_of
from hardware.records import Limit, Reading
from kspace.registry import Plugin

_STATE = re.compile(r"^ +state: (\S+)", re.MULTILINE)
_DEVICE = re.compile(r"^\s+(\S+)\s+([A-Z]+)\s+(\d\S*)\s+(\d\S*)\s+(\d\S*)", re.MULTILINE)
_GROUP = re.compile(r"(mirror|raidz\d|draid\S*|spare|replacing)-\d+$")
_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_WHOLE = {"ONLINE", "AVAIL", "INUSE"}

Run = Callable[[list[str]], str]


class ZfsSettings(ReaderSettings):
    """How long `zpool` may take; it hangs where a pool is suspended."""

    timeout_s: float = Field(default=30.0, gt=0)


class ZfsReader:
    """Reads the health of every pool (zpool-status(8), zpoolconcepts(7) "Device Failure and Recovery")."""

    limits = (
        Limit(
            key="zfs",
            what="zfs_bad_devices",
            critical=1,
            text="The ZFS pool {of} is {said}. See `zpool status {of}`; replace what is faulted. Nothing was deleted.",
        ),
        Limit(
            key="zfs_errors",
            what="zfs_errors",
            warning=1,
            text="The ZFS pool {of} counted {value:.0f} errors of its disks. See `zpool status {of}`; `zpool clear "
            "{of}` once the cause is gone.",
        ),
    )

    def __init__(self, settings: ZfsSettings, *, run: Run | None = None) -> None:
        self._run = run or (lambda command: output_of(command, timeout_s=settings.timeout_s, takes=(0, 1)))

    def read(self) -> Iterator[Reading]:
        """Yield of each pool how many devices are not whole, and how many errors they counted.

        Raises:
            NotHere: ZFS is not installed.
            NoAnswer: `zpool` hangs, or says what nobody understands.
        """
        for block in re.split(r"(?m)^ +pool: ", self._run(["zpool", "status"]))[1:]:
            name, state, rows = block.split("\n", 1)[0].strip(), _STATE.search(block), _DEVICE.findall(block)
            if state is None:
                raise NoAnswer("zpool status printed what is not understood; run it by hand.")
            devices = [row for row in rows if row[0] != name and not _GROUP.match(row[0])]
            bad = [row[0] for row in devices if row[1] not in _WHOLE]
            said = f"{state[1]} (not whole: {', '.join(bad)})" if bad else state[1]
            yield Reading(what="zfs_bad_devices", of=name, value=max(len(bad), int(state[1] != "ONLINE")), said=said)
            yield Reading(what="zfs_errors", of=name, value=sum(_number(n) for row in devices for n in row[2:]))


def _number(text: str) -> float:
    return float(text.rstrip("KMGT")) * _UNITS.get(text[-1], 1)


PLUGIN = Plugin("zfs", ZfsSettings, ZfsReader)
