"""The DICOM listener: C-ECHO and C-STORE (PS3.4 Annex B); Success is answered only for what is durable and filed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, cast

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt, register_uid
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.service_class import StorageServiceClass

from dicom.headers import describe
from dicom.incoming import Incoming, Intake, Receiver, Stored
from dicom.records import Instance, Series, Study
from kspace.errors import BadInput, ConfigError, KspaceError

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.transport import ThreadedAssociationServer

_log = structlog.get_logger()

_PRIVATE_STORAGE = {
    "1.3.12.2.1107.5.9.1": "SiemensCSANonImageStorage",
    "1.3.12.2.1107.5.99.3.10": "SiemensAXFrameSetsStorage",
    "1.3.12.2.1107.5.99.3.11": "SiemensAXFrameSetsReferencesStorage",
}
"""Storage classes of the Siemens conformance statements; the first holds spectra and raw protocols."""
_WITHOUT_PIXELS = {
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
}
"""JPIP: the object only tells where its pixels are (PS3.5 A.6), so taking it would not be having it."""
_VERIFICATION = "1.2.840.10008.1.1"
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_REJECT = (0x01, 0x01, 0x01)
"""Permanent, by the service user, no reason given (PS3.8 9.3.4)."""
_MAX_PDU_BYTES = 128 << 10
_GRACE_S = 30.0


def _is_network(text: str) -> str:
    ip_network(text, strict=False)
    return text


_AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
"""PS3.5 6.2: at most 16 characters, no backslash, no leading or trailing space."""
_Network = Annotated[str, AfterValidator(_is_network)]


class ListenerSettings(BaseModel):
    """Where the listener listens and to whom. Empty lists admit everybody who reaches it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: _AeTitle = "KSPACE"
    any_called_ae: bool = False
    """True: answer to every called AE title (routes may tell them apart), not only to our own."""
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65_535)
    """0: any free port."""
    allowed_ae: tuple[_AeTitle, ...] = ()
    allowed_ip: tuple[_Network, ...] = ()
    """Addresses or networks, ``10.1.2.3`` or ``10.1.2.0/24``."""
    max_associations: int = Field(default=16, ge=1, le=256)
    idle_s: float = Field(default=60.0, gt=0)
    """A connection that is silent for so long is ended."""


class Status(IntEnum):
    """The answers to C-STORE (PS3.4 B.2.3)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    OTHER_OBJECT = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    FAILED = 0xC211
    """A fault of the receiver's program (pynetdicom's answer to one)."""


class OtherObject(BadInput):
    """The data set is not the object that was announced."""

    code = "other_object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An instance that is durable on this disk at ``path``, as a DICOM file of ``size`` bytes; who sent it to whom."""

    path: Path
    size: int
    sha256: str
    """Of the file; the same object received again is the same bytes."""
    study: Study
    series: Series
    instance: Instance
    calling_ae: str
    called_ae: str
    peer: str


class Inbox(Protocol):
    """Takes over what was received."""

    def accept(self, received: Received) -> Status:
        """Move the file from ``received.path`` and return Success once its row is durable.

        May be called again with the same instance, and from several threads at once. Whatever is left at the path
        afterwards is removed. A `KspaceError` is answered with the status that fits it.
        """


