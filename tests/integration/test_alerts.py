"""Alerts through the whole relay: a server down and up, a kill between send and mark, tests, acknowledgements."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kspace.clock import SystemClock
from tests.integration.relay import free_port, wait_until
from tests.servers import mailbox
from transfer.app.cli import app
from transfer.catalog.database import Database
from transfer.catalog.notices import raise_alert

KSPACE = Path(sys.executable).with_name("kspace")
CONFIG = """
[relay]
name = "box"
site = "north"
folder = "{folder}/relay"

[[sink]]
name = "mail"
kind = "mail"
host = "127.0.0.1"
port = {port}
security = "plain"
sender = "relay@example.org"
to = ["it@example.org"]
gather_s = 0

[[sink]]
name = "dead"
kind = "webhook"
url = "http://127.0.0.1:{closed}/"
gather_s = 0
"""


class Bench:
    def __init__(self, folder: Path) -> None:
        self.port, self.box = free_port(), mailbox.Mailbox()
        self.config, self.log = folder / "relay.toml", folder / "log"
        self.config.write_text(CONFIG.format(folder=folder, port=self.port, closed=free_port()))
        self.database = Database(f"sqlite:///{folder / 'relay' / 'catalog.sqlite'}")
        self.database.migrate()

    @contextmanager
    def engine(self, *, end=signal.SIGTERM):
        with self.log.open("ab") as log:
            process = subprocess.Popen([KSPACE, "engine", "-c", self.config], stdout=log, stderr=log)
            try:
                yield
            finally:
                process.send_signal(end)
                process.wait()

    @contextmanager
    def mail(self):
        running = mailbox.serve(self.box, self.port)
        try:
            yield self.box
        finally:
            running.stop()

    def raised(self, key: str) -> None:
        with self.database.write() as connection:
            raise_alert(connection, key=key, severity="critical", text=f"About {key}.", at=SystemClock().now())

    def kspace(self, *arguments: str):
        return CliRunner().invoke(app, [*arguments, "-c", str(self.config)])

    def wait_for(self, number: int) -> None:
        wait_until(lambda: len(self.box.mails) >= number, within_s=40, told=self.log.read_text)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.database.close()


def test_killed_between_send_and_mark_the_same_mail_comes_again_under_its_id(bench):
    bench.box.stalls = True
    bench.raised("lost:1")
    with bench.mail():
        with bench.engine(end=signal.SIGKILL):
            assert bench.box.took.wait(40)
        bench.box.stalls = False
        with bench.engine():
            bench.wait_for(2)
    first, second = bench.box.raw
    assert first == second
    assert [m["Subject"] for m in bench.box.mails] == ["[box] critical: About lost:1."] * 2


def test_an_alert_waits_for_its_server_and_the_dead_one_keeps_nobody_waiting(bench):
    with bench.engine():
        bench.raised("lost:1")
        wait_until(lambda: "dead: nothing taken yet, 1 waiting" in bench.kspace("alerts").stdout, within_s=40)
        said = json.loads(bench.kspace("alerts", "--json").stdout)
    assert {s["sink"]: s["waiting"] for s in said["sinks"]} == {"mail": 1, "dead": 1}
    assert [(a["key"], a["actor"]) for a in said["alerts"]] == [("lost:1", None)]
    with bench.mail(), bench.engine():
        bench.wait_for(1)
    assert bench.kspace("alerts", "ack", "lost:1", "--note", "calling the archive").exit_code == 0
    assert "calling the archive" in bench.kspace("alerts").stdout
    assert "alert.raised" in bench.log.read_text()


def test_a_test_says_of_each_sink_whether_it_took_it(bench):
    with bench.mail():
        said = bench.kspace("alerts", "test")
        one = bench.kspace("alerts", "test", "--sink", "mail")
    assert "mail: taken. 127.0.0.1 took it for 1 of 1: 250 2.0.0 queued as 1" in said.stdout
    assert "dead: NOT taken. The webhook dead does not answer (ConnectError)." in said.stdout
    assert said.exception.exit_code == 7
    assert one.exit_code == 0
    assert "nothing is the matter" in bench.box.mails[0].get_content()
    assert bench.kspace("alerts", "test", "--sink", "nobody").exception.exit_code == 4


def test_a_note_is_needed_and_a_wrong_key_changes_nothing(bench):
    assert bench.kspace("alerts", "ack", "lost:1", "--note", "x").exception.exit_code == 4
    assert bench.kspace("alerts", "ack", "lost:1", "--note", " ").exception.exit_code == 2
    assert "No alert is open." in bench.kspace("alerts").stdout
