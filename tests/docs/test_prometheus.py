"""The metrics, rules and dashboard as shipped, judged by promtool; each expression asks for what the relay serves."""

import json
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from hardware.pools import PoolReader
from hardware.records import Reading
from transfer.app.cli import app
from transfer.app.metrics import Collector, MetricsServer
from transfer.app.wiring import Box
from transfer.catalog.readings import write_readings
from transfer.config import load_config

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "hardware" / "prometheus"
NAME = re.compile(r"\bkspace_\w+")
CONFIG = """
[relay]
name = "box"
site = "north"
folder = "{folder}/relay"

[[scanner]]
name = "prisma-1"

  [[scanner.source]]
  kind = "share"
  path = "{folder}"

[[destination]]
name = "central"
kind = "xnat"
url = "https://xnat.example"
user = "relay"
password = {{ env = "NONE" }}
"""


@pytest.fixture
def box(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    made = Box(load_config(path))
    with made.database.write() as connection:
        write_readings(connection, PoolReader(made.pools).read(), machine="box", at=datetime.now(UTC))
    yield made
    made.close()


@pytest.fixture
def served(box):
    ran: dict[str, datetime] = {}
    collector = Collector(box, ran=ran)
    ran["tell"] = datetime.now(UTC)  # as an engine does that has just begun
    return collector.text()


def names_in(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))


def expressions() -> list[str]:
    panels = json.loads((SHIPPED / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_promtool_takes_the_metrics_without_a_word(requires, served):
    judged = subprocess.run(
        [requires("promtool"), "check", "metrics"], input=served, capture_output=True, text=True, check=False
    )
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "", "")
    assert len(names_in(served)) > 20
    assert 'kspace_feed_last_run_timestamp_seconds{site="north",relay="box",feed="tell"}' in served


def test_every_reading_of_the_box_has_a_name_that_promtool_takes(requires, box):
    sources = [p.read_text() for folder in ("hardware", "transfer") for p in (ROOT / folder).rglob("*.py")]
    whats = sorted({what for text in sources for what in re.findall(r'what="([a-z_]+)"', text)})
    assert len(whats) > 20
    with box.database.write() as connection:
        readings = [Reading(what=what, of="x", value=1.0) for what in whats]
        write_readings(connection, readings, machine="box", at=datetime.now(UTC))
    judged = subprocess.run(
        [requires("promtool"), "check", "metrics"],
        input=Collector(box).text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "", "")


def test_the_rules_fire_and_end_as_their_test_says(requires, tmp_path):
    for path in (SHIPPED / "rules.yml", Path(__file__).with_name("prometheus_rules_test.yml")):
        shutil.copy(path, tmp_path)
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "prometheus_rules_test.yml"]):
        judged = subprocess.run(
            [requires("promtool"), *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr
    tested = (tmp_path / "prometheus_rules_test.yml").read_text()
    named = re.findall(r"- alert: (\w+)", (tmp_path / "rules.yml").read_text())
    assert [name for name in named if f"alertname: {name}\n" not in tested] == []


def test_rules_and_dashboard_ask_for_nothing_that_is_not_served(served):
    asked = set(NAME.findall((SHIPPED / "rules.yml").read_text().replace("kspace-relay", "")))
    asked |= {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 10
    assert asked - names_in(served) == set()


def test_every_expression_of_the_dashboard_parses(requires, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    judged = subprocess.run(
        [requires("promtool"), "check", "rules", "panels.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_server_answers_metrics_and_nothing_else(box):
    server = MetricsServer("127.0.0.1:0", Collector(box), monotonic=box.clock.monotonic)
    server.start()
    try:
        place = f"http://127.0.0.1:{server.port}"
        told = httpx.get(f"{place}/metrics")
        assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'kspace_build_info{site="north",relay="box",version="' in told.text
        assert httpx.get(f"{place}/").status_code == 404
        assert httpx.post(f"{place}/metrics").status_code == 501
        with box.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE event RENAME TO elsewhere")
        box.clock.sleep(1.1)
        answer = httpx.get(f"{place}/metrics")
    finally:
        server.stop()
    assert answer.status_code == 503
    assert "catalog" in answer.text


def test_the_first_to_ask_need_not_wait_for_the_count(box):
    """What was done before is counted at the start, in a thread: the first answer asks the catalog nothing more."""
    server = MetricsServer("127.0.0.1:0", Collector(box), monotonic=box.clock.monotonic)
    server.start()
    try:
        for thread in threading.enumerate():
            if thread.name == "metrics count":
                thread.join(60)
        with box.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE event RENAME TO elsewhere")
        answer = httpx.get(f"http://127.0.0.1:{server.port}/metrics")
    finally:
        server.stop()
    assert answer.status_code == 200
    assert "kspace_build_info" in answer.text


def test_the_command_prints_metrics_rules_and_dashboard(box, tmp_path):
    run = CliRunner().invoke
    config = ["-c", str(tmp_path / "relay.toml")]
    assert 'kspace_scanner_captured_bytes_total{site="north",relay="box",scanner="prisma-1"} 0' in run(
        app, ["metrics", *config]
    ).output  # fmt: skip
    assert run(app, ["metrics", "--rules"]).output == (SHIPPED / "rules.yml").read_text()
    assert run(app, ["metrics", "--dashboard"]).output == (SHIPPED / "dashboard.json").read_text()
    assert run(app, ["metrics", "--rules", "--dashboard"]).exception.exit_code == 2
