"""SFTP over SSH, as the reconstructor speaks it. The only part that is asynchronous inside; outside it is not.

The server's key is pinned: another key is another machine, whatever its address says.
"""

import asyncio
import stat as modes
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncssh
from pydantic import Field, field_validator, model_validator

from kspace.errors import FileUnreadable, FileVanished, SourceError, SourceRefused
from kspace.paths import AbsolutePath
from kspace.records import SourceFile
from kspace.registry import Plugin
from kspace.sources.lines import Lines
from kspace.sources.names import fits, to_bytes, to_text
from kspace.sources.settings import ServerSettings

_OLD = {
    "kex_algs": ("diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1", "diffie-hellman-group-exchange-sha1"),
    "encryption_algs": ("aes256-cbc", "aes128-cbc", "3des-cbc"),
    "mac_algs": ("hmac-sha1", "hmac-md5"),
    "server_host_key_algs": ("ssh-rsa", "ssh-dss"),
    "signature_algs": ("ssh-rsa", "ssh-dss"),
}
"""What consoles before about 2012 speak, and nobody should where anything newer is spoken."""
_NEW = {
    "kex_algs": ("curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group16-sha512"),
    "encryption_algs": ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"),
    "mac_algs": ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"),
    "server_host_key_algs": ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"),
    "signature_algs": ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"),
}
_Answer = TypeVar("_Answer")


