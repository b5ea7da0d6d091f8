"""How a session stands: is everything of it safe, and if not, what is the matter? Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from transfer.states import CaptureState, DeliveryState

_SAFE = {CaptureState.DELIVERED, CaptureState.RETIRED}
_ONLY_THERE_FOR = timedelta(days=1)
"""A wanted file that is only on the scanner for longer than this is at risk: nobody knows when it is overwritten."""


class Standing(StrEnum):
    """How one raw file or one study's images stand; the first that any of a session's has is the session's own."""

    LOST = "lost"
    """It was wanted, and nobody has it any more."""
    NEEDS_A_PERSON = "needs a person"
    AT_RISK = "at risk"
    """Wanted, and only the scanner has it, for a day or after failed attempts; or what it needs is not there."""
    ON_ITS_WAY = "on its way"
    AS_EXPORTED = "complete as exported"
    """Complete, and the scanner may have more: only what somebody exported is seen."""
    COMPLETE = "complete"
    """Every archive proved that it holds it."""
    NOT_WANTED = "not wanted"
    """No rule asks for it, or it is the same bytes as another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFacts:
    """What the standing of one raw file rests on."""

    state: CaptureState
    is_packed: bool
    is_gone: bool
    failures: int
    first_seen_at: datetime
    held_codes: Collection[str | None]
    """Of itself and its deliveries, where held."""
    is_export: bool = False
    """From a source that shows only what somebody exported: what goes there is no loss."""
    is_in_doubt: bool = False
    """Images that came late put its scan in doubt."""
    lacks_dependency: bool = False
    """A rule wants what its reconstruction needs, and some of that is not there."""


def standing_of_raw(facts: RawFacts, *, now: datetime) -> Standing:
    """Return how one raw file stands."""
    if facts.state in {CaptureState.SKIPPED, CaptureState.RELEASED}:
        return Standing.NOT_WANTED
    if (facts.is_gone and not facts.is_packed and not facts.is_export) or "lost" in facts.held_codes:
        return Standing.LOST
    if facts.state is CaptureState.HELD or facts.held_codes or facts.is_in_doubt:
        return Standing.NEEDS_A_PERSON
    is_only_there = not facts.is_packed and facts.state not in _SAFE
    if facts.lacks_dependency or (is_only_there and _is_late(facts, now)):
        return Standing.AT_RISK
    if facts.state not in _SAFE:
        return Standing.ON_ITS_WAY
    return Standing.AS_EXPORTED if facts.is_export else Standing.COMPLETE


def _is_late(facts: RawFacts, now: datetime) -> bool:
    return facts.failures > 0 or now - facts.first_seen_at > _ONLY_THERE_FOR


def standing_of_images(states: Collection[DeliveryState]) -> Standing:
    """Return how a study's images stand, by its deliveries; without one no route fits, and a person must say where."""
    if not states or DeliveryState.HELD in states:
        return Standing.NEEDS_A_PERSON
    return Standing.COMPLETE if set(states) == {DeliveryState.VERIFIED} else Standing.ON_ITS_WAY


def badge(standings: Iterable[Standing]) -> tuple[Standing, dict[Standing, int]]:
    """Return the standing of a whole, which is its worst, and how many have each, the worst first."""
    counted = Counter(standings)
    counts = {standing: counted[standing] for standing in Standing if counted[standing]}
    return next(iter(counts), Standing.COMPLETE), counts
