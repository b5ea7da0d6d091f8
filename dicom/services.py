"""What the listener does on one association: C-ECHO, C-STORE (PS3.4 Annex B) and storage commitment (Annex J)."""

from collections.abc import Mapping

import structlog
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES

from dicom.association import Association
from dicom.calls import InboxCalls
from dicom.commands import RESPONSE, Command, Field, event_report
from dicom.commitment import COMMITMENT, encoded, read_request
from dicom.headers import Begun, describe, glimpse
from dicom.inbox import Caller, Received, Refused, Status
from dicom.incoming import Incoming, Intake, file_head
from dicom.negotiation import AssociateRequest, Proposal
from dicom.pdus import BrokenProtocol
from dicom.shelf import Shelf
from kspace.errors import BadInput, KspaceError

_log = structlog.get_logger()

_WITHOUT_PIXELS = {
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
}
"""JPIP: the object only tells where its pixels are (PS3.5 A.6), so taking it would not be having it."""
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_SYNTAXES = (_EXPLICIT_LITTLE, *(s for s in ALL_TRANSFER_SYNTAXES if s not in _WITHOUT_PIXELS | {_EXPLICIT_LITTLE}))
"""The first one both sides know is chosen; with explicit VRs private elements keep their meaning."""
_PLAIN = (_EXPLICIT_LITTLE, str(ImplicitVRLittleEndian))
_STORAGE = frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
_STANDARD, _STANDARD_STORAGE = "1.2.840.10008.", "1.2.840.10008.5.1.4.1.1."
_VERIFICATION = "1.2.840.10008.1.1"
_NO_SUCH_CLASS, _NO_SUCH_SYNTAX = 3, 4
"""PS3.8 Table 9-18."""
_MAX_REQUEST_BYTES = 32 << 20
"""A request for storage commitment of a hundred thousand images is half of it."""
_LOOK_S = 1.0
_TELL_BYTES = 1 << 20
"""By then the beginning of what is not taken tells whose it is."""
_MOST_LET_PASS = 4 << 30


class OtherObject(BadInput):
    """The data set is not the object that was announced."""

    code = "other_object"


def answers_to(request: AssociateRequest) -> dict[int, str | int]:
    """Return a transfer syntax, or the reason against it, for each context that is proposed.

    Taken are storage classes, also ones newer than this program, and every class that is not the standard's: Siemens
    keeps spectra and protocols in its own.
    """
    return {proposal.context_id: _answer_to(proposal) for proposal in request.proposals}


def _answer_to(proposal: Proposal) -> str | int:
    name = proposal.abstract
    if name in {_VERIFICATION, COMMITMENT}:
        known: tuple[str, ...] = _PLAIN
    elif name in _STORAGE or name.startswith(_STANDARD_STORAGE) or not name.startswith(_STANDARD):
        known = _SYNTAXES
    else:
        return _NO_SUCH_CLASS
    return next((syntax for syntax in known if syntax in proposal.transfers), _NO_SUCH_SYNTAX)


