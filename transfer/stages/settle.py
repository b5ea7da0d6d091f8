"""FOUND -> SETTLED or SKIPPED: is the scanner done with the file, what is it, and does any project want it?"""

from collections.abc import Callable, Sequence

from kspace.clock import Clock
from kspace.errors import FileVanished
from kspace.records import Measurement, Verdict
from kspace.settle import Damaged, Growing, is_quiet, judge
from kspace.sources import Source
from kspace.twix.header import read_head
from kspace.twix.walk import quick_check
from transfer.records import Capture, Changed, Done, Held, Later, Outcome, Settled
from transfer.selection import choose_capture
from transfer.stages.vanished import vanished
from transfer.wishes import Rule


def settle(  # noqa: PLR0911, PLR0913 -- each answer by itself; the ports and the two times
    capture: Capture,
    *,
    source: Source,
    rules: Sequence[Rule],
    needed_by: Callable[[Measurement], Sequence[Measurement]],
    clock: Clock,
    quiet_s: float,
    patience_s: float,
) -> Outcome:
    """Look at the file with a few small reads and decide the first selection step.

    Raises:
        SourceError: the share does not answer, or the file vanished.
    """
    try:
        now_seen = source.stat(capture.file.path)
    except FileVanished:
        return vanished(capture)
    if now_seen != capture.file:
        return Done(Changed(now_seen, "The file is still growing on the share."))
    now, since = clock.now(), capture.changed_at
    if not is_quiet(seen=capture.file, now_seen=now_seen, since=since, now=now, quiet_s=quiet_s):
        return Later("The file has not been quiet for long enough.", quiet_s)
    if capture.file.size == 0 and not capture.as_is:
        return _empty(capture, waited_s=(now - since).total_seconds(), patience_s=patience_s)
    with source.open(capture.file.path) as reader:
        audit = quick_check(reader.read, capture.file.size)
        match judge(audit=audit, since=since, now=now, patience_s=patience_s):
            case Growing(reason, look_again_s):
                return Later(reason, look_again_s)
            case Damaged(reason) if not capture.as_is:
                return Held(f"{reason} {_QUARANTINE.format(id=capture.id)}", "damaged")
        known = audit.verdict not in {Verdict.NOT_TWIX, Verdict.HEADER_CUT}
        measurements = read_head(reader.read, capture.file.size) if known else ()
    image: Measurement | None = measurements[-1] if measurements else None
    needed = needed_by(image) if image else ()
    choice = choose_capture(rules, image, scanner=capture.scanner, needed_by=needed)
    if capture.as_is:
        choice = choice.model_copy(update={"is_wanted": True, "reason": "A person asked for it as it is."})
    elif not known:
        choice = choice.model_copy(update={"reason": f"{audit.reason} {choice.reason}"})
    return Done(Settled(audit, measurements, choice))


_QUARANTINE = (
    "It is left on the scanner and not captured: export it again there, or take it as it is with "
    "`kspace retry {id} --as-is`."
)


def _empty(capture: Capture, *, waited_s: float, patience_s: float) -> Outcome:
    if waited_s < patience_s:
        return Later("The file is empty so far.", patience_s - waited_s)
    return Held(f"The file is empty. {_QUARANTINE.format(id=capture.id)}", "damaged")
