"""Has the scanner finished writing a file? Pure judgement on what was seen when."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kspace.records import Audit, SourceFile, Verdict


@dataclass(frozen=True, slots=True)
class Growing:
    """Not quiet for long enough, or quiet but not whole yet: look again after so many seconds."""

    reason: str
    look_again_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Quiet, and whole as far as a quick look can tell; or no TWIX at all, where quiet is all one can ask."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """Quiet beyond patience and still not whole."""

    reason: str


def is_quiet(*, seen: SourceFile, now_seen: SourceFile, since: datetime, now: datetime, quiet_s: float) -> bool:
    """Return whether size and time of change have stayed the same for long enough.

    ``since`` is when the relay (by its own clock, never the share's) first saw the file as it is.
    """
    return seen == now_seen and now - since >= timedelta(seconds=quiet_s)


def judge(*, audit: Audit, since: datetime, now: datetime, patience_s: float) -> Growing | Settled | Damaged:
    """Judge a quiet file by its quick check.

    A file that is quiet but not whole may be an export that paused: it gets ``patience_s`` before it is called
    damaged. Nothing is captured in between, so nothing half-written is ever taken for whole.
    """
    if audit.verdict.is_whole or audit.verdict is Verdict.NOT_TWIX:
        return Settled()
    waited_s = (now - since).total_seconds()
    if waited_s < patience_s:
        return Growing(f"Not whole yet: {audit.reason}", look_again_s=patience_s - waited_s)
    return Damaged(audit.reason)
