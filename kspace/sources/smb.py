"""SMB 2 and 3 spoken directly: no mount, no root. References are to MS-SMB2 and MS-FSCC.

Everything is opened for reading alone, shared with every other reader, writer and deleter, and without an oplock: the
scanner never waits for the relay. Neither oplocks nor locks nor leases are asked for anywhere.
"""

import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pydantic import Field
from smbprotocol.connection import Connection, Request
from smbprotocol.exceptions import (
    SMBAuthenticationError,
    SMBConnectionClosed,
    SMBException,
    SMBResponseException,
)
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    DirectoryAccessMask,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    InfoType,
    QueryDirectoryFlags,
    ShareAccess,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2QueryDirectoryRequest,
    SMB2QueryInfoRequest,
    SMB2ReadRequest,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect
from spnego.exceptions import SpnegoError

from kspace.errors import FileBusy, FileUnreadable, FileVanished, SourceError, SourceRefused
from kspace.records import SourceFile
from kspace.registry import Plugin
from kspace.sources.lines import Lines
from kspace.sources.names import fits
from kspace.sources.settings import ServerSettings

_ENTRY = struct.Struct("<II4q2qII")
"""FileDirectoryInformation without its name (MS-FSCC 2.4.10)."""
_CREATED = struct.Struct("<24xq8x8xqI4x16s")
"""Of a CREATE response: LastWriteTime, EndofFile, FileAttributes, FileId (MS-SMB2 2.2.14)."""
_SIZES = struct.Struct("<8xqII")
"""FileFsSizeInformation without the total (MS-FSCC 2.5.8): free units, sectors of a unit, bytes of a sector."""
_DIRECTORY_INFORMATION, _SIZE_INFORMATION = 1, 3
_LISTING_BYTES = 1 << 18
_READ_BYTES = 1 << 20
_CREDIT_BYTES = 1 << 16
_CREDITS = 128
"""What is asked for with each request: eight reads may be on their way at once."""
_EPOCH_TICKS = 116_444_736_000_000_000
"""1970 in FILETIME: 100 ns since 1601."""
_SYSTEM, _DIRECTORY, _REPARSE = 0x4, 0x10, 0x400
_END_OF_FILE, _NO_MORE_FILES = 0xC0000011, 0x80000006
_GONE = {0xC0000034, 0xC000003A, 0xC000000F, 0xC0000056, 0xC0000033, 0xC00000BA, 0xC0000103}
_REFUSED = {0xC000006D, 0xC000006A, 0xC0000071, 0xC0000072, 0xC0000234, 0xC0000224, 0xC000015B, 0xC0000064}
_ACCESS_DENIED, _SHARING_VIOLATION, _NO_SHARE = 0xC0000022, 0xC0000043, 0xC00000CC
_SHARE_ALL = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE


class SmbSettings(ServerSettings):
    """A share by its server and name."""

    port: int = Field(default=445, ge=1, le=65_535)
    share: str = Field(pattern=r"^[^\\/\x00]+$")


