"""VERIFIED -> VERIFIED, raw: long after the receipt the archive proves the bytes that lie there now."""

from pathlib import Path

from transfer.destinations import RawArchive
from transfer.destinations.errors import Missing, NotHeld
from transfer.records import Done, Outcome, RawDelivery, SendAgain, StillHeld
from transfer.stages.send import files_of, receipt_of
from transfer.stages.verify import lay_down


def audit(delivery: RawDelivery, *, archive: RawArchive, spool: Path) -> Outcome:
    """Find what the archive lost or altered since; `send` then sends it again, or says that the only copy was there.

    A receipt that alone was lost or altered is laid down again here.

    Raises:
        DestinationError: the archive could not be asked.
    """
    files = files_of(delivery, spool=spool)
    try:
        proofs = archive.prove(delivery.place or "", files, afresh=True)
    except NotHeld as error:
        names = error.names or frozenset(files)
        said = f"{delivery.destination} lost or altered {len(names)} of {len(files)} stored files after the receipt."
        return Done(SendAgain(f"{said} They are sent again if the spool still has them.", names))
    except Missing:
        said = f"{delivery.destination} does not show the place of the stored files any more."
        return Done(SendAgain(f"{said} They are sent again if the spool still has them.", frozenset(files)))
    ways = "; ".join(sorted({proof.how for proof in proofs.values()}))
    said = f"holds all {len(proofs)} files ({ways})"
    try:
        archive.prove(delivery.place or "", receipt_of(delivery, delivery.receipt), afresh=True)
    except NotHeld:
        lay_down(delivery, delivery.receipt or b"", archive=archive)
        said += "; the receipt beside them was lost or altered, and lies there again"
    return Done(StillHeld(said))
