"""VERIFIED, raw: does the archive still list what it proved? One request; `audit` proves the bytes."""

from pathlib import Path

from transfer.destinations import RawArchive, Stored
from transfer.destinations.errors import Missing
from transfer.records import RawDelivery
from transfer.stages.send import files_of


def is_listed(delivery: RawDelivery, *, archive: RawArchive, spool: Path) -> bool:
    """Return whether every file is in the archive's list, of its length, and of its MD5 where the list has one.

    Raises:
        DestinationError: the archive could not be asked.
    """
    try:
        listed = archive.listing(delivery.place or "")
    except Missing:
        return False
    files = files_of(delivery, spool=spool)
    same = {name: {Stored(size=b.size, md5=b.md5), Stored(size=b.size, md5=None)} for name, b in files.items()}
    return all(listed.get(name) in same[name] for name in files)
