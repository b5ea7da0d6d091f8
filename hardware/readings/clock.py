"""Time synchronisation: `chronyc -c tracking`, or `timedatectl show` where chrony is not there."""

from collections.abc import Callable, Iterator

from pydantic import Field

from hardware.readings import NoAnswer, NotHere, ReaderSettings
from hardware.readings.tool import output_of
from hardware.records import Limit, Reading
from kspace.registry import Plugin

Run = Callable[[list[str]], str]


class ClockSettings(ReaderSettings):
    """How far the clock may be off before it is a finding."""

    timeout_s: float = Field(default=10.0, gt=0)
    most_offset_s: float = Field(default=1.0, gt=0)


class ClockReader:
    """Reads whether the clock follows a server, and by how much it is off."""

    def __init__(self, settings: ClockSettings, *, run: Run | None = None) -> None:
        self._run = run or (lambda command: output_of(command, timeout_s=settings.timeout_s))
        self.limits = (
            Limit(
                key="clock_sync",
                what="clock_is_synchronised",
                warning=0,
                is_low=True,
                text="The clock of the {of} follows no time server. Raw files and images are matched by time: see "
                "`chronyc sources`, or `timedatectl`.",
            ),
            Limit(
                key="clock_offset",
                what="clock_offset_seconds",
                warning=settings.most_offset_s,
                gap=settings.most_offset_s / 2,
                text="The clock of the {of} is {value:.1f} s off its time server. Raw files and images are matched by "
                "time; let it settle, or set it.",
            ),
        )

    def read(self) -> Iterator[Reading]:
        """Yield whether the clock is synchronised and its offset, where the tool tells it.

        Raises:
            NotHere: neither chrony nor systemd is there.
            NoAnswer: they do not answer.
        """
        try:
            yield from _of_chrony(self._run(["chronyc", "-c", "-n", "tracking"]))
        except (NotHere, NoAnswer) as first:
            try:
                said = self._run(["timedatectl", "show", "--property=NTPSynchronized"])
            except (NotHere, NoAnswer):
                raise first from None
            yield Reading(what="clock_is_synchronised", of="relay", value=float("NTPSynchronized=yes" in said))


def _of_chrony(said: str) -> Iterator[Reading]:
    """The fields of ``chronyc -c tracking`` in the order of its report (chronyc(1)); leap status is the last."""
    fields = said.strip().split(",")
    try:
        offset_s, leap = abs(float(fields[4])), fields[13]
    except (IndexError, ValueError) as error:
        raise NoAnswer("chronyc printed what is not understood; see `chronyc tracking`.") from error
    is_followed = leap != "Not synchronised"
    yield Reading(what="clock_is_synchronised", of="relay", value=float(is_followed), said=leap)
    if is_followed:
        yield Reading(what="clock_offset_seconds", of="relay", value=offset_s)


PLUGIN = Plugin("clock", ClockSettings, ClockReader)
