"""SENT -> VERIFIED, raw: the archive proves every file from its own bytes; then the signed receipt."""

from collections.abc import Callable
from pathlib import Path

from kspace.clock import Clock
from transfer.destinations import Body, RawArchive
from transfer.destinations.errors import NotHeld
from transfer.receipts import Signer, write_receipt
from transfer.records import Done, Outcome, RawDelivery, SendAgain, Verified
from transfer.stages.send import files_of, folder_of


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

    Raises:
        DestinationError: the archive could not be asked.
    """
    place = delivery.place or ""
    try:
        proofs = archive.prove(place, files_of(delivery, spool=spool))
        progress()
        receipt = write_receipt(delivery, proofs, folder=folder_of(delivery), at=clock.now(), signer=signer)
        name = f"{folder_of(delivery)}/receipt.json"
        archive.put(place, name, Body.of(receipt))
        archive.prove(place, {name: Body.of(receipt)})
    except NotHeld as error:
        return Done(SendAgain(str(error), error.names))
    return Done(Verified(receipt))
