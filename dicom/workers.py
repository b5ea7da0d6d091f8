"""Processes that receive for one listener: each is handed connections, and asks this process for what they need.

A worker holds nothing that must outlive it. What it asks for is answered here, by the one Inbox; if it dies, its
connections break, and nobody was told Success for what was not durable.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from dicom.calls import Pipe
from dicom.incoming import clear
from dicom.settings import ListenerSettings

_log = structlog.get_logger()

_BEAT_S = 0.5
"""So often a worker is told whether the pool takes images, and must show that it lives."""
_HUNG_S = 30.0
_STUCK_S = 120.0
"""The processes are looked after no longer: longer than a slow disk keeps from it."""
_END_S = 5.0
_MESSAGE_BYTES = 64 << 10


class _AtLoss(Protocol):
    def __call__(self, reason: str, *, was_alive: bool) -> None: ...


class _Worker:
    """One process, and the line to it: a message each way is one packet of JSON."""

    def __init__(self, settings: ListenerSettings, *folders: Path) -> None:
        self._line, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            given = ListenerSettings.model_validate(settings.model_dump(include=set(ListenerSettings.model_fields)))
            told = [str(there.fileno()), given.model_dump_json(), *map(str, folders)]
            command = [sys.executable, "-P", "-m", "dicom.worker", *told]
            # A group of its own: what ends the relay by the keyboard lets the worker's stores end first.
            self.process = subprocess.Popen(  # noqa: S603 -- nothing in it is from outside
                command, pass_fds=(there.fileno(),), process_group=0, stdin=subprocess.DEVNULL
            )
        self._line.setblocking(False)
        self.heard = time.monotonic()
        self.was_alive = False
        """Whether it ever said anything: one that never did could not even begin."""
        self.connections = 0

    def hand_over(self, connection: socket.socket, pipe: Pipe, peer: str) -> bool:
        """Return whether the worker got the connection."""
        is_told = self.tell({"peer": peer}, connection.fileno(), pipe.fileno())
        self.connections += is_told
        return is_told

    def tell(self, message: Mapping[str, object], *files: int) -> bool:
        """Return whether it was sent: a worker that ended or hangs takes nothing."""
        try:
            socket.send_fds(self._line, [json.dumps(message).encode()], files)
        except OSError:
            return False
        return True

    def listen(self) -> None:
        """Log what the worker had to say, and note that it lives."""
        with suppress(OSError, ValueError):
            while said := self._line.recv(_MESSAGE_BYTES):
                self.heard, self.was_alive = time.monotonic(), True
                event = json.loads(said)
                if "ended" in event:
                    self.connections -= event["ended"]
                else:
                    getattr(_log, event.pop("level"))(event.pop("event"), **event)

    def close(self) -> None:
        """End the process if it did not end by itself."""
        self.process.kill()
        self.process.wait()
        self._line.close()


class Workers:
    """Processes, each started when a connection comes while all others have one, at most as many as the settings say.

    One that ends or hangs is forgotten, and the next connection starts another.
    """

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        settings: ListenerSettings,
        *,
        folder: Path,
        shelf: Path,
        is_open: Callable[[], bool],
        at_loss: _AtLoss,
        hung_s: float = _HUNG_S,
    ) -> None:
        self._settings = settings
        self._hung_s = hung_s
        self._folder = folder
        self._shelf = shelf
        self._is_open = is_open
        self._at_loss = at_loss
        self._workers: list[_Worker] = []
        self._lost: list[tuple[str, bool]] = []
        """Not told yet."""
        self._changed = threading.Lock()
        self._ended = threading.Event()
        self._keeping: threading.Thread | None = None
        self._beat_at = time.monotonic()

    def start(self) -> None:
        """Begin to look after processes; the first starts with the first connection."""
        self._beat_at = time.monotonic()
        self._keeping = threading.Thread(target=self._keep, name="dicom workers", daemon=True)
        self._keeping.start()

    def is_alive(self) -> bool:
        """Return whether they are looked after."""
        return time.monotonic() - self._beat_at < _STUCK_S

    def begin(self, connection: socket.socket, pipe: Pipe, peer: str) -> None:
        """Hand a connection and its pipe to a process that has none, or a new one, or the one that has the fewest.

        Raises:
            OSError: there is no process, and none can be started now.
        """
        with connection, pipe, self._changed:
            self._look_after()
            least = min(self._workers, key=lambda one: one.connections, default=None)
            if least is None or (least.connections and len(self._workers) < self._settings.processes):
                least = self._one_more(instead=least)
            if not least.hand_over(connection, pipe, peer):
                _log.warning("association.broken", peer=peer, reason="no_worker")

    def stop(self, *, grace_s: float) -> bool:
        """Let stores under way end for so long, then end the processes; return whether all stores had ended."""
        self._ended.set()
        if self._keeping is not None:
            self._keeping.join(_END_S)
        until, is_idle = time.monotonic() + grace_s + _END_S, True
        for worker in self._workers:
            worker.tell({"grace_s": grace_s})
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(until - time.monotonic(), 0))
            is_idle &= worker.process.returncode == 0
            worker.listen()
            worker.close()
        self._workers = []
        clear(self._folder)
        return is_idle

    def _one_more(self, *, instead: _Worker | None) -> _Worker:
        try:
            worker = _Worker(self._settings, self._folder, self._shelf)
        except OSError:  # no memory or descriptor for it: those that are there do it all
            if instead is None:
                raise
            return instead
        worker.tell({"is_open": self._is_open()})
        self._workers.append(worker)
        return worker

    def _keep(self) -> None:
        while not self._ended.wait(_BEAT_S):
            state = {"is_open": self._is_open()}
            with self._changed:
                self._look_after()
                for worker in self._workers:
                    worker.tell(state)
                lost, self._lost = self._lost, []
            for reason, was_alive in lost:  # no caller waits for a slow catalog
                self._at_loss(reason, was_alive=was_alive)
            self._beat_at = time.monotonic()

    def _look_after(self) -> None:
        for worker in self._workers:
            worker.listen()
        self._workers = [worker for worker in self._workers if not self._has_ended(worker)]

    def _has_ended(self, worker: _Worker) -> bool:
        """What it was receiving is lost to nobody: its senders see a broken association, and send again."""
        status = worker.process.poll()
        is_hung = time.monotonic() - worker.heard > self._hung_s
        if status is None and not is_hung:
            return False
        _log.error("listener.worker_ended", pid=worker.process.pid, status="hung" if status is None else status)
        self._lost.append(("it hung" if status is None else f"it ended with status {status}", worker.was_alive))
        worker.close()
        clear(self._folder, of_process=worker.process.pid)
        return True
