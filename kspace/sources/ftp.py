"""FTP with the standard library: RFC 959, and of RFC 3659 MLSD, SIZE, MDTM and REST. Only what reads is ever sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from ftplib import FTP, Error, error_perm, error_reply, error_temp
from typing import TYPE_CHECKING

from pydantic import Field

from kspace.errors import FileUnreadable, FileVanished, SourceError, SourceRefused
from kspace.records import SourceFile
from kspace.registry import Plugin
from kspace.sources.lines import Lines
from kspace.sources.names import fits, to_bytes, to_text
from kspace.sources.settings import ServerSettings

if TYPE_CHECKING:
    from socket import socket

_UNIX = re.compile(r"([-d])[-rwxsStT.+]{9,10}\s+\d+\s+\S+\s+\S+\s+\d+\s+\S+\s+\d+\s+[\d:]+ (.+)")
_DOS = re.compile(r"[\d-]{8,10}\s+\d\d:\d\d(?:[AP]M)?\s+(<DIR>|\d+)\s+(.+)")
"""Lines of LIST, as servers on Unix and as IIS write them: kind, and name. Links are neither."""


class FtpSettings(ServerSettings):
    """How a server is reached by FTP."""

    port: int = Field(default=21, ge=1, le=65_535)

    @property
    def warning(self) -> str | None:
        """Tell what FTP is."""
        return "FTP sends the password and the data in the clear: use it only on a network of its own"


class Ftp:
    """A folder on an FTP server with everything below it."""

    def __init__(self, settings: FtpSettings) -> None:
        self._settings = settings
        self._folder = settings.folder.encode().decode("latin-1").strip("/")
        self._lines = Lines(self._connect, close=FTP.close)

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file whose name fits a pattern, whatever its case."""
        with self._lines.line() as line, _explained("list a folder"):
            listing = _mlsd if _speaks_mlsd(line) else _list
            folders = [""]
            while folders:
                folder = folders.pop()
                line.cwd(self._full(line, folder))
                listed = list(listing(line))
                line.voidcmd("TYPE I")  # listings are text, and leave it so; SIZE and RETR are not
                for name, is_folder, seen in listed:
                    path = f"{folder}/{name}" if folder else name
                    if is_folder:
                        folders.append(path)
                    elif fits(name, self._settings.patterns):
                        size, mtime_ns = seen or self._look(line, path)
                        yield SourceFile(path=_text(path), size=size, mtime_ns=mtime_ns)

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now."""
        with self._lines.line() as line, _explained("look at a file"):
            size, mtime_ns = self._look(line, _latin(path))
        return SourceFile(path=path, size=size, mtime_ns=mtime_ns)

    def free_bytes(self) -> int | None:
        """Return None: no standard command of FTP tells."""
        return None

    @contextmanager
    def open(self, path: str) -> Iterator["_Reader"]:
        """Open one file for reading."""
        with self._lines.line() as line:
            with _explained("open a file"):
                self._look(line, _latin(path))
                reader = _Reader(line, self._full(line, _latin(path)))
            try:
                yield reader
            finally:
                reader.stop()

    def _look(self, line: FTP, path: str) -> tuple[int, int]:
        full = self._full(line, path)
        size = line.size(full)
        return size or 0, _time_of(line.sendcmd(f"MDTM {full}").partition(" ")[2])

    def _full(self, line: FTP, path: str) -> str:
        return "/".join(part for part in (line.home, self._folder, path) if part)  # type: ignore[attr-defined]

    def _connect(self) -> FTP:
        s = self._settings
        password = s.reveal()
        line = FTP(encoding="latin-1", timeout=s.timeout_s)  # noqa: S321 -- what consoles speak; `warning` says so
        try:
            with _explained("sign in", is_signing_in=True):
                line.connect(s.host, s.port)
                line.login(s.user, password)
                line.voidcmd("TYPE I")
                line.home = line.pwd().rstrip("/") or "/."  # type: ignore[attr-defined]
        except BaseException:
            line.close()
            raise
        return line


class _Reader:
    """Reads on in one transfer while offsets follow on one another, and begins another where they do not."""

    def __init__(self, line: FTP, path: str) -> None:
        self._line = line
        self._path = path
        self._transfer: socket | None = None
        self._at = 0

    def read(self, offset: int, length: int) -> bytes:
        with _explained("read a file"):
            if offset != self._at:
                self.stop()
            if self._transfer is None and not self._begin(offset, length):
                return b""
            return self._received(length)

    def stop(self) -> None:
        """End a transfer; the server's word on that has to be taken off the line."""
        if self._transfer is None:
            return
        with _explained("close a file"):
            self._transfer.close()
            self._transfer = None
            with suppress(error_temp, error_perm, error_reply):  # 426: it was not at its end
                self._line.voidresp()

    def _begin(self, offset: int, length: int) -> bool:
        self._at = offset
        if length == 0 or offset >= (self._line.size(self._path) or 0):
            return False
        try:
            self._transfer = self._line.transfercmd(f"RETR {self._path}", rest=offset or None)
        except error_perm as error:
            raise FileUnreadable(
                "The server does not let the relay read a file; nothing was changed. "
                "Give its account read permission there, then retry."
            ) from error
        return True

    def _received(self, length: int) -> bytes:
        data, got = memoryview(bytearray(length)), 0
        while got < length and self._transfer is not None:
            try:
                count = self._transfer.recv_into(data[got:])
            except OSError:
                self._transfer.close()
                self._transfer = None
                raise
            got += count
            if count == 0:  # the file's end, or of the line: only the server's word tells
                self._transfer.close()
                self._transfer = None
                self._line.voidresp()
        self._at += got
        return bytes(data[:got])


