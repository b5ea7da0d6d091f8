"""Every kind of source over a folder of this machine: mounted ones as they are, the others through a real server."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kspace import sources
from kspace.clock import SystemClock
from kspace.registry import plugins
from kspace.sources import Source
from kspace.sources.answering import AnsweringSource
from kspace.sources.limiting import LimitedSource, Limiter
from tests.servers import shares
from tests.servers.shares import Requires, Server

MOUNTED = ("share", "drop", "streamed")


@dataclass
class Park:
    """The servers that a module's tests share, each started when it is first asked for."""

    base: Path
    requires: Requires
    stack: ExitStack
    running: dict[str, Server] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def server(self, name: str, **given: Any) -> Server:
        if name not in self.running:
            kind = {"smb": shares.samba, "sftp": shares.sshd, "ftp": shares.pyftpd, "vsftpd": shares.vsftpd}[name]
            at = self.base / "servers" / name
            made = kind(self.base / "raw", at=at, requires=self.requires, **given)
            self.running[name] = self.stack.enter_context(made)
        return self.running[name]

    def folder(self) -> Path:
        """Return a new folder that every server shows."""
        made = self.base / "raw" / str(next(self.numbers))
        made.mkdir(parents=True)
        return made

    def settings(self, name: str, folder: Path, *, port: int | None = None) -> dict[str, Any]:
        """Return how a source over the folder is configured; ``port`` leads there in the server's place."""
        if name in MOUNTED:
            return {"path": folder} | ({"patterns": ["*.dat"]} if name == "streamed" else {})
        password = self.base / "password"
        password.write_text("secret\n")
        server = self.server(name)
        within = folder.relative_to(self.base / "raw").as_posix()
        there = {"host": "127.0.0.1", "port": port or server.port, "folder": within, "timeout_s": 10.0}
        asked = {"user": "relay", "password": {"file": password}}
        at = self.base / "servers" / name
        match name:
            case "smb":
                return there | asked | {"share": "raw"}
            case "sftp":
                key = {"user": shares.account_here(), "key": at / "id", "host_keys": [shares.public_key(at / "host")]}
                return there | key
            case "vsftpd":
                return there | asked | {"user": "anonymous"}
        return there | asked

    def bare(self, name: str, folder: Path, *, port: int | None = None, **changed: Any) -> Source:
        """Return a source over the folder."""
        plugin = plugins(sources)["ftp" if name == "vsftpd" else name]
        built: Source = plugin.build(plugin.settings.model_validate(self.settings(name, folder, port=port) | changed))
        return built

    def wrapped(self, name: str, folder: Path, **changed: Any) -> Source:
        """Return a source as the relay uses it."""
        answering = AnsweringSource(self.bare(name, folder, **changed), within_s=20)
        return LimitedSource(answering, Limiter(mbit_per_s=100_000, clock=SystemClock()))


@pytest.fixture(scope="session")
def park(tmp_path_factory, requires: Callable[[str], str]) -> Iterator[Park]:
    base = tmp_path_factory.mktemp("park")
    (base / "raw").mkdir()
    with ExitStack() as stack:
        yield Park(base, requires, stack)
