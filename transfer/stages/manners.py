"""When a scanner may be read: in its windows, and not while it measures. Round the stage that reads whole files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from kspace.calendar import TimeZone, When, covers, next_opening, wall_clock
from kspace.clock import Clock
from kspace.errors import KspaceError
from kspace.paths import AbsolutePath
from transfer.records import Capture, Later, Outcome

_LOOK_AGAIN_S = 900.0
"""A clock may be set and a configuration changed: nothing waits longer without looking again."""
_PAUSED_S = 10.0
_ASK_EVERY_S = 5.0
"""Signs of measuring are looked for no oftener, however many chunks a second are read."""


class MannersSettings(BaseModel):
    """When a scanner may be read, and by what it is known to be measuring."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    windows: tuple[When, ...] = ()
    """Empty: always."""
    time_zone: TimeZone | None = None
    hold_while_scanning: bool = False
    idle_s: float = Field(default=600.0, gt=0)
    """How long after the last sign the scanner is taken to be measuring."""
    serial: str | None = Field(default=None, min_length=1, max_length=64)
    heartbeat: AbsolutePath | None = None


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that only a measuring scanner does, and when it did so last, by the relay's clock."""

    what: str
    at: datetime


class Manners:
    """The manners towards one scanner."""

    def __init__(
        self,
        settings: MannersSettings,
        *,
        clock: Clock,
        signs: Callable[[], list[Sign]] = list,
        paused_by: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._paused_by = paused_by
        self._clock = clock
        self._signs = signs
        self._last: Sign | None = None
        self._ask_at = clock.monotonic()

    def waits(self) -> Later | None:
        """Return why no file may be read now, and when to ask again; None: it may."""
        return self._paused() or self._outside() or self._measuring()

    def _paused(self) -> Later | None:
        who = self._paused_by()
        said = f"Waits: {who} paused the reading of this scanner, until an administrator resumes it on the page."
        return Later(said, _PAUSED_S) if who else None

    def must_wait(self) -> bool:
        """Return whether no file may be read now."""
        return self.waits() is not None

    def _outside(self) -> Later | None:
        windows, zone, now = self._settings.windows, self._settings.time_zone, self._clock.now()
        if not windows or any(covers(window, wall_clock(now, zone)) for window in windows):
            return None
        opens_at = next_opening(windows, now, zone)
        if opens_at is None:
            raise AssertionError("every span of the week begins within eight days")
        again_s = min((opens_at - now).total_seconds(), _LOOK_AGAIN_S)
        return Later(f"Waits for the scanner's window, which opens {wall_clock(opens_at, zone):%a %H:%M}.", again_s)

    def _measuring(self) -> Later | None:
        if not self._settings.hold_while_scanning:
            return None
        if self._clock.monotonic() >= self._ask_at:
            self._last = max(self._signs(), key=lambda sign: sign.at, default=None)
            self._ask_at = self._clock.monotonic() + _ASK_EVERY_S
        if self._last is None:
            return None
        idle_at = self._last.at + timedelta(seconds=self._settings.idle_s)
        left_s = (idle_at - self._clock.now()).total_seconds()
        if left_s <= 0:
            return None
        zone = self._settings.time_zone
        said = f"Waits while the scanner measures ({self._last.what} at {wall_clock(self._last.at, zone):%H:%M})"
        return Later(f"{said}; goes on {self._settings.idle_s:g} s after the last sign.", min(left_s, _LOOK_AGAIN_S))


class _NotNow(KspaceError):
    """The window closed, or the scanner began to measure, while a file was read."""

    def __init__(self, later: Later) -> None:
        super().__init__(later.reason)
        self.later = later


def polite(
    read: Callable[[Capture, Callable[[], None]], Outcome], *, manners: Mapping[str, Manners]
) -> Callable[[Capture, Callable[[], None]], Outcome]:
    """Return a stage that reads files only when their scanner may be read, and stops between two chunks.

    The chunks that it has stay in the spool, so it goes on from there.
    """

    def run(capture: Capture, progress: Callable[[], None]) -> Outcome:
        of_scanner = manners.get(capture.scanner)
        if of_scanner is None:  # no longer configured: the stage has the words for that
            return read(capture, progress)
        if later := of_scanner.waits():
            return later

        def go_on() -> None:
            progress()
            if later := of_scanner.waits():
                raise _NotNow(later)

        try:
            return read(capture, go_on)
        except _NotNow as stopped:
            return stopped.later

    return run
