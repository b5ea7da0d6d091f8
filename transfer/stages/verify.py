"""SENT -> VERIFIED, raw: the archive proves every file from its own bytes; then the signed receipt."""

from collections.abc import Callable, Mapping
from pathlib import Path

from kspace.clock import Clock
from transfer.destinations import Body, Proof, RawArchive
from transfer.destinations.errors import NotHeld
from transfer.receipts import Signer, write_receipt
from transfer.records import Done, Outcome, RawDelivery, SendAgain, Verified
from transfer.stages.send import files_of, folder_of, receipt_of


def verify(  # noqa: PLR0913 -- the ports
    delivery: RawDelivery,
    *,
    archive: RawArchive,
    spool: Path,
    signer: Signer,
    clock: Clock,
    progress: Callable[[], None],
) -> Outcome:
    """Ask for the proof of every part, of the delivery document and the manifest, and leave the receipt beside them.

    A digest that the archive noted when it stored a file is no word about what lay there long before: that is proved
    from the bytes as they lie there now.

    Raises:
        DestinationError: the archive could not be asked.
    """
    try:
        proofs = _proofs(delivery, archive, files_of(delivery, spool=spool))
        progress()
        receipt = write_receipt(delivery, proofs, folder=folder_of(delivery), at=clock.now(), signer=signer)
        lay_down(delivery, receipt, archive=archive)
    except NotHeld as error:
        return Done(SendAgain(str(error), error.names))
    return Done(Verified(receipt))


def lay_down(delivery: RawDelivery, receipt: bytes, *, archive: RawArchive) -> None:
    """Put the receipt beside the data, and see that it lies there.

    Raises:
        NotHeld: it does not.
    """
    place, files = delivery.place or "", receipt_of(delivery, receipt)
    for name, body in files.items():
        archive.put(place, name, body)
    archive.prove(place, files)


def _proofs(delivery: RawDelivery, archive: RawArchive, files: Mapping[str, Body]) -> dict[str, Proof]:
    found, place = delivery.found or frozenset(), delivery.place or ""
    proofs = archive.prove(place, {name: body for name, body in files.items() if name not in found})
    old = {name: body for name, body in files.items() if name in found}
    return proofs | (archive.prove(place, old, afresh=True) if old else {})
