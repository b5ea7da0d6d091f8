"""A folder that the relay serves to a console: what every archive proved goes from it, all else stays."""

import json

import pytest
from typer.testing import CliRunner

from tests.integration.relay import Relay, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.sandbox import Sandbox, SandboxSettings

SERVED = """
[[scanner]]
name = "console"
practice = true
poll_s = 0.3
quiet_s = 0.6
  [[scanner.source]]
  kind = "drop"
  path = "{folder}/console"
  serve = {{ share = "console", address = "127.0.0.1", user = "console", quota_gb = 0.001, hold_s = {hold_s} }}
"""


@pytest.fixture
def relay(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        yield Relay(folder=tmp_path, urls={"central": sandbox.url}, scanners=())


def asked(relay: Relay, *words: str):
    return CliRunner().invoke(app, [*words, "-c", str(relay.write())])


def test_it_is_emptied_after_the_receipt_and_counted_before(relay, tmp_path):
    raw = make(tmp_path / "console" / "one.dat", measurement(1))
    other = make(tmp_path / "console" / "other.dat", measurement(2, protocol="unwanted"))
    held = relay.but(tables=SERVED.format(folder=tmp_path, hold_s=3600.0))
    with held.running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: running.captures()["one.dat"]["state"] == "retired", within_s=40, told=running.stories)
        wait_until(lambda: running.captures()["other.dat"]["state"] == "skipped", within_s=20, told=running.stories)
        wait_until(lambda: any("serves to the console" in text for text in running.alerts()), within_s=90)
    listed = json.loads(asked(held, "delete-at-source", "console/1", "--json").stdout)
    assert listed["may_go"] == []
    assert listed["stay"]["held by every archive, but not for long enough"] == 1
    assert "folder of console/1" in asked(held, "pools").output
    assert raw.path.exists(), "it is not held for long enough"
    with relay.but(tables=SERVED.format(folder=tmp_path, hold_s=0.0)).running() as running:
        wait_until(lambda: not raw.path.exists(), within_s=30, told=running.stories)
        wait_until(lambda: running.captures()["one.dat"]["gone_at"] is not None, within_s=20, told=running.stories)
        assert running.captures()["one.dat"]["state"] == "retired"
    assert other.path.exists(), "nobody has it"
    said = asked(relay, "delete-at-source", "console/1")
    assert "Nothing is ever deleted at console/1" in str(said.exception)