@dataclass(slots=True)
class _Line:
    connection: Any
    session: Any
    tree: Any
    timeout_s: float

    def send(self, message: Any) -> Request:  # noqa: ANN401 -- the library is untyped
        return self.connection.send(
            message, self.session.session_id, self.tree.tree_connect_id, credit_request=_CREDITS
        )

    def answer(self, request: Request) -> bytes:
        response = self.connection.receive(request, timeout=self.timeout_s, resolve_symlinks=False)
        data: bytes = response["data"].get_value()
        return data

    def ask(self, message: Any) -> bytes:  # noqa: ANN401 -- the library is untyped
        return self.answer(self.send(message))

    def has_credits(self, payload: int) -> bool:
        window = self.connection.sequence_window
        return bool(window["high"] - window["low"] > payload // _CREDIT_BYTES)

    def close(self) -> None:
        self.connection.disconnect(close=False)


class Smb:
    """A share on a Windows or Samba server with everything below its folder; links are not followed."""

    def __init__(self, settings: SmbSettings) -> None:
        self._settings = settings
        self._root = settings.folder.replace("/", "\\").strip("\\")
        self._lines = Lines(self._connect, close=_close)

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file whose name fits a pattern, whatever its case.

        While the scanner has a file open for writing, NTFS lists it with an older size than `stat` tells.
        """
        with self._lines.line() as line, _explained("list a folder"):
            folders = [""]
            while folders:
                folder = folders.pop()
                for name, attributes, size, ticks in self._list(line, folder):
                    path = f"{folder}/{name}" if folder else name
                    if attributes & (_REPARSE | _SYSTEM):
                        continue
                    if attributes & _DIRECTORY:
                        folders.append(path)
                    elif fits(name, self._settings.patterns):
                        yield _file(path, size, ticks)

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now."""
        with self._lines.line() as line, _explained("look at a file"):
            handle, size, ticks = self._open(line, path, access=FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES)
            _let_go(line, handle)
        return _file(path, size, ticks)

    def free_bytes(self) -> int | None:
        """Return what the server says is left for this account (MS-FSCC 2.5.8)."""
        with self._lines.line() as line, _explained("look at a folder"):
            access = DirectoryAccessMask.FILE_READ_ATTRIBUTES
            handle, _, _ = self._open(line, "", access=access, options=CreateOptions.FILE_DIRECTORY_FILE)
            query = SMB2QueryInfoRequest()
            query["info_type"] = InfoType.SMB2_0_INFO_FILESYSTEM
            query["file_info_class"] = _SIZE_INFORMATION
            query["file_id"] = handle
            query["output_buffer_length"] = _SIZES.size
            available, sectors, sector_bytes = _SIZES.unpack_from(line.ask(query), 8)
            _let_go(line, handle)
        return int(available * sectors * sector_bytes)

    @contextmanager
    def open(self, path: str) -> Iterator["_Reader"]:
        """Open one file for reading."""
        with self._lines.line() as line:
            with _explained("open a file"):
                access = FilePipePrinterAccessMask.FILE_READ_DATA | FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
                handle, _, _ = self._open(line, path, access=access)
            try:
                yield _Reader(line, handle)
            finally:
                with _explained("close a file"):
                    _let_go(line, handle)

    def _list(self, line: _Line, folder: str) -> Iterator[tuple[str, int, int, int]]:
        access = DirectoryAccessMask.FILE_LIST_DIRECTORY | DirectoryAccessMask.FILE_READ_ATTRIBUTES
        handle, _, _ = self._open(line, folder, access=access, options=CreateOptions.FILE_DIRECTORY_FILE)
        query = SMB2QueryDirectoryRequest()
        query["file_information_class"] = _DIRECTORY_INFORMATION
        query["flags"] = QueryDirectoryFlags.SMB2_RESTART_SCANS
        query["file_id"] = handle
        query["output_buffer_length"] = _LISTING_BYTES if line.connection.supports_multi_credit else _CREDIT_BYTES
        query["buffer"] = "*".encode("utf-16-le")
        while True:
            try:
                answer = line.ask(query)
            except SMBResponseException as error:
                if error.status != _NO_MORE_FILES:
                    raise
                break
            query["flags"] = 0
            yield from _entries(answer)
        _let_go(line, handle)

    def _open(
        self, line: _Line, path: str, *, access: int, options: int = CreateOptions.FILE_NON_DIRECTORY_FILE
    ) -> tuple[bytes, int, int]:
        """Return the open file's handle, size and time of change."""
        create = SMB2CreateRequest()
        create["impersonation_level"] = ImpersonationLevel.Impersonation
        create["desired_access"] = access
        create["share_access"] = _SHARE_ALL
        create["create_disposition"] = CreateDisposition.FILE_OPEN
        create["create_options"] = options | CreateOptions.FILE_OPEN_REPARSE_POINT
        full = "\\".join(filter(None, [self._root, path.replace("/", "\\")]))
        create["buffer_path"] = full.encode("utf-16-le", "surrogatepass") or b"\0\0"
        ticks, size, attributes, handle = _CREATED.unpack_from(line.ask(create))
        if attributes & _REPARSE:
            _let_go(line, handle)
            raise FileUnreadable("This is a link, and links on a share are not followed; nothing was changed.")
        return handle, size, ticks

    def _connect(self) -> _Line:
        s = self._settings
        password = s.reveal()
        connection = Connection(uuid4(), s.host, s.port)
        with _explained("sign in", is_signing_in=True):
            try:
                connection.connect(timeout=s.timeout_s)
                guard = threading.Timer(s.timeout_s, connection.transport.close)  # signing in has no time-out there
                guard.start()
                try:
                    session = Session(connection, s.user, password, require_encryption=False)
                    session.connect()
                    tree = TreeConnect(session, rf"\\{s.host}\{s.share}")
                    tree.connect()
                finally:
                    guard.cancel()
            except BaseException:
                with suppress(SMBException, OSError):
                    connection.disconnect(close=False)
                raise
        return _Line(connection, session, tree, s.timeout_s)


class _Reader:
    def __init__(self, line: _Line, handle: bytes) -> None:
        self._line = line
        self._handle = handle

    def read(self, offset: int, length: int) -> bytes:
        """Ask for pieces one after the other without waiting for the answers, as far as the server's credits go."""
        piece = min(_READ_BYTES, self._line.connection.max_read_size)
        if not self._line.connection.supports_multi_credit:
            piece = min(piece, _CREDIT_BYTES)
        starts = deque(range(offset, offset + length, piece))
        sent: deque[tuple[Request, int]] = deque()
        pieces: list[bytes] = []
        with _explained("read a file"):
            while starts or sent:
                while starts and (not sent or self._line.has_credits(piece)):
                    size = min(piece, offset + length - starts[0])
                    sent.append((self._line.send(self._asking(starts.popleft(), size)), size))
                request, size = sent.popleft()
                block = self._block(request)
                pieces.append(block)
                if len(block) < size:  # the end of the file, or a server that answers in smaller pieces
                    for rest, _ in sent:
                        self._block(rest)
                    got = sum(map(len, pieces))
                    return b"".join(pieces) + (self.read(offset + got, length - got) if block else b"")
        return b"".join(pieces)

    def _asking(self, offset: int, length: int) -> SMB2ReadRequest:
        read = SMB2ReadRequest()
        read["length"] = length
        read["offset"] = offset
        read["file_id"] = self._handle
        read["padding"] = b"\x50"
        return read

    def _block(self, request: Request) -> bytes:
        try:
            data = self._line.answer(request)
        except SMBResponseException as error:
            if error.status == _END_OF_FILE:
                return b""
            raise
        start, length = data[2] - 64, struct.unpack_from("<I", data, 4)[0]  # MS-SMB2 2.2.20: from the header's begin
        return data[start : start + length]


def _entries(answer: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, attributes, size and time of change of what a QUERY_DIRECTORY answer lists (MS-SMB2 2.2.34)."""
    at = struct.unpack_from("<H", answer, 2)[0] - 64
    while True:
        following, _, _, _, ticks, _, size, _, attributes, length = _ENTRY.unpack_from(answer, at)
        raw = answer[at + _ENTRY.size : at + _ENTRY.size + length]
        name = raw.decode("utf-16-le", "surrogatepass")
        if name not in {".", ".."}:
            yield name, attributes, size, ticks
        if not following:
            return
        at += following


def _file(path: str, size: int, ticks: int) -> SourceFile:
    return SourceFile(path=path, size=size, mtime_ns=(ticks - _EPOCH_TICKS) * 100)


def _let_go(line: _Line, handle: bytes) -> None:
    close = SMB2CloseRequest()
    close["file_id"] = handle
    line.ask(close)


def _close(line: _Line) -> None:
    with suppress(SMBException, OSError):
        line.close()


@contextmanager
def _explained(act: str, *, is_signing_in: bool = False) -> Iterator[None]:
    """Turn the library's errors into the relay's."""
    try:
        yield
    except SMBResponseException as error:
        raise _of_status(error.status, act, is_signing_in=is_signing_in) from error
    except (SMBAuthenticationError, SpnegoError) as error:
        raise SourceRefused(_NO_ACCOUNT) from error
    except (SMBException, OSError, ValueError, struct.error, KeyError) as error:
        is_hung_up = isinstance(error, SMBConnectionClosed)
        cause = "the connection broke" if is_hung_up or isinstance(error, OSError) else "no answer in time"
        if isinstance(error, ValueError):
            cause = "it cannot be reached"
        hint = _SMB_1 if is_signing_in and is_hung_up else ""
        raise SourceError(
            f"The server did not let the relay {act} ({cause}); nothing was changed. The relay tries again by itself."
            f"{hint}"
        ) from error


_SMB_1 = " A server that speaks SMB 1 only is not spoken to: mount it with vers=1.0, and use the kind share."
_NO_ACCOUNT = (
    "The server refuses the account or its password; nothing was changed. Put the right password into its file; the "
    "relay tries again by itself, seldom, so that the account is not locked."
)


def _of_status(status: int, act: str, *, is_signing_in: bool) -> SourceError:
    if status in _REFUSED or (is_signing_in and status == _ACCESS_DENIED):
        return SourceRefused(_NO_ACCOUNT)
    if status == _NO_SHARE:
        return SourceError(
            "The server has no share of that name; nothing was changed. See `share` in the configuration, and on the "
            "scanner whether the share is still there."
        )
    if status in _GONE:
        return FileVanished(
            f"The share has nothing at this place any more (tried to {act}); what was captured before is safe. "
            "See on the scanner whether it was deleted."
        )
    if status == _ACCESS_DENIED:
        return FileUnreadable(
            f"The share does not let the relay {act}; nothing was changed. "
            "Give its account read permission there, then retry."
        )
    if status == _SHARING_VIOLATION:
        return FileBusy("The scanner holds the file for itself; nothing was changed. The relay looks again by itself.")
    return SourceError(
        f"The server did not let the relay {act} (status {status:08X}); nothing was changed. "
        "The relay tries again by itself."
    )


PLUGIN = Plugin("smb", SmbSettings, Smb)
