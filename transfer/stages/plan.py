"""MATCHED -> PLANNED or RELEASED: who gets the capture, and in which parts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import md5, sha256
from pathlib import Path

from kspace.clock import Clock
from kspace.container import cut
from kspace.errors import SpoolError
from kspace.manifest import read_manifest
from kspace.records import Chunk, Part
from transfer.records import Capture, Changed, Done, Later, NewDelivery, Outcome, Planned, Released
from transfer.selection import Choice, Rule, choose_delivery


def plan(  # noqa: PLR0913 -- the ports and what the plan depends on
    capture: Capture,
    *,
    spool: Path,
    rules: Sequence[Rule],
    part_bytes: Mapping[str, int],
    clock: Clock,
    release_after_s: float,
    progress: Callable[[], None],
) -> Outcome:
    """Decide the second selection step for every project the study goes to, and cut the parts.

    The packed file is read once here: each chunk against its digest, so that what leaves is what was packed.

    Raises:
        SpoolError: the disk does not give the packed file.
    """
    if capture.match is None or capture.manifest is None:
        raise AssertionError("a MATCHED capture has a match and a manifest")
    targets = [(d, p) for d, p in capture.match.targets if d in part_bytes]
    if not targets:
        return Later("The study's DICOM has no route to any destination: add a [[route]] for it.", 600.0)
    choices = [
        choose_delivery(rules, capture.image, scanner=capture.scanner, project=project) for _, project in targets
    ]
    wanted = [target for target, choice in zip(targets, choices, strict=True) if choice.is_wanted]
    if not wanted:
        return _unwanted(choices, since=capture.since_at, now=clock.now(), after_s=release_after_s)
    chunks = read_manifest(capture.manifest).chunks
    try:
        deliveries = tuple(
            NewDelivery(
                destination=destination,
                project=project,
                parts=_parts(spool / capture.spooled, chunks, part_bytes[destination], progress),
            )
            for destination, project in wanted
        )
    except _Damaged:
        reason = "The packed file in the spool is damaged; the source is looked at from the start."
        return Done(Changed(capture.file, reason))
    return Done(Planned(tuple(choices), deliveries))


class _Damaged(Exception):
    """The packed file is not what was packed."""


def _parts(packed: Path, chunks: Sequence[Chunk], part_bytes: int, progress: Callable[[], None]) -> tuple[Part, ...]:
    parts = []
    try:
        with packed.open("rb") as handle:
            for number, run in enumerate(cut(chunks, part_bytes=part_bytes), start=1):
                first, whole = md5(usedforsecurity=False), sha256()
                for chunk in run:
                    stored = handle.read(chunk.stored_bytes)
                    if sha256(stored).hexdigest() != chunk.sha256:
                        raise _Damaged
                    first.update(stored)
                    whole.update(stored)
                    progress()
                parts.append(
                    Part(
                        number=number,
                        name=f"part-{number:05d}.bin",
                        offset=run[0].offset,
                        size=sum(c.stored_bytes for c in run),
                        md5=first.hexdigest(),
                        sha256=whole.hexdigest(),
                    )
                )
    except FileNotFoundError as error:
        raise _Damaged from error
    except OSError as error:  # the bytes may be well: the source is not asked for what it may not have any more
        raise SpoolError("The packed file cannot be read; the relay tries again by itself.") from error
    return tuple(parts)


def _unwanted(choices: Sequence[Choice], *, since: datetime, now: datetime, after_s: float) -> Outcome:
    at = since + timedelta(seconds=after_s)
    if now >= at:
        return Done(Released(tuple(choices)))
    why = " ".join(c.reason for c in choices)
    return Later(f"{why} Released from the spool at {at:%Y-%m-%d %H:%M} UTC.", (at - now).total_seconds())
