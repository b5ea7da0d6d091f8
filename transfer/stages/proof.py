"""What an archive shows of the images it was sent, against the images as they were received. Pure but for reading."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dicom.bulk import Bulk, bulk_of
from transfer.records import StoredInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the archive lacks, what it shows with other pixels, and how many it shows under other UIDs."""

    missing: tuple[StoredInstance, ...]
    altered: tuple[StoredInstance, ...]
    by_content: int


def prove(instances: Sequence[StoredInstance], shown: Iterable[Bulk], *, progress: Callable[[], None]) -> Proof:
    """Compare by SOP Instance UID and pixels; where scripts changed UIDs, by series number, count and pixels.

    An image that is shown once proves one image, so a series of equal images needs as many there as were received.
    """
    by_uid: dict[str, Bulk] = {}
    for bulk in shown:
        by_uid[bulk.sop_uid] = bulk
        progress()
    ours = {one.instance.sop_uid for one in instances}
    others = Counter((b.series_number, b.digest) for uid, b in by_uid.items() if uid not in ours)
    missing: list[StoredInstance] = []
    altered: list[StoredInstance] = []
    by_content = 0
    for one in instances:
        here = bulk_of(one.path)
        progress()
        there = by_uid.get(one.instance.sop_uid)
        if there is not None:
            altered += [one] * (there.digest != here.digest)
        elif others[here.series_number, here.digest]:
            others[here.series_number, here.digest] -= 1
            by_content += 1
        else:
            missing.append(one)
    return Proof(missing=tuple(missing), altered=tuple(altered), by_content=by_content)
