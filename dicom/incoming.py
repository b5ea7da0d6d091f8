"""Objects on their way from the network to the disk, piece by piece, so that memory stays flat for any size.

pynetdicom keeps a data set in memory, or with its option STORE_RECV_CHUNKED_DATASET in the machine's temporary folder,
where a full disk breaks the connection without an answer. Its decoder writes to a message's ``_data_set_file`` where
there is one; `Receiver` puts an `Incoming` there, which hashes while it writes and keeps a failure for the answer.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from kspace.errors import KspaceError, SpoolError
from kspace.paths import sync_folder

_IMPLEMENTATION_UID = "2.25.178283091672214580270932171529310411297"
"""Ours for ever, with the name below: the same object received twice must be the same bytes twice."""
_IMPLEMENTATION_NAME = "KSPACE_RELAY"
_BUFFER_BYTES = 1 << 20


class PoolFull(SpoolError):
    """The pool takes no more."""

    code = "pool_full"


class Stored(NamedTuple):
    """A file that is on the disk with every byte; ``sha256`` is of the whole file."""

    path: Path
    size: int
    sha256: str


class Incoming:
    """One object being received: a DICOM file (PS3.10 7.1) that grows in the folder under a name of its own.

    It stands in for the temporary file of pynetdicom's decoder, which calls ``write`` and ``file.flush``, and after
    the answer ``close`` and unlinks ``name``.
    """

    def __init__(self, folder: Path, *, is_open: Callable[[], bool], head: Callable[[], bytes]) -> None:
        self.path = folder / f"{uuid4().hex}.part"
        self.name = str(self.path)
        self.file = self
        self.is_answered = False
        self._is_open = is_open
        self._head = head
        self._out: BinaryIO | None = None
        self._problem: KspaceError | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Take a fragment. Never raises: after a failure the rest is let pass, and `settle` tells of it."""
        if self._problem is None:
            try:
                if self._out is None:
                    self._begin()
                self._append(data)
            except (OSError, SpoolError) as error:
                self._problem = self._told(error)
        return len(data)

    def flush(self) -> None:
        """Do nothing: fragments are small, and `settle` is what makes them durable."""

    def settle(self) -> Stored:
        """Return once the file and its folder entry are durable.

        Raises:
            PoolFull: the pool took no more when the object began.
            SpoolError: the disk failed or is full.
        """
        try:
            if self._problem is None and self._out is None:
                self._begin()
            if self._problem is None and self._out is not None:
                self._out.flush()
                os.fsync(self._out.fileno())
                self._out.close()
                sync_folder(self.path.parent)
        except (OSError, SpoolError) as error:
            self._problem = self._told(error)
        if self._problem is not None:
            raise self._problem
        return Stored(self.path, self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Close the file and remove what is left of it under its name."""
        try:
            if self._out is not None:
                self._out.close()
        except OSError as error:
            self._problem = self._told(error)
        finally:
            self.path.unlink(missing_ok=True)

    def _begin(self) -> None:
        if not self._is_open():
            raise PoolFull("The pool takes no more; nothing of the object was kept. Send it again later.")
        self._out = self.path.open("xb", buffering=_BUFFER_BYTES)
        self._append(self._head())

    def _append(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)
            self._digest.update(data)
            self._size += len(data)

    def _told(self, error: OSError | SpoolError) -> KspaceError:
        if isinstance(error, SpoolError):
            return error
        reason = os.strerror(error.errno or 0)
        told = SpoolError(
            f"The spool did not take a received object ({reason}). Nothing of it was kept; send it again."
        )
        told.__cause__ = error
        return told


class Intake:
    """All objects being received at present, and the one way to wait until there are none."""

    def __init__(self, folder: Path, *, is_open: Callable[[], bool]) -> None:
        self._folder = folder
        self._is_open = is_open
        self._current: set[Incoming] = set()
        self._changed = threading.Condition()

    def clear(self) -> None:
        """Make the folder, and remove what an earlier life left there: no sender was ever told that it arrived."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob("*.part"):
            left.unlink()

    def begin(self, head: Callable[[], bytes]) -> Incoming:
        """Return the place for a new object; ``head`` yields preamble and file meta information when data come."""
        incoming = Incoming(self._folder, is_open=self._is_open, head=head)
        with self._changed:
            self._current.add(incoming)
        return incoming

    def end(self, incoming: Incoming) -> None:
        """Forget an object that was answered or will never be."""
        incoming.close()
        with self._changed:
            self._current.discard(incoming)
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Return True once nothing is being received, False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._current, timeout_s)


class Receiver(DIMSEServiceProvider):
    """The message side of one association, with every data set going to the disk.

    pynetdicom reads in one thread (fragments, answers sent, connection closed) and serves in another (`serving`).
    """

    def __init__(self, assoc: Association, intake: Intake) -> None:
        super().__init__(assoc)
        self._intake = intake
        self._mine: set[Incoming] = set()
        self._served: set[Incoming] = set()
        self._is_closed = False

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a fragment of a message, as the base class does (PS3.8 Annex E)."""
        if self.message is None:
            message = self.message = DIMSEMessage()
            incoming = self._intake.begin(lambda: _head(message, self.assoc))
            self._mine.add(incoming)
            message._data_set_file = incoming  # type: ignore[assignment]  # noqa: SLF001 -- the module says why
        super().receive_primitive(primitive)

    @contextmanager
    def serving(self, incoming: Incoming) -> Iterator[None]:
        """Keep an object's file while it is being answered, even where the connection ends meanwhile."""
        self._served.add(incoming)
        try:
            yield
        finally:
            self._served.discard(incoming)
            incoming.is_answered = True
            if self._is_closed:
                self._forget({incoming})

    def answered(self) -> None:
        """Forget the objects whose answer has left."""
        self._forget({incoming for incoming in tuple(self._mine) if incoming.is_answered})

    def closed(self) -> None:
        """Forget every object that nobody will serve any more: the connection is gone."""
        self._is_closed = True
        self._forget(self._mine - self._served)

    def _forget(self, found: set[Incoming]) -> None:
        for incoming in found:
            self._mine.discard(incoming)
            self._intake.end(incoming)


def _head(message: DIMSEMessage, assoc: Association) -> bytes:
    """Return preamble, prefix and file meta information of the message's data set (PS3.10 7.1)."""
    syntaxes = {context.context_id: context.transfer_syntax[0] for context in assoc.accepted_contexts}
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # counted when written
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(message.command_set.get("AffectedSOPClassUID", ""))
    meta.MediaStorageSOPInstanceUID = UID(message.command_set.get("AffectedSOPInstanceUID", ""))
    meta.TransferSyntaxUID = syntaxes.get(message.context_id, UID(""))
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    meta.ImplementationVersionName = _IMPLEMENTATION_NAME
    out = DicomBytesIO()
    out.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(out, meta, enforce_standard=False)
    return out.getvalue()
