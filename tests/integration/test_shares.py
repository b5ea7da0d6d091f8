"""A relay with two scanners, of which one's share hangs: the other is captured, the sentence is said, it goes on."""

import pytest

from kspace.clock import SystemClock
from kspace.twix.synthetic import Synthetic, write_twix
from tests.integration.relay import wait_until
from tests.servers.shares import samba
from transfer.app.checks import run_checks
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config

CONFIG = """
[relay]
name = "box"
folder = "{at}/relay"
workers = 2
backoff_s = 0.2

[[rule]]
name = "all"
project = "P"

[[scanner]]
name = "dead"
practice = true
poll_s = 0.3
quiet_s = 0.3
answer_s = 1.0
  [[scanner.source]]
  kind = "smb"
  host = "127.0.0.1"
  port = {port}
  share = "raw"
  user = "relay"
  password = {{ file = "{at}/password" }}
  timeout_s = 3.0

[[scanner]]
name = "alive"
practice = true
poll_s = 0.3
quiet_s = 0.3
  [[scanner.source]]
  kind = "share"
  path = "{at}/alive"
"""


@pytest.fixture
def server(tmp_path, requires):
    (tmp_path / "dead").mkdir()
    (tmp_path / "alive").mkdir()
    (tmp_path / "password").write_text("secret\n")
    with samba(tmp_path / "dead", at=tmp_path / "samba", requires=requires) as running:
        yield running


@pytest.fixture
def box(tmp_path, server):
    path = tmp_path / "relay.toml"
    path.write_text(CONFIG.format(at=tmp_path, port=server.port))
    made = Box(load_config(path), clock=SystemClock())
    engine = made.engine()
    engine.start()
    yield made
    server.resume()
    engine.stop(within_s=10)
    made.close()


def states(box) -> dict[str, str]:
    with box.database.read() as connection:
        return {row["path"]: row["state"] for row in lists.captures(connection, state=None, limit=50)}


def alerts(box) -> list[str]:
    with box.database.read() as connection:
        return [row["text"] for row in lists.alerts(connection)]


def test_a_share_that_hangs_keeps_no_other_scanner_waiting(box, server, tmp_path):
    write_twix(tmp_path / "dead/1.dat", Synthetic(mid=1, readouts=20))
    wait_until(lambda: states(box).get("1.dat") == "packed", within_s=60, told=lambda: states(box))
    server.pause()
    wait_until(lambda: any("dead" in text for text in alerts(box)), within_s=60, told=lambda: alerts(box))
    write_twix(tmp_path / "dead/2.dat", Synthetic(mid=2, readouts=20))
    write_twix(tmp_path / "alive/3.dat", Synthetic(mid=3, readouts=20))
    wait_until(lambda: states(box).get("3.dat") == "packed", within_s=60, told=lambda: states(box))
    said = {finding.what: finding for finding in run_checks(box)}
    assert said["source alive/1"].is_right
    assert not said["source dead/1"].is_right
    assert "nothing was changed" in said["source dead/1"].said
    assert "by itself" in next(text for text in alerts(box) if "dead" in text)
    assert states(box)["1.dat"] == "packed"
    server.resume()
    wait_until(lambda: states(box).get("2.dat") == "packed", within_s=120, told=lambda: (states(box), alerts(box)))
    wait_until(lambda: not any("dead" in text for text in alerts(box)), within_s=60, told=lambda: alerts(box))
