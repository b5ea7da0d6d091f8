"""PACKED -> MATCHED: which study and which series the measurement belongs to."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from dicom.join import decide
from dicom.records import Certainty, Decision, Series, Weight
from kspace.clock import Clock
from kspace.records import Measurement
from transfer.catalog.dependencies import lay_beside
from transfer.records import Beside, Capture, Done, Held, Joined, Later, Outcome

_log = structlog.get_logger()


class Candidate(Protocol):
    """A series worth judging, and when its study last grew."""

    @property
    def series(self) -> Series:
        """The series."""

    @property
    def last_arrival_at(self) -> datetime:
        """When the study last grew."""


def join(  # noqa: PLR0913 -- the ports and the two times
    capture: Capture,
    *,
    find: Callable[[Measurement], Sequence[Candidate]],
    rivals: Callable[[Measurement], Sequence[Measurement]],
    beside: Callable[[Measurement], Beside | None],
    clock: Clock,
    quiet_s: float,
    no_series_after_s: float,
    is_rejected: Callable[[int, Decision], bool] = lambda *_: False,
) -> Outcome:
    """Judge the imaging measurement against every candidate; certain goes on, everything else waits and says why.

    Nothing is decided while a study still grows: the next image may be the better evidence. What is certain of no
    series, and what another measurement's reconstruction needs, goes beside that one. An answer that a person took back
    (``is_rejected``) is not given again.
    """
    if capture.image is None:
        return Later("No DICOM can be matched: the raw file's header could not be read.", _A_DAY_S)
    found = find(capture.image)
    now = clock.now()
    quiet_at = max((c.last_arrival_at for c in found), default=now) + timedelta(seconds=quiet_s)
    if found and quiet_at > now:
        return Later("DICOM of this study is still arriving.", (quiet_at - now).total_seconds())
    decision = decide(capture.image, [c.series for c in found], rivals=rivals(capture.image))
    _tell(capture.id, capture.image, decision)
    waits_until = capture.since_at + timedelta(seconds=no_series_after_s)
    needed = beside(capture.image) if decision.certainty is not Certainty.CERTAIN else None
    outcome = _beside(needed, decision, may_wait=now < waits_until) if needed else None
    outcome = outcome or _by_certainty(capture, decision, found, now, no_series_after_s)
    match outcome:
        case Done(Joined(answer)) if is_rejected(capture.id, answer):
            return Held(f"{answer.reason} A person said that it is not. {_SAY_WHICH}", "join")
    return outcome


def _tell(capture_id: int, image: Measurement, decision: Decision) -> None:
    """Log the answer as evidence from the field, by the names of keys alone; `kspace join-report` adds them up."""
    own = {j for j in decision.judged if j.series_uid in decision.series_uids} or set(decision.judged)
    said = {weight: sorted({e.clue for j in own for e in j.evidence if e.weight is weight}) for weight in Weight}
    _log.info(
        "join.decided",
        id=capture_id,
        certainty=str(decision.certainty),
        model=image.model,
        software=image.software,
        agreed=said[Weight.SUPPORTS],
        against=said[Weight.CONTRADICTS],
    )


def _beside(needed: Beside, decision: Decision, *, may_wait: bool) -> Outcome | None:
    """Return that a dependency goes to the scan of what needs it; None where that has none or is long in coming."""
    if needed.study_uid is None:
        reason = f"Goes to the scan of MID {needed.mid}, whose reconstruction needs it, once that is known."
        return Later(reason, _LOOK_AGAIN_S) if may_wait else None
    found = lay_beside(needed, decision)
    return Done(Joined(found)) if found else None


def _by_certainty(
    capture: Capture, decision: Decision, found: Sequence[Candidate], now: datetime, no_series_after_s: float
) -> Outcome:
    match decision.certainty:
        case Certainty.CERTAIN:
            return Done(Joined(decision))
        case Certainty.STUDY_ONLY:
            return _without_series(capture, decision, found, now, no_series_after_s)
        case Certainty.AMBIGUOUS:
            return Held(f"{decision.reason} A person must say which scan it is.", "join")
        case _:
            return Later(f"No DICOM matches yet: {decision.reason}", _A_DAY_S)


_SAY_WHICH = "Say with `kspace link` which scan it is of; `kspace undo` takes the word back that it is not of this one."
_LOOK_AGAIN_S = 600.0
_A_DAY_S = 86_400.0
"""New DICOM of the scanner wakes the capture at once; this is only the longest silence."""


def _without_series(
    capture: Capture, decision: Decision, found: Sequence[Candidate], now: datetime, no_series_after_s: float
) -> Outcome:
    grown = [c.last_arrival_at for c in found if c.series.study_uid == decision.study_uid]
    at = max([capture.since_at, *grown]) + timedelta(seconds=no_series_after_s)
    if now >= at:
        return Done(Joined(decision))
    return Later(
        f"{decision.reason} It goes to the session itself if no series comes by {at:%Y-%m-%d %H:%M} UTC.",
        (at - now).total_seconds(),
    )
