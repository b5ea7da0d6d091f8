"""Real file servers over a folder, each with a log of its own that tells what a client did."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Requires = Callable[[str], str]


@dataclass
class Server:
    """A running server: where it listens, and what it logged."""

    port: int
    log: Path
    command: list[str]
    output: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it and all that it began at once, as a power cut does."""
        pids = [self.process.pid]
        for pid in pids:
            pids += _children(pid)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    def start(self) -> None:
        """Start it again as it was."""
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _await(self.port, self.process, self.output)

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        for pid in (self.process.pid, *_children(self.process.pid)):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in (*_children(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def logged(self) -> str:
        """Return the log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@contextmanager
def samba(
    folder: Path, *, at: Path, requires: Requires, options: str = "", port: int | None = None
) -> Iterator[Server]:
    """Serve a folder as the share `raw`, with every operation in the log; the account is relay, secret."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc"):
        (at / name).mkdir(parents=True)
    port, log = port or free_port(), at / "log"
    account = account_here()
    folders = "".join(
        f"{n} {'dir' if n == 'private' else 'directory'} = {at}/{n}\n"
        for n in ("private", "lock", "state", "cache", "pid")
    )
    (at / "users").write_text(f"{account} = relay\n")
    (at / "smb.conf").write_text(
        f"[global]\nserver role = standalone server\nsmb ports = {port}\ninterfaces = 127.0.0.1\n"
        f"bind interfaces only = yes\ndisable netbios = yes\nload printers = no\nprintcap name = /dev/null\n"
        f"log file = {log}\nlog level = 1 full_audit:1\n{folders}passdb backend = tdbsam:{at}/private/passdb.tdb\n"
        f"ncalrpc dir = {at}/ncalrpc\nusername map = {at}/users\n{options}\n"
        f"[raw]\npath = {folder}\nread only = no\nforce user = {account}\nvfs objects = full_audit\n"
        "full_audit:prefix = audit\nfull_audit:success = all\nfull_audit:failure = none\n"
        "full_audit:syslog = false\n"
    )
    config = str(at / "smb.conf")
    given = [requires("smbpasswd"), "-c", config, "-s", "-a", account]
    subprocess.run(given, input=b"secret\nsecret\n", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [requires("smbd"), "-F", "-s", config]
    with _running(command, port=port, log=log, output=at / "out") as server:
        yield server


@contextmanager
def sshd(folder: Path, *, at: Path, requires: Requires, options: str = "", key: str = "ed25519") -> Iterator[Server]:
    """Serve a folder by SFTP, with every file operation logged; `at/id` is the key of the account that runs this."""
    at.mkdir(parents=True)
    port, log = free_port(), at / "log"
    for name in ("host", "id"):
        make_key(at / name, requires=requires, kind=key)
    (at / "authorized_keys").write_bytes((at / "id.pub").read_bytes())
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a root's sshd has its helpers locked in
    (at / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile {at}/pid\n"
        f"AuthorizedKeysFile {at}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n{options}\n"
        f"Subsystem sftp exec /usr/lib/openssh/sftp-server -e -l VERBOSE -d {folder} 2>>{log}\n"
    )
    command = [requires("sshd"), "-D", "-f", str(at / "config"), "-E", str(log)]
    with _running(command, port=port, log=log, output=at / "out") as server:
        yield server


@contextmanager
def pyftpd(folder: Path, *, at: Path, requires: Requires) -> Iterator[Server]:
    """Serve a folder by FTP with MLSD; the account relay, secret may do anything, and the log tells what it did."""
    at.mkdir(parents=True)
    port, log = free_port(), at / "log"
    command = [sys.executable, "-m", "tests.servers.pyftpd", str(port), str(folder), str(log)]
    with _running(command, port=port, log=log, output=at / "out") as server:
        yield server


@contextmanager
def vsftpd(folder: Path, *, at: Path, requires: Requires) -> Iterator[Server]:
    """Serve a folder by FTP without MLSD, to anybody: the account is anonymous."""
    (at / "empty").mkdir(parents=True, mode=0o555)
    port, log = free_port(), at / "log"
    (at / "conf").write_text(
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
        f"no_anon_password=YES\nanon_root={folder}\nftp_username={account_here()}\nsecure_chroot_dir={at}/empty\n"
        f"anon_world_readable_only=NO\nseccomp_sandbox=NO\nxferlog_enable=YES\nlog_ftp_protocol=YES\n"
        f"vsftpd_log_file={log}\nrun_as_launching_user=YES\nallow_writeable_chroot=YES\n"
        "write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\n"
    )
    with _running([requires("vsftpd"), str(at / "conf")], port=port, log=log, output=at / "out") as server:
        yield server


def account_here() -> str:
    """Return the name of the account that runs this."""
    return pwd.getpwuid(os.geteuid()).pw_name


def make_key(path: Path, *, requires: Requires, kind: str = "ed25519") -> str:
    """Make a key pair and return its public half as a host key is written."""
    given = [
        requires("ssh-keygen"),
        "-q",
        "-t",
        kind,
        *(["-b", "2048"] if kind == "rsa" else []),
        "-N",
        "",
        "-f",
        str(path),
    ]
    subprocess.run(given, check=True, stdout=subprocess.DEVNULL)
    return public_key(path)


def public_key(path: Path) -> str:
    """Return the public half of a key pair as a host key is written."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], *, port: int, log: Path, output: Path) -> Iterator[Server]:
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    server = Server(port, log, command, output, process)
    try:
        _await(port, process, output)
        yield server
    finally:
        server.resume()
        server.process.terminate()
        server.process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {output.read_text(errors='replace')[-500:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            _moment(process)
        else:
            return
    raise AssertionError("the server did not start")


def _moment(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment, or until it ends."""
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return


def _children(pid: int) -> list[int]:
    found = (
        Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii") if Path(f"/proc/{pid}").exists() else ""
    )
    return [int(child) for child in found.split()]
