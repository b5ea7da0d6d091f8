"""One process of a listener, started by `dicom.workers`: it serves the connections it is handed, and nothing else.

It ends when the line to the relay does, so that it never outlives it.
"""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import structlog

from dicom.calls import Pipe
from dicom.reception import Reception
from dicom.settings import ListenerSettings

_MESSAGE_BYTES = 4096


class Worker:
    """The other end of the line."""

    def __init__(self, line: socket.socket, settings: ListenerSettings, *, folder: Path, shelf: Path) -> None:
        self._line = line
        self._is_open = False
        here = {"folder": folder, "shelf": shelf}
        self._reception = Reception(
            settings, is_open=lambda: self._is_open, at_end=lambda: self._say({"ended": 1}), **here
        )

    def run(self) -> NoReturn:
        """Do what the relay says, for as long as it is there."""
        while True:
            message, files = self._heard()
            if not message:
                os._exit(1)
            told = json.loads(message)
            if files:
                connection, pipe = (socket.socket(fileno=f) for f in files)
                self._reception.begin(connection, Pipe(pipe), told["peer"])
            elif "grace_s" in told:
                threading.Thread(target=self._end, args=(told["grace_s"],)).start()
            else:
                self._is_open = told["is_open"]
                self._say({"ended": 0})

    def _heard(self) -> tuple[bytes, list[int]]:
        """Return the next message with its open files; nothing once the relay is gone, killed or not."""
        try:
            message, files, _, _ = socket.recv_fds(self._line, _MESSAGE_BYTES, 2)
        except ConnectionResetError:  # it was killed with something of this worker's unread
            return b"", []
        return message, files

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        """Let the relay write a line of the log (a processor of structlog)."""
        self._say({**event, "level": level})
        raise structlog.DropEvent

    def _say(self, said: dict[str, Any]) -> None:
        with suppress(OSError):  # who listens to nothing more will end this process
            self._line.send(json.dumps(said, default=str).encode(), socket.MSG_DONTWAIT)

    def _end(self, grace_s: float) -> NoReturn:
        is_idle = self._reception.stop(grace_s=grace_s)
        os._exit(0 if is_idle else 1)


def main() -> None:
    """Run a worker: the number of the line's file, the listener's settings and folders are the arguments."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the relay says when; systemd tells every process of a service
        signal.signal(number, signal.SIG_IGN)
    line, given, folder, shelf = sys.argv[1:]
    settings = ListenerSettings.model_validate_json(given)
    worker = Worker(socket.socket(fileno=int(line)), settings, folder=Path(folder), shelf=Path(shelf))
    structlog.configure(processors=[worker.log])
    worker.run()


if __name__ == "__main__":
    main()