class Services:
    """Serves one accepted association until its end."""

    def __init__(
        self, association: Association, *, caller: Caller, inbox: InboxCalls, intake: Intake, shelf: Shelf
    ) -> None:
        self._association = association
        self._shelf = shelf
        self._caller = caller
        self._inbox = inbox
        self._intake = intake
        self._asked: dict[str, int] = {}
        """Requests for storage commitment whose report may belong here, with their contexts."""
        self._offered: str | None = None

    def run(self, idle_s: float) -> None:
        """Answer until the peer releases the association.

        Raises:
            AssociationEnded: the peer ended it otherwise.
            BrokenProtocol: it does not keep to the protocol.
        """
        while True:
            self._report_meanwhile(idle_s)
            received = self._association.command()
            if received is None:
                return
            context_id, command = received
            if command.is_response:
                self._took_report(command)
            elif command.field == Field.STORE and command.has_data_set:
                self._store(context_id, command)
            elif command.field != Field.CANCEL:
                self._answer(context_id, command)

    def _answer(self, context_id: int, command: Command) -> None:
        status, comment = Status.UNRECOGNIZED_OPERATION, ""
        if command.field == Field.ECHO:
            status = Status.SUCCESS
        elif command.field == Field.ACTION:
            status, comment = self._promise(context_id, command)
        elif command.has_data_set:
            for _ in self._association.data_set(context_id):
                pass
        self._association.send(context_id, command.answer(status, comment))

    def _store(self, context_id: int, command: Command) -> None:
        syntax = self._association.syntaxes[context_id]
        meant = {"sop_class": command.sop_class, "sop_uid": command.sop_uid, "syntax": syntax}
        with self._intake.receiving(**meant) as incoming:
            self._receive(context_id, incoming, meant)
            status, comment = Status.FAILED, ""
            try:
                status = self._take(incoming, command, syntax)
            except KspaceError as error:
                status, comment = _status_of(error), str(error)
            except Exception as error:  # noqa: BLE001 -- a mistake of ours refuses one image, and ends no association
                # Without its text, which may quote values.
                _log.error("instance.failed", error=type(error).__name__)
            if status is not Status.SUCCESS:
                _log.warning("instance.refused", status=f"{status:#06x}", sop_uid=command.sop_uid)
                self._refuse(incoming, meant, status)
            self._association.send(context_id, command.answer(status, comment))

    def _receive(self, context_id: int, incoming: Incoming, meant: Mapping[str, str]) -> None:
        is_told = False
        for piece in self._association.data_set(context_id):
            incoming.write(piece)
            if incoming.problem is not None and not is_told and incoming.let_pass > _TELL_BYTES:
                self._refuse(incoming, meant, _status_of(incoming.problem))  # the sender may never come to the end
                is_told = True
            if incoming.let_pass > _MOST_LET_PASS:
                raise BrokenProtocol("An object that is not taken goes on and on.")

    def _take(self, incoming: Incoming, command: Command, syntax: str) -> Status:
        incoming.settle()
        study, series, instance = describe(incoming.path, begun=Begun(syntax, incoming.beginning))
        if (instance.sop_class, instance.sop_uid) != (command.sop_class, command.sop_uid):
            raise OtherObject("The data set is another object than the one announced; it was not taken. Send it again.")
        stored = incoming.keep(self._shelf, study_uid=study.study_uid)
        return self._inbox.accept(
            Received(
                path=stored.path,
                size=stored.size,
                sha256=stored.sha256,
                study=study,
                series=series,
                instance=instance,
                **self._caller._asdict(),
            )
        )

    def _refuse(self, incoming: Incoming, meant: Mapping[str, str], status: Status) -> None:
        study_uid, series_uid, number = glimpse(file_head(**meant) + incoming.beginning)
        self._inbox.refuse(
            Refused(
                sop_uid=meant["sop_uid"],
                study_uid=study_uid,
                series_uid=series_uid,
                series_number=number,
                status=status,
                caller=self._caller,
            )
        )

    def _promise(self, context_id: int, command: Command) -> tuple[Status, str]:
        content = bytearray(file_head(COMMITMENT, "", self._association.syntaxes[context_id]))
        if command.has_data_set:
            for piece in self._association.data_set(context_id):
                if len(content) < _MAX_REQUEST_BYTES:
                    content += piece
        if command.sop_class != COMMITMENT or command.sop_uid != f"{COMMITMENT}.1":
            return Status.NO_SUCH_INSTANCE, ""
        if command.action != 1:
            return Status.NO_SUCH_ACTION, ""
        if len(content) >= _MAX_REQUEST_BYTES:
            return Status.RESOURCE_LIMITATION, ""
        try:
            transaction_uid, wanted = read_request(bytes(content))
            status = self._inbox.promise(transaction_uid, wanted, self._caller)
        except BadInput as error:
            return Status.INVALID_ARGUMENT, str(error)
        except KspaceError as error:
            return Status.PROCESSING_FAILURE, str(error)
        if status is Status.SUCCESS:
            self._asked[transaction_uid] = context_id
        return status, ""

    def _report_meanwhile(self, idle_s: float) -> None:
        """While the peer is silent, report what can be reported here; who asked for nothing is not waited for."""
        silent_s = 0.0
        while self._asked and not self._offered and silent_s < idle_s and self._association.is_silent(_LOOK_S):
            silent_s += _LOOK_S
            self._offer_report()

    def _offer_report(self) -> None:
        for transaction_uid, context_id in self._asked.items():
            try:
                report = self._inbox.report(transaction_uid, self._caller)
            except KspaceError:
                return
            if report is not None:
                self._offered = transaction_uid
                command = event_report(
                    sop_class=COMMITMENT, sop_uid=f"{COMMITMENT}.1", event_type=report.event_type, message_id=1
                )
                content = encoded(report, self._association.syntaxes[context_id])
                self._association.send(context_id, command, content)
                return

    def _took_report(self, response: Command) -> None:
        if self._offered and response.field == Field.EVENT_REPORT | RESPONSE:
            del self._asked[self._offered]
            if response.status == 0:
                self._inbox.reported(self._offered, self._caller)
            self._offered = None


def _status_of(error: KspaceError) -> Status:
    if isinstance(error, OtherObject):
        return Status.OTHER_OBJECT
    return Status.CANNOT_UNDERSTAND if isinstance(error, BadInput) else Status.OUT_OF_RESOURCES
