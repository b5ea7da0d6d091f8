"""`kspace bench`: it measures, names what ends it, leaves nothing behind, and asks the scanner only when told to."""

import json
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

from tests.integration.relay import Relay, free_port
from transfer.app.cli import app
from transfer.app.wiring import Box
from transfer.config import load_config
from transfer.sandbox import Sandbox, SandboxSettings

SMALL = ("--gigabytes", "0.02")


@pytest.fixture
def config(tmp_path):
    """Return the configuration of a relay whose archive does not answer."""
    nobody = f"http://127.0.0.1:{free_port()}"
    return Relay(folder=tmp_path, urls={"central": nobody}, port=free_port()).write()


def bench(config, *more):
    return CliRunner().invoke(app, ["bench", "--json", *SMALL, *more, "-c", str(config)])


def test_every_stretch_is_measured_and_the_least_of_them_named(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        said = bench(
            Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port()).write(), "--project", "DEMO"
        )
    found = json.loads(said.stdout)
    rates = {s["name"]: s["gb_per_hour"] for s in found["stretches"]}
    assert {"spool's disk", "packing", "line to central"} <= set(rates)
    assert all(rate > 0 for rate in rates.values())
    assert found["sustains"]["gb_per_hour"] == min(rates.values())
    (line,) = [s for s in found["stretches"] if s["name"] == "line to central"]
    assert "there stays: session KSPACE-PROBE" in line["said"], "a plain member may not delete"
    assert not any(p.stat().st_size for p in (tmp_path / "archive").rglob("*.bin"))
    assert not list((tmp_path / "relay" / "spool").glob("bench-*"))


def test_without_a_project_no_archive_is_asked(config):
    said = bench(config)
    assert said.exit_code == 0, said.output
    assert not any("line" in s["name"] for s in json.loads(said.stdout)["stretches"])


def test_an_archive_that_gives_up_is_said_and_the_rest_is_measured(config):
    found = {s["name"]: s for s in json.loads(bench(config, "--project", "DEMO").stdout)["stretches"]}
    assert found["line to central"]["gb_per_hour"] is None
    assert "does not answer" in found["line to central"]["said"]
    assert found["packing"]["gb_per_hour"] > 0


def test_a_scanner_is_read_only_when_it_is_named(config, tmp_path):
    share = next(tmp_path.glob("scanner*"))
    (share / "meas.dat").write_bytes(bytes(3_000_000))
    unasked = json.loads(bench(config).stdout)["stretches"][0]
    assert "not measured" in unasked["said"]
    asked = json.loads(bench(config, "--share", f"{share.name}/1").stdout)["stretches"][0]
    assert asked["name"] == f"share {share.name}/1"
    assert asked["said"].endswith("MB/s")


def test_a_scanner_is_not_read_outside_its_window_nor_beside_an_engine(config, tmp_path):
    share = next(tmp_path.glob("scanner*"))
    (share / "meas.dat").write_bytes(bytes(3_000_000))
    box = Box(load_config(config))
    box.claim("engine")
    said = bench(config, "--share", f"{share.name}/1")
    assert "Another engine works" in str(said.exception)
    box.close()
    tomorrow = f"{datetime.now().astimezone() + timedelta(days=1):%a} 00:00-24:00"
    config.write_text(config.read_text().replace("practice = true", f'practice = true\nwindows = ["{tomorrow}"]'))
    said = bench(config, "--share", f"{share.name}/1")
    assert said.exit_code != 0
    assert "may not be read now: Waits for the scanner's window, which opens" in str(said.exception)


def test_a_source_that_is_not_there_is_named(config):
    said = bench(config, "--share", "nowhere/1")
    assert said.exit_code != 0
    assert "nowhere/1" in str(said.exception)
