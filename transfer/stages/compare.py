"""VERIFIED, raw: does the archive still list what it proved? One request; `audit` proves the bytes."""

from pathlib import Path

from transfer.catalog.copies import Copy
from transfer.destinations import Body, RawArchive, Stored
from transfer.destinations.errors import Missing
from transfer.records import RawDelivery
from transfer.stages.send import files_of, receipt_of


def is_listed(delivery: RawDelivery, *, archive: RawArchive, spool: Path) -> bool:
    """Return whether every file, the receipt too, is listed there, of its length, and of its MD5 if one is listed.

    Raises:
        DestinationError: the archive could not be asked.
    """
    try:
        listed = archive.listing(delivery.place or "")
    except Missing:
        return False
    files = files_of(delivery, spool=spool) | receipt_of(delivery, delivery.receipt)
    return all(_is_same(listed.get(name), body) for name, body in files.items())


def is_copy_listed(copy: Copy, *, archive: RawArchive) -> bool:
    """Return the same of a copy by its receipt: the parts, and the manifest, which was sent last.

    Raises:
        DestinationError: the archive could not be asked.
    """
    try:
        listed = archive.listing(copy.place)
    except Missing:
        return False
    found = [(listed.get(part.name), part) for part in copy.parts]
    return f"{copy.folder}/manifest.json" in listed and all(
        stored is not None and stored.size == part.size and (not (stored.md5 and part.md5) or stored.md5 == part.md5)
        for stored, part in found
    )


def _is_same(stored: Stored | None, body: Body) -> bool:
    return stored is not None and stored.size == body.size and stored.md5 in {None, body.md5}
