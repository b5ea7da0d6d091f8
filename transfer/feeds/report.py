"""Tells consoles what became of the images they asked storage commitment for, as soon as it is true."""

from collections.abc import Sequence
from datetime import timedelta

from dicom.commitment import NotReported, Peer, send_report
from dicom.settings import ListenerSettings
from kspace.clock import Clock
from transfer.catalog.commitments import Commitment, due_requests, look_again, record_report
from transfer.catalog.committed import judge
from transfer.catalog.database import Database


def report(*, listeners: Sequence[ListenerSettings], database: Database, clock: Clock, machine: str) -> int:
    """Send every report that is due and known, and return how many were taken."""
    taken = 0
    away: dict[str, str] = {}
    """Consoles that did not take one report now: they are not waited for again with the next."""
    for commitment in due_requests(database, machine=machine, at=clock.now()):
        asked = [s for s in listeners if s.ae_title == commitment.called_ae] or listeners
        settings, here = asked[0], all(s.commits_here for s in asked)
        is_late = clock.now() >= commitment.requested_at + timedelta(seconds=settings.commit_within_s)
        found = judge(database, commitment, here=here, is_late=is_late)
        problem = away.get(commitment.calling_ae)
        if found is None or problem is not None:
            look_again(database, commitment, at=clock.now(), problem=problem if found else None)
            continue
        try:
            send_report(found, _peer(commitment, settings))
        except NotReported as error:
            away[commitment.calling_ae] = str(error)
            look_again(database, commitment, at=clock.now(), problem=str(error))
        else:
            record_report(database, commitment, at=clock.now())
            taken += 1
    return taken


def _peer(commitment: Commitment, settings: ListenerSettings) -> Peer:
    address = (settings.report_to or {}).get(commitment.calling_ae)
    if address is None:
        raise NotReported(f"report_to names no address for {commitment.calling_ae}.")
    host, _, port = address.rpartition(":")
    return Peer(
        ae_title=commitment.calling_ae,
        host=host.strip("[]"),
        port=int(port),
        calling_ae=commitment.called_ae,
        tls=settings.client_tls(),
    )
