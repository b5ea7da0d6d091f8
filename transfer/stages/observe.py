"""OBSERVING -> VERIFIED, DICOM that another path carries: the session appears in the archive with every image."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from kspace.clock import Clock
from transfer.destinations.imaging import DicomArchive
from transfer.records import Archived, DicomDelivery, Done, Held, Later, Outcome
from transfer.stages.forward import labels_of
from transfer.stages.proof import prove

_ASK_AGAIN_S = 60.0
_READ_AGAIN_S = 1800.0
"""Reading a whole session back costs the archive something."""


def observe(
    delivery: DicomDelivery, *, archive: DicomArchive, spool: Path, clock: Clock, progress: Callable[[], None]
) -> Outcome:
    """Look for the session by the study's UID, then by its routed label with date and scanner; send nothing.

    Raises:
        DestinationError: as its class says.
    """
    if not delivery.instances:
        return Held("No image of this study is on this machine (any more). See `kspace study`.", "empty")
    experiment = archive.search(labels_of(delivery), date=delivery.study.date, scanner=delivery.study.station)
    age = f"{(clock.now() - delivery.since_at) // timedelta(hours=1)} h"
    if experiment is None:
        return Later(
            f"Another path carries these images; the archive has no session of them yet, for {age}.", _ASK_AGAIN_S
        )
    held = len(archive.sop_uids(experiment))
    if held < len(delivery.instances):
        said = f"The archive's session {experiment} lists {held} of {len(delivery.instances)} images so far, for {age}."
        return Later(said, _ASK_AGAIN_S)
    proof = prove(delivery.instances, archive.images(experiment, scratch=spool), progress=progress)
    if lacking := len(proof.missing) + len(proof.altered):
        said = f"The archive's session {experiment} does not show {lacking} images as they were received."
        return Later(said, _READ_AGAIN_S)
    last = {one.series_uid: one.id for one in delivery.instances}
    said = f"{len(delivery.instances)} images, brought there by another path, verified."
    return Done(Archived(experiment, f"/data/experiments/{experiment}", said, proof.aliases, last))
