"""MATCHED -> PLANNED or RELEASED: who gets the capture, and in which parts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from kspace.clock import Clock
from kspace.errors import SpoolDamaged
from kspace.manifest import read_manifest
from kspace.records import Measurement
from transfer.catalog.matching import BY_HAND
from transfer.records import Capture, Changed, Done, Held, Later, NewDelivery, Outcome, Planned, Released
from transfer.selection import Choice, choose_delivery
from transfer.stages.cutting import cut_parts
from transfer.wishes import Rule


def plan(  # noqa: PLR0913 -- the ports and what the plan depends on
    capture: Capture,
    *,
    spool: Path,
    rules: Sequence[Rule],
    needed_by: Callable[[Measurement], Sequence[Measurement]],
    part_bytes: Mapping[str, int],
    clock: Clock,
    release_after_s: float,
    progress: Callable[[], None],
) -> Outcome:
    """Decide the second selection step for every project the study goes to, and cut the parts.

    Raises:
        SpoolError: the disk does not give the packed file, where it has to be read to be cut.
    """
    if capture.match is None or capture.manifest is None:
        raise AssertionError("a MATCHED capture has a match and a manifest")
    targets = [(d, p) for d, p in capture.match.targets if d in part_bytes]
    if not targets:
        return Later("The study's DICOM has no route to any destination: add a [[route]] for it.", 600.0)
    needed = needed_by(capture.image) if capture.image else ()
    choices = [
        choose_delivery(rules, capture.image, scanner=capture.scanner, project=project, needed_by=needed)
        for _, project in targets
    ]
    wanted = [target for target, choice in zip(targets, choices, strict=True) if choice.is_wanted]
    if not wanted and capture.match.certainty == BY_HAND:
        return Held(f"A person linked this file, and {_why(choices)} {_BY_HAND_HELP}", "unwanted_link")
    if not wanted:
        return _unwanted(choices, since=capture.since_at, now=clock.now(), after_s=release_after_s)
    chunks = read_manifest(capture.manifest).chunks
    try:
        deliveries = tuple(
            NewDelivery(
                destination=destination,
                project=project,
                parts=cut_parts(spool / capture.spooled, chunks, part_bytes=part_bytes[destination], progress=progress),
            )
            for destination, project in wanted
        )
    except SpoolDamaged:
        reason = "The packed file in the spool is damaged; the source is looked at from the start."
        return Done(Changed(capture.file, reason))
    return Done(Planned(tuple(choices), deliveries))


_BY_HAND_HELP = "It stays in the spool: add a rule that wants it there, or link it elsewhere, then `kspace retry`."


def _why(choices: Sequence[Choice]) -> str:
    return " ".join(choice.reason for choice in choices)


def _unwanted(choices: Sequence[Choice], *, since: datetime, now: datetime, after_s: float) -> Outcome:
    at = since + timedelta(seconds=after_s)
    if now >= at:
        return Done(Released(tuple(choices)))
    return Later(f"{_why(choices)} Released from the spool at {at:%Y-%m-%d %H:%M} UTC.", (at - now).total_seconds())