class Listener:
    """One DICOM storage SCP in threads of its own; ``is_open`` is asked before each object is written."""

    def __init__(
        self, settings: ListenerSettings, *, inbox: Inbox, folder: Path, is_open: Callable[[], bool] = lambda: True
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._intake = Intake(folder, is_open=is_open)
        self._networks = [ip_network(text, strict=False) for text in settings.allowed_ip]
        self._entity = _entity(settings)
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """Return the TCP port, once started."""
        if self._server is None:
            return self._settings.port
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Return once the port is open.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._intake.clear()
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_PDU_SENT, self._sent),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        address = (self._settings.host, self._settings.port)
        try:
            self._server = self._entity.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise ConfigError(f"The DICOM port {where} cannot be opened ({error.strerror}). Choose another.") from error
        _log.info("listener.started", port=self.port, ae_title=self._settings.ae_title)

    def stop(self, *, grace_s: float = _GRACE_S) -> None:
        """Take no new connection, let stores under way end for so long, then close the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        is_idle = self._intake.wait_idle(grace_s)
        for association in server.active_associations:
            association.abort()
        _log.info("listener.stopped", is_idle=is_idle)

    def _opened(self, event: Event) -> None:
        event.assoc.dimse = Receiver(event.assoc, self._intake)

    def _requested(self, event: Event) -> None:
        if not self._may_call(event.assoc.requestor.address or ""):
            event.assoc.acse.send_reject(*_REJECT)
            evt.trigger(event.assoc, evt.EVT_REJECTED)
            event.assoc.kill()  # returns once the refusal has left; without it the socket may be closed before

    def _may_call(self, address: str) -> bool:
        if not self._networks:
            return True
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)

    def _rejected(self, event: Event) -> None:
        _log.warning("association.refused", peer=event.assoc.requestor.address)

    def _store(self, event: Event) -> int:
        request = cast("C_STORE", event.request)
        incoming = cast("Incoming", request._dataset_file)  # noqa: SLF001 -- dicom.incoming says why
        status = Status.FAILED
        try:
            with cast("Receiver", event.assoc.dimse).serving(incoming):
                status = self._take(incoming.settle(), request, event)
        except KspaceError as error:
            status = _status_of(error)
            _log.warning("instance.refused", code=error.code, status=f"{status:#06x}")
        finally:
            # Anything else is a fault of ours: it goes on to pynetdicom, which answers with this very status.
            if status is Status.FAILED:
                _log.error("instance.failed", status=f"{status:#06x}")
        return status

    def _take(self, stored: Stored, request: "C_STORE", event: Event) -> Status:
        study, series, instance = describe(stored.path)
        if (instance.sop_class, instance.sop_uid) != (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID):
            raise OtherObject("The data set is another object than the one announced; it was not taken. Send it again.")
        requestor = event.assoc.requestor
        return self._inbox.accept(
            Received(
                path=stored.path,
                size=stored.size,
                sha256=stored.sha256,
                study=study,
                series=series,
                instance=instance,
                calling_ae=requestor.ae_title.strip(),
                called_ae=requestor.primitive.called_ae_title.strip() if requestor.primitive else "",
                peer=requestor.address or "",
            )
        )

    def _sent(self, event: Event) -> None:
        if isinstance(event.pdu, P_DATA_TF) and isinstance(event.assoc.dimse, Receiver):
            event.assoc.dimse.answered()

    def _closed(self, event: Event) -> None:
        if isinstance(event.assoc.dimse, Receiver):
            event.assoc.dimse.closed()


def _status_of(error: KspaceError) -> Status:
    if isinstance(error, OtherObject):
        return Status.OTHER_OBJECT
    return Status.CANNOT_UNDERSTAND if isinstance(error, BadInput) else Status.OUT_OF_RESOURCES


def _entity(settings: ListenerSettings) -> AE:
    entity = AE(settings.ae_title)
    entity.require_called_aet = not settings.any_called_ae
    entity.require_calling_aet = list(settings.allowed_ae)
    entity.maximum_associations = settings.max_associations
    entity.maximum_pdu_size = _MAX_PDU_BYTES
    entity.network_timeout = settings.idle_s
    entity.acse_timeout = settings.idle_s
    for uid, keyword in _PRIVATE_STORAGE.items():
        register_uid(uid, keyword, StorageServiceClass)
    # The first one both sides know is chosen; with explicit VRs private elements keep their meaning.
    rest = [uid for uid in ALL_TRANSFER_SYNTAXES if uid not in _WITHOUT_PIXELS | {_EXPLICIT_LITTLE}]
    storage = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    entity.supported_contexts = [
        build_context(_VERIFICATION),
        *(build_context(uid, [_EXPLICIT_LITTLE, *rest]) for uid in (*storage, *_PRIVATE_STORAGE)),
    ]
    return entity
