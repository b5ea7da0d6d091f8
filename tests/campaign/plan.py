"""What happens to which file: one interruption a seed, always the same one for the same seed."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A kind of interruption, as the table names it."""

    CUT = "line cut in the request"
    RESET = "reset in the request"
    CUT_AFTER = "line cut in the answer, after the work was done"
    RESET_AFTER = "reset in the answer, after the work was done"
    STALL = "stalled in the request"
    STALL_AFTER = "answer withheld, after the work was done"
    DELAY = "delayed"
    TRICKLE = "slowed down to a trickle"
    TIMED_OUT = "504 after the work was done"
    TIMED_OUT_EARLY = "504, and the work done later"
    PAGE = "log-in page with status 200"
    LOGGED_OUT = "session ended within the request"
    SERVER_KILLED = "archive killed and restarted"
    ENGINE_KILLED = "relay killed and restarted"
    NAME_GONE = "name does not resolve"
    STRANGER = "certificate of somebody else"
    EXPIRED = "certificate expired"
    PASSWORD = "password changed and changed back"


EVENTS = frozenset({
    Kind.SERVER_KILLED, Kind.ENGINE_KILLED, Kind.NAME_GONE, Kind.STRANGER, Kind.EXPIRED, Kind.PASSWORD
})  # fmt: skip
"""What strikes everything at once, not one connection."""
CUTS = frozenset({Kind.CUT, Kind.RESET, Kind.CUT_AFTER, Kind.RESET_AFTER})
"""What ends a connection, which any client can be measured by."""
_UPLOADS, _READS = 7, 6
"""How many of either a file of the campaign has at least: parts, the two documents; parts read back as proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One interruption: in the ``nth`` request of a method that names the file, at a fraction of its bytes."""

    seed: int
    kind: Kind
    method: str
    nth: int
    at: float
    seconds: float
    """How long it lasts, where that is the campaign's to say."""

    def __str__(self) -> str:
        return f"seed {self.seed} ({self.kind}; {self.method} number {self.nth}, at {self.at:.3f})"


def plan_of(seed: int) -> Fault:
    """Return a seed's interruption. The kinds take turns, so that a few seeds have them all."""
    kinds, drawn = list(Kind), random.Random(seed)
    kind = kinds[seed % len(kinds)]
    is_read = kind not in {*EVENTS, Kind.LOGGED_OUT} and drawn.random() < 0.25
    return Fault(
        seed=seed,
        kind=kind,
        method="GET" if is_read else "PUT",
        nth=drawn.randrange(_READS if is_read else _UPLOADS),
        at=drawn.random(),
        seconds=drawn.uniform(0.05, 0.5),
    )
