"""A relay and an archive, each a process of its own, with the line between them, and what can strike them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx

from kspace.clock import SystemClock
from tests.campaign.line import Line
from tests.campaign.plan import Fault, Kind
from tests.campaign.trust import Authority
from tests.integration.relay import Raw, Relay, captures_of, free_port, make, measurement, send_until_taken, wait_until
from transfer import operations
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config

NAME = "archive.test"
PASSWORD = "relay"
_KSPACE = Path(sys.executable).with_name("kspace")
_OWN_NAMES = 'mount --bind "$0" /etc/hosts; [ ! -e /etc/resolv.conf ] || mount --bind "$1" /etc/resolv.conf; shift'
"""The relay's process alone sees these names, and asks nobody else: in a mount namespace of its own."""
_NOTICED_WITHIN_S = 60.0
_A_STUDY = 5
"""Files a study at least; the deliveries of one study go one after the other."""
_MOST_STUDIES = 50


class World:
    """Delivers one file a fault, ``at_once`` at a time, and ends when all are delivered."""

    def __init__(self, folder: Path, faults: Sequence[Fault], *, at_once: int) -> None:
        folder.mkdir()
        self.folder, self.faults = folder, faults
        self._archive_port, self._hosts = free_port(), folder / "hosts"
        self._authority = Authority(folder, NAME, "localhost")
        self.line = Line(self._authority.server(), behind=self._archive_port, faults=faults, harm=self._harm)
        self._relay = Relay(
            folder=folder,
            urls={"central": f"https://{NAME}:{self.line.port}"},
            part_bytes=100_000,
            timeout_s=8,
            backoff_s=0.02,
            password=PASSWORD,
            more={"central": f'ca_file = "{self._authority.ca_file}"\nat_once = {at_once}'},
        )
        self.config = self._relay.write()
        (folder / "resolv").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        self._name_there()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.raws: dict[int, Raw] = {}

    @contextmanager
    def delivered(self, *, within_s: float) -> Iterator[Box]:
        """Run until every file is delivered; the archive and the line are still there then, the relay is not."""
        with ExitStack() as stack:
            box = stack.enter_context(closing(Box(load_config(self.config))))
            for part in ("archive", "engine"):
                stack.callback(self._kill, part)
            self._start_archive()
            stack.enter_context(self.line)
            self._let_images_come(box)
            self._start_engine()
            wait_until(lambda: self._is_done(box), within_s=within_s, told=lambda: self._told(box))
            self._kill("engine")
            judged = self._relay.but(urls={"central": f"https://localhost:{self.line.port}"}).write()
            yield stack.enter_context(closing(Box(load_config(judged))))

    def archive_files(self) -> dict[str, Path]:
        """Return what lies on the archive's disk for captures, by folder and name."""
        return {f"{p.parent.name}/{p.name}": p for p in (self.folder / "archive").rglob("???????-????????????/*")}

    @property
    def log(self) -> str:
        """What the relay said."""
        return (self.folder / "engine.log").read_text()

    def _let_images_come(self, box: Box) -> None:
        studies = max(1, min(_MOST_STUDIES, len(self.faults) // _A_STUDY))
        for number, fault in enumerate(self.faults):
            study = 1 + number % studies
            twix = measurement(fault.seed, study=study)
            self.raws[fault.seed] = make(self.folder / "scanner" / f"{fault.seed}.dat", twix, study=study)
        [listener] = box.listeners()
        listener.start()
        with ThreadPoolExecutor(4) as senders:
            sent = [senders.submit(send_until_taken, r.images, listener.port, within_s=120) for r in self.raws.values()]
        listener.stop()
        for one in sent:
            one.result()

    def _is_done(self, box: Box) -> bool:
        if self.line.errors:
            raise self.line.errors[0]
        for part, process in list(self._running.items()):
            is_over = process.poll() is not None
            assert not is_over or self._running.get(part) is not process, f"the {part} ended by itself"
        found = captures_of(box.database)
        return len(found) == len(self.faults) and all(c["state"] == "retired" for c in found.values())

    def _told(self, box: Box) -> object:
        with box.database.read() as connection:
            rows = [d for d in lists.deliveries(connection) if d["state"] != "verified"]
            told = [(d["kind"], d["capture_id"], d["state"], d["reason"]) for d in rows]
        found = captures_of(box.database)
        states = [(c["path"], c["state"], c["reason"]) for c in found.values() if c["state"] != "retired"]
        return states, told, [str(fault) for fault in self.line.left], self.log[-3000:]

    def _harm(self, fault: Fault) -> Callable[[], None]:
        """Do what strikes everything, and return how it is put right."""
        match fault.kind:
            case Kind.SERVER_KILLED:
                self._kill("archive")
                return lambda: self._after(fault.seconds, self._start_archive)
            case Kind.ENGINE_KILLED:
                self._kill("engine")
                return lambda: self._after(fault.seconds, self._start_engine)
            case Kind.NAME_GONE:
                self._hosts.write_text("127.0.0.1 localhost\n")
                return lambda: self._once_told("ConnectError", self._name_there)
            case Kind.STRANGER | Kind.EXPIRED:
                good, is_expired = self.line.context, fault.kind is Kind.EXPIRED
                self.line.context = self._authority.server(is_expired=is_expired, is_stranger=not is_expired)
                return lambda: self._once_told("ConnectError", lambda: setattr(self.line, "context", good))
            case Kind.PASSWORD:
                secret = self.folder / "central-password"
                secret.write_text("not-" + PASSWORD)
                return lambda: self._once_told("401", lambda: self._password_right(secret))
        raise AssertionError(fault)

    def _after(self, seconds: float, work: Callable[[], None]) -> None:
        self.line.pause(seconds)
        work()

    def _once_told(self, word: str, work: Callable[[], None]) -> None:
        """Put it right once the relay raised its alert, so that it surely met the trouble."""
        with closing(Box(load_config(self.config))) as box:
            wait_until(lambda: any(word in text for text in _alerts(box)), within_s=_NOTICED_WITHIN_S)
        work()

    def _name_there(self) -> None:
        self._hosts.write_text(f"127.0.0.1 localhost {NAME}\n")

    def _password_right(self, secret: Path) -> None:
        """Write the right password, and say "retry" as a person does who does not wait for the 15 minutes."""
        secret.write_text(PASSWORD)
        with closing(Box(load_config(self.config))) as box:
            with box.database.read() as connection:
                waiting = next(d["id"] for d in lists.deliveries(connection) if d["state"] in {"queued", "sent"})
            operations.retry(box.database, f"d{waiting}", actor="ann", clock=SystemClock())

    def _start_archive(self) -> None:
        self._start("archive", _KSPACE, "sandbox", self.folder / "archive", "--port", self._archive_port)
        wait_until(lambda: _answers(self._archive_port), within_s=_NOTICED_WITHIN_S)

    def _start_engine(self) -> None:
        alone = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
        own_names = ("sh", "-ec", _OWN_NAMES + '; exec "$@"', self._hosts, self.folder / "resolv")
        self._start("engine", *alone, *own_names, _KSPACE, "engine", "-c", self.config)

    def _start(self, part: str, *command: object) -> None:
        with (self.folder / f"{part}.log").open("ab") as log:
            self._running[part] = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)

    def _kill(self, part: str) -> None:
        process = self._running.pop(part, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _alerts(box: Box) -> list[str]:
    with box.database.read() as connection:
        return [alert["text"] for alert in lists.alerts(connection)]


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.HTTPError:
        threading.Event().wait(0.02)
        return False
