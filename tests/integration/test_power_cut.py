"""The relay stops when its UPS runs on battery and goes on with the mains: NUT's own server and dummy driver."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.relay import Relay, free_port, wait_until

_UPS = "ups.status: OL\nbattery.charge: 100\nbattery.runtime: 1800\n"


class Ups:
    """A UPS that a test switches; `upsc` is asked as in the field."""

    def __init__(self, folder: Path, port: int) -> None:
        self.name = f"ups@127.0.0.1:{port}"
        self._environment = {**os.environ, "NUT_CONFPATH": str(folder), "NUT_STATEPATH": str(folder)}
        for name, text in {
            "nut.conf": "MODE=standalone\n",
            "ups.conf": "[ups]\n  driver = dummy-ups\n  port = ups.dev\n  mode = dummy\n",
            "ups.dev": _UPS,
            "upsd.conf": f"LISTEN 127.0.0.1 {port}\nSTATEPATH {folder}\n",
            "upsd.users": "[relay]\n  password = secret\n  actions = SET\n",
        }.items():
            (folder / name).write_text(text)
        account = ("-u", "root") if os.geteuid() == 0 else ()
        commands = (["/lib/nut/dummy-ups", "-a", "ups", "-F", *account], ["/lib/nut/upsd", "-F", *account])
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._running = [subprocess.Popen(command, env=self._environment, **quiet) for command in commands]

    def says(self) -> str:
        told = subprocess.run(["upsc", self.name, "ups.status"], capture_output=True, text=True, check=False)
        return told.stdout.strip()

    def switch(self, status: str) -> None:
        command = ["upsrw", "-s", f"ups.status={status}", "-u", "relay", "-p", "secret", self.name]
        subprocess.run(command, check=True, capture_output=True)
        wait_until(lambda: self.says() == status, within_s=20, told=self.says)

    def keep(self, status: str) -> None:
        """Switch it again where the driver went back to what its file says."""
        if self.says() != status:
            self.switch(status)

    def stop(self) -> None:
        for process in reversed(self._running):
            process.terminate()
            process.wait(20)


@pytest.fixture
def ups(tmp_path, requires):
    requires("upsc")
    folder = tmp_path / "nut"
    folder.mkdir(mode=0o750)
    found = Ups(folder, free_port())
    try:
        wait_until(lambda: found.says() == "OL", within_s=20, told=found.says)
        yield found
    finally:
        found.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_relay_stops_on_battery_and_goes_on_with_the_mains(tmp_path, ups):
    port = free_port()
    table = f'\n[reading.ups]\naddress = "{ups.name}"\nevery_s = 1\nstop_after_s = 0\n'
    config = Relay(folder=tmp_path, urls={}, port=port).write()
    text = config.read_text()
    config.write_text(text[: text.index("[[route]]")] + table)
    command = [sys.executable, "-c", "from transfer.app.cli import main; main()", "serve", "-c", str(config)]
    log = tmp_path / "log"
    with log.open("wb") as out:
        relay = subprocess.Popen(command, stdout=out, stderr=out)

    def stopped(status: str) -> bool:
        ups.keep(status)
        return not listens(port)

    try:
        wait_until(lambda: listens(port), within_s=60, told=log.read_text)
        wait_until(lambda: stopped("OB DISCHRG"), within_s=60, told=log.read_text)
        wait_until(lambda: "The power is out" in log.read_text(), within_s=60, told=log.read_text)
        assert relay.poll() is None, "it waits for the mains by itself"
        ups.switch("OL")
        wait_until(lambda: listens(port), within_s=60, told=log.read_text)
        wait_until(lambda: stopped("OB DISCHRG LB"), within_s=60, told=log.read_text)
        relay.terminate()
        assert relay.wait(60) == 0, "it can be ended while the power is out"
    finally:
        relay.kill()
        relay.wait()
