"""What systemd is told: that the relay is ready, lives, and ends (sd_notify(3), without its library)."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the socket that systemd names in the environment; without one it is silent."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._place = environment.get("NOTIFY_SOCKET", "")
        usec = int(environment.get("WATCHDOG_USEC", "0"))
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.every_s: float | None = usec / 2e6 if usec and is_ours else None
        """How often a sign of life must be sent at least; None: nobody waits for one."""

    def tell(self, state: str) -> None:
        """Send one state, such as ``READY=1``; a system that does not listen is left alone."""
        if not self._place:
            return
        address = f"\0{self._place[1:]}" if self._place.startswith("@") else self._place
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            try:
                line.connect(address)
                line.send(state.encode())
            except OSError:
                return
