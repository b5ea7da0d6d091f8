"""Storage commitment (PS3.4 Annex J): the request, and the report on a new association, hours later."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.dsutils import encode

from dicom.headers import DAMAGE, NotDicom
from kspace.errors import KspaceError

COMMITMENT = "1.2.840.10008.1.20.1"
"""The push model's SOP class; its one instance has ``.1`` behind it (PS3.4 J.3.5)."""
_TIMEOUT_S = 30.0


class Failure(IntEnum):
    """Why an instance is not committed (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119


class NotReported(KspaceError):
    """The peer did not take the report; it is offered again."""

    code = "not_reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of every instance of one request: class and instance UID, each, and why not."""

    transaction_uid: str
    kept: Sequence[tuple[str, str]]
    failed: Sequence[tuple[str, str, Failure]]

    @property
    def event_type(self) -> int:
        """Return 1 where everything is committed, 2 where failures exist (PS3.4 Table J.3-2)."""
        return 2 if self.failed else 1

    def information(self) -> Dataset:
        """Return the event information (PS3.4 Table J.3-2)."""
        told = Dataset()
        told.TransactionUID = self.transaction_uid
        if self.failed:
            told.FailedSOPSequence = [_reference(*item) for item in self.failed]
        if self.kept:
            told.ReferencedSOPSequence = [_reference(*item) for item in self.kept]
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where reports for one AE title go, and by which title and TLS we call."""

    ae_title: str
    host: str
    port: int
    calling_ae: str
    tls: ssl.SSLContext | None = None


def read_request(content: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return the transaction UID and what is to be committed (PS3.4 Table J.3-1), from a DICOM file's bytes.

    Raises:
        NotDicom: it cannot be read, or names nothing.
    """
    try:
        asked = dcmread(BytesIO(content))
        wanted = [(str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in asked.ReferencedSOPSequence]
        transaction_uid = str(asked.TransactionUID)
    except DAMAGE as error:
        raise NotDicom("The request for storage commitment cannot be read.") from error
    if not all(1 <= len(uid) <= 64 for pair in wanted for uid in (*pair, transaction_uid)) or not wanted:
        raise NotDicom("The request for storage commitment names nothing that can be committed.")
    return transaction_uid, list(dict.fromkeys(wanted))


def encoded(report: Report, syntax: str) -> bytes:
    """Return the event information for a context of this transfer syntax."""
    return encode(report.information(), syntax == ImplicitVRLittleEndian, True) or b""


def send_report(report: Report, peer: Peer) -> None:
    """Tell the peer on an association of its own, as the provider of the service (PS3.4 J.3.3, PS3.7 D.3.3.4).

    Raises:
        NotReported: it was not reached, refused, or did not answer Success.
    """
    entity = AE(peer.calling_ae)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
    entity.add_requested_context(COMMITMENT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.ae_title,
        ext_neg=[build_role(COMMITMENT, scp_role=True)],
        tls_args=(peer.tls, peer.host) if peer.tls else None,
    )
    where = f"{peer.ae_title} at {peer.host}:{peer.port}"
    if not association.is_established:
        raise NotReported(f"{where} cannot be reached, or refuses the association.")
    try:
        if not association.accepted_contexts:
            raise NotReported(f"{where} takes no reports of storage commitment.")
        answer, _ = association.send_n_event_report(
            report.information(), report.event_type, COMMITMENT, f"{COMMITMENT}.1"
        )
    finally:
        association.release()
    if answer.get("Status") != 0:
        raise NotReported(f"{where} did not take the report.")


def _reference(sop_class: str, sop_uid: str, reason: Failure | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_uid
    if reason is not None:
        item.FailureReason = int(reason)
    return item