class SftpSettings(ServerSettings):
    """How a server is reached by SSH: its pinned keys, and a password or a private key."""

    port: int = Field(default=22, ge=1, le=65_535)
    host_keys: tuple[str, ...] = Field(min_length=1)
    """Its public keys, each as `ssh-keyscan` prints it: "ssh-ed25519 AAAA…"."""
    key: AbsolutePath | None = None
    """A private key without a passphrase, readable by the relay's account alone."""
    old_algorithms: bool = False

    @property
    def warning(self) -> str | None:
        """Tell what was switched on."""
        return (
            "old SSH algorithms are allowed for it: anybody on the way may read along" if self.old_algorithms else None
        )

    @field_validator("host_keys")
    @classmethod
    def _keys(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            try:
                asyncssh.import_public_key(text)
            except (asyncssh.KeyImportError, ValueError) as error:
                raise ValueError('a host key is written as "ssh-ed25519 AAAA…"; see ssh-keyscan') from error
        return given

    @model_validator(mode="after")
    def _some_proof(self) -> "SftpSettings":
        if self.key is None and self.password is None:
            raise ValueError("give a key or a password")
        return self


@dataclass(slots=True)
class _Line:
    """A connection with an event loop of its own, which runs only while somebody waits for an answer."""

    loop: asyncio.AbstractEventLoop
    timeout_s: float
    connection: Any = None
    client: Any = None

    def ask(self, question: Coroutine[Any, Any, _Answer]) -> _Answer:
        return self.loop.run_until_complete(asyncio.wait_for(question, self.timeout_s))

    def close(self) -> None:
        try:
            if self.connection is not None:
                self.connection.abort()
                with suppress(*_FAILURES):
                    self.ask(self.connection.wait_closed())
            if left := asyncio.all_tasks(self.loop):
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        finally:
            self.loop.close()


class Sftp:
    """A folder on an SSH server with everything below it; links are not followed."""

    def __init__(self, settings: SftpSettings) -> None:
        self._settings = settings
        self._root = settings.folder.rstrip("/").encode() if settings.folder.strip("/") else settings.folder.encode()
        self._lines = Lines(self._connect, close=_Line.close)

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file whose name fits a pattern, whatever its case."""
        with self._lines.line() as line:
            folders = [b""]
            while folders:
                folder = folders.pop()
                with _explained("list a folder"):
                    listed = line.ask(_listed(line.client, self._full(folder)))
                for name, found in listed:
                    path = folder + b"/" + name if folder else name
                    if modes.S_ISDIR(found.permissions or 0):
                        folders.append(path)
                    elif modes.S_ISREG(found.permissions or 0) and fits(
                        name.decode("latin-1"), self._settings.patterns
                    ):
                        yield _file(to_text(path), found)

    def stat(self, path: str) -> SourceFile:
        """Return the file as it stands now."""
        with self._lines.line() as line, _explained("look at a file"):
            found = line.ask(line.client.lstat(self._full(to_bytes(path))))
        return _file(path, found)

    def free_bytes(self) -> int | None:
        """Return what the server says, where it speaks OpenSSH's statvfs extension."""
        with self._lines.line() as line, _explained("look at a folder"):
            try:
                found = line.ask(line.client.statvfs(self._full(b"")))
            except asyncssh.SFTPOpUnsupported:
                return None
        return int(found.bavail * found.frsize)

    @contextmanager
    def open(self, path: str) -> Iterator["_Reader"]:
        """Open one file for reading."""
        full = self._full(to_bytes(path))
        with self._lines.line() as line:
            with _explained("open a file"):
                if modes.S_ISLNK(line.ask(line.client.lstat(full)).permissions or 0):
                    raise FileUnreadable("This is a link, and links on a share are not followed; nothing was changed.")
                file = line.ask(line.client.open(full, "rb"))
            try:
                yield _Reader(line, file)
            finally:
                with _explained("close a file"):
                    line.ask(file.close())

    def _full(self, path: bytes) -> bytes:
        return b"/".join(part for part in (self._root, path) if part) or b"."

    def _connect(self) -> _Line:
        s = self._settings
        line = _Line(asyncio.new_event_loop(), s.timeout_s)
        try:
            with _explained(_SIGN_IN):
                line.connection = line.ask(_connected(s))
                line.client = line.ask(line.connection.start_sftp_client(path_encoding=None))
        except BaseException:
            line.close()
            raise
        return line


class _Reader:
    def __init__(self, line: _Line, file: Any) -> None:  # noqa: ANN401 -- the library names its own type only
        self._line = line
        self._file = file

    def read(self, offset: int, length: int) -> bytes:
        """Ask for all pieces at once: as many are on their way as the server's limits let."""
        if length == 0:
            return b""
        with _explained("read a file"):
            data: bytes = self._line.ask(self._file.read(length, offset))
        return data


async def _connected(s: SftpSettings) -> asyncssh.SSHClientConnection:
    spoken = {k: [*new, *_OLD[k]] if s.old_algorithms else list(new) for k, new in _NEW.items()}
    return await asyncssh.connect(
        s.host,
        s.port,
        username=s.user,
        password=s.reveal() if s.password else None,
        client_keys=[str(s.key)] if s.key else None,
        known_hosts=([asyncssh.import_public_key(key) for key in s.host_keys], [], []),
        config=None,
        agent_path=None,
        compression_algs=None,
        **spoken,
    )


async def _listed(client: Any, folder: bytes) -> list[tuple[bytes, Any]]:  # noqa: ANN401 -- see above
    return [(e.filename, e.attrs) async for e in client.scandir(folder) if e.filename not in {b".", b".."}]


def _file(path: str, found: Any) -> SourceFile:  # noqa: ANN401 -- see above
    """SFTP of OpenSSH tells times in whole seconds."""
    if not modes.S_ISREG(found.permissions or 0):
        raise FileUnreadable("This is no regular file, and nothing else is read; nothing was changed.")
    return SourceFile(path=path, size=found.size or 0, mtime_ns=(found.mtime or 0) * 1_000_000_000)


@contextmanager
def _explained(act: str) -> Iterator[None]:
    """Turn the library's errors into the relay's."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise SourceRefused(
            "The server's SSH key is not one of host_keys: it was installed anew, or it is another machine. Nothing "
            "was sent to it. Ask who looks after the scanner, then pin the new key."
        ) from error
    except (asyncssh.PermissionDenied, asyncssh.KeyImportError) as error:
        raise SourceRefused(
            "The server refuses the account, its password or its key; nothing was changed. Put the right one into its "
            "file; the relay tries again by itself, seldom, so that the account is not locked."
        ) from error
    except asyncssh.KeyExchangeFailed as error:
        raise SourceError(
            "The server speaks none of the SSH algorithms that the relay speaks; nothing was changed." + _OLD_CONSOLE
        ) from error
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise FileVanished(
            f"The server has nothing at this place any more (tried to {act}); what was captured before is safe. "
            "See on the scanner whether it was deleted."
        ) from error
    except asyncssh.SFTPPermissionDenied as error:
        raise FileUnreadable(
            f"The server does not let the relay {act}; nothing was changed. "
            "Give its account read permission there, then retry."
        ) from error
    except _FAILURES as error:
        spoke = act == _SIGN_IN and isinstance(error, asyncssh.Error)  # a server that is not there speaks nothing
        raise SourceError(
            f"The server did not let the relay {act} ({_cause(error)}); nothing was changed. "
            f"The relay tries again by itself.{_OLD_CONSOLE if spoke else ''}"
        ) from error


_SIGN_IN = "sign in"
_OLD_CONSOLE = " Where it is an old console, it may need old_algorithms = true for this source."
_FAILURES = (asyncssh.Error, OSError, TimeoutError, ValueError)


def _cause(error: BaseException) -> str:
    """Return what happened without a name in it: messages of servers hold paths."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncssh.ConnectionLost | ConnectionError):
        return "the connection broke"
    return type(error).__name__


PLUGIN = Plugin("sftp", SftpSettings, Sftp)