def _speaks_mlsd(line: FTP) -> bool:
    """Return whether listings tell sizes and times exactly (RFC 3659, section 7.8: MLST stands for both)."""
    try:
        return "MLST" in line.sendcmd("FEAT")
    except error_perm:  # older than RFC 2389
        return False


def _mlsd(line: FTP) -> Iterator[tuple[str, bool, tuple[int, int] | None]]:
    for name, facts in line.mlsd():
        if facts.get("type") in {"file", "dir"}:
            seen = (int(facts["size"]), _time_of(facts["modify"])) if {"size", "modify"} <= set(facts) else None
            yield name, facts["type"] == "dir", seen


def _list(line: FTP) -> Iterator[tuple[str, bool, tuple[int, int] | None]]:
    """Yield what LIST tells of kinds and names; its times are too coarse, and are asked for one by one."""
    lines: list[str] = []
    line.retrlines("LIST", lines.append)
    for text in lines:
        found = _UNIX.fullmatch(text) or _DOS.fullmatch(text)
        if found and found[2] not in {".", ".."}:
            yield found[2], found[1] in {"d", "<DIR>"}, None


def _time_of(text: str) -> int:
    """Return nanoseconds since 1970 of a time of RFC 3659, section 2.3, to the second as MDTM has it."""
    at = datetime.strptime(text.strip()[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000_000


def _text(path: str) -> str:
    return to_text(path.encode("latin-1"))


def _latin(path: str) -> str:
    return to_bytes(path).decode("latin-1")


@contextmanager
def _explained(act: str, *, is_signing_in: bool = False) -> Iterator[None]:
    """Turn the library's errors into the relay's; its own texts hold paths."""
    try:
        yield
    except error_perm as error:
        if is_signing_in:
            raise SourceRefused(
                "The server refuses the account or its password; nothing was changed. Put the right password into its "
                "file; the relay tries again by itself, seldom, so that the account is not locked."
            ) from error
        raise FileVanished(
            f"The server has nothing at this place any more (tried to {act}); what was captured before is safe. "
            "See on the scanner whether it was deleted."
        ) from error
    except (Error, OSError, EOFError, ValueError) as error:
        cause = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke or made no sense"
        raise SourceError(
            f"The server did not let the relay {act} ({cause}); nothing was changed. The relay tries again by itself."
        ) from error


PLUGIN = Plugin("ftp", FtpSettings, Ftp)
