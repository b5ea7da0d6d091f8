"""SENT -> VERIFIED, DICOM: every image read back from the archive shows the pixels that were received."""

from collections.abc import Callable
from datetime import timedelta

from dicom.bulk import bulk_digest
from kspace.clock import Clock
from transfer.destinations import DicomArchive
from transfer.records import Archived, DicomDelivery, Done, Held, Later, Outcome, SendAgain

_LOOK_AGAIN_S = 5.0
_GAP_S = 600.0
"""Between leaving the prearchive and being found in the archive a session is nowhere for a while."""


def confirm(delivery: DicomDelivery, *, archive: DicomArchive, clock: Clock, progress: Callable[[], None]) -> Outcome:
    """Follow the session from the prearchive into the archive and compare instance by instance.

    Raises:
        DestinationError: as its class says.
    """
    experiment = archive.find(project=delivery.project, study_uid=delivery.study.study_uid)
    if experiment is None:
        if archive.waits(delivery.place or ""):
            return Later(
                "The session is not archived yet: the archive has it, maybe for a person there.", _LOOK_AGAIN_S
            )
        if clock.now() - delivery.since_at < timedelta(seconds=_GAP_S):
            return Later("The session is on its way from the prearchive into the archive.", _LOOK_AGAIN_S)
        return Done(SendAgain("The archive has the session neither archived nor waiting; it is sent again."))
    there = archive.bulk_digests(experiment)
    progress()
    for stored in delivery.instances:
        uid, digest = bulk_digest(stored.path)
        if uid not in there:
            return Done(SendAgain("The archive lacks an instance; it is sent again."))
        if there[uid] != digest:
            return Held(
                f"The archive's session {experiment} shows other pixels for an instance than were received: a script "
                "there may change them. The received images are safe in the spool; see the session, then retry.",
                "pixels",
            )
    return Done(Archived(experiment, len(delivery.instances)))
