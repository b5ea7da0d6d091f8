"""What an archive shows of the images it was sent, against the images as they were received. Pure but for reading."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicom.bulk import Bulk, bulk_of
from transfer.records import StoredInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the archive lacks, what it shows with other pixels, and how many it shows under other UIDs."""

    missing: tuple[StoredInstance, ...]
    altered: tuple[StoredInstance, ...]
    by_content: int
    aliases: Mapping[str, str]
    """What the archive calls a series, by our UID of it, where its scripts changed that."""


def prove(instances: Sequence[StoredInstance], shown: Iterable[Bulk], *, progress: Callable[[], None]) -> Proof:
    """Compare by SOP Instance UID and pixels; where scripts changed UIDs, by series number, count and pixels.

    An image that is shown once proves one image, so a series of equal images needs as many there as were received.
    """
    by_uid: dict[str, Bulk] = {}
    for bulk in shown:
        by_uid[bulk.sop_uid] = bulk
        progress()
    ours = {one.instance.sop_uid for one in instances}
    others: dict[tuple[str, str], list[Bulk]] = defaultdict(list)
    for bulk in by_uid.values():
        if bulk.sop_uid not in ours:
            others[bulk.series_number, bulk.digest].append(bulk)
    found: dict[str, set[str]] = defaultdict(set)
    missing: list[StoredInstance] = []
    altered: list[StoredInstance] = []
    by_content = 0
    for one in instances:
        here = bulk_of(one.path)
        progress()
        there = by_uid.get(one.instance.sop_uid)
        if there is not None:
            altered += [one] * (there.digest != here.digest)
        elif alike := others[here.series_number, here.digest]:
            found[one.series_uid].add(alike.pop().series_uid)
            by_content += 1
        else:
            missing.append(one)
    aliases = {uid: next(iter(names)) for uid, names in found.items() if len(names) == 1}
    return Proof(missing=tuple(missing), altered=tuple(altered), by_content=by_content, aliases=aliases)
