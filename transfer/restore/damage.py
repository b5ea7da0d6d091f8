"""What cannot be had of a capture, and what is whole all the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kspace.twix.excerpt import Ranges
from transfer.restore.copy import Copy

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the original, as (start, end), that one part does not give back, and in which way."""

    part: str
    how: str
    ranges: Ranges


def lost_ranges(damages: Sequence[Damage], *, within: Ranges) -> Ranges:
    """Return what is lost of the ranges that are wanted, neighbours joined."""
    lost = joined(r for damage in damages for r in damage.ranges)
    return tuple(r for r in lost if _touches(r, within))


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the ranges in their order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def whole_measurements(copy: Copy, lost: Ranges) -> list[int]:
    """Return the measurements, counted from 1, that no loss touches."""
    starts = [offset for offset, _ in copy.manifest.headers]
    spans = zip(starts, [*starts[1:], copy.manifest.size], strict=True) if starts else ()
    return [number for number, span in enumerate(spans, start=1) if not _touches(span, lost)]


def told(damages: Sequence[Damage], lost: Ranges, *, copy: Copy) -> str:
    """Return in words which part is wrong, which bytes are lost with it, and what is whole."""
    parts = _some(sorted({f"{d.part} is {d.how}" for d in damages}))
    ranges = _some([f"{start:,} to {end:,}" for start, end in lost])
    whole, number = whole_measurements(copy, lost), len(copy.manifest.headers)
    said = f"{copy.folder}: {parts} in the archive, so bytes {ranges} of {copy.manifest.size:,} cannot be had."
    if not number:
        return said
    return f"{said} Whole: {'measurement ' + _some([str(n) for n in whole]) if whole else 'none'} of {number}."


def _touches(span: tuple[int, int], ranges: Ranges) -> bool:
    return any(span[0] < end and start < span[1] for start, end in ranges)


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
