"""What an archive shows of the images it was sent, against the images as they were received. Pure but for reading."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest

from pydicom.errors import InvalidDicomError

from dicom.bulk import Bulk, bulk_of
from kspace.errors import SpoolDamaged
from transfer.records import StoredInstance

_DAMAGED = (
    "An image in the spool is not what was received any more, so nothing proves that the archive has it. Send the "
    "study again from the scanner, then retry; and see to the disk."
)


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
        here = _here(one)
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


def _here(one: StoredInstance) -> Bulk:
    """Read what was received, after seeing that it still is what was received."""
    try:
        with one.path.open("rb") as handle:
            if file_digest(handle, "sha256").hexdigest() == one.sha256:
                return bulk_of(handle)
    except (OSError, InvalidDicomError) as error:
        raise SpoolDamaged(_DAMAGED) from error
    raise SpoolDamaged(_DAMAGED)
