"""What comes late for files that are delivered already: their own images, images that raise a doubt, a rival."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom.synthetic import SyntheticSeries, write_session
from kspace.twix.synthetic import Synthetic
from tests.integration.relay import Relay, Running, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog.rejoining import rejoin
from transfer.sandbox import Sandbox, SandboxSettings

_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


@pytest.fixture
def relay(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        urls = {"central": sandbox.url}
        yield Relay(folder=tmp_path, urls=urls, port=free_port(), keep_s=3600, no_series_after_s=1)


def _run(*arguments: object) -> str:
    said = CliRunner().invoke(app, [str(a) for a in arguments])
    assert said.exit_code == 0, (said.output, said.exception)
    return said.stdout


def _places(running: Running, name: str) -> list[tuple[str, str | None]]:
    """Return state and scan of each delivery; None: the session itself."""
    ways = running.stories().get(name, {}).get("deliveries", [])
    place = ((d["state"], d["place"] or (d["former_places"] or [""])[-1]) for d in ways)
    return [(state, at.split("/scans/")[1].split("/")[0] if "/scans/" in at else None) for state, at in place]


def _lies(running: Running, name: str, scan: str | None) -> bool:
    return running.captures().get(name, {}).get("state") == "delivered" and ("verified", scan) in _places(running, name)


def _image_of(folder: Path, of: Synthetic, number: int, *, lprotid: int) -> list[Path]:
    """Write a series of that study that was taken while the measurement ran, under any number."""
    told = {"baseline": "XA", "serial": of.serial, "lprotid": lprotid, "ticks": (of.first_tick + 40 * of.tick_step,)}
    told |= {"frame_of_reference": of.frame_of_reference, "study_uid": of.study_uid, "patient_id": "PRACTICE-XA-1"}
    return list(
        write_session(folder / "images" / f"late-{number}", SyntheticSeries(**told, number=number, protocol="x"))
    )


def test_a_dependency_beside_its_measurement_moves_to_its_own_scan_whose_images_come_late(tmp_path, relay):
    config, share = relay.but(no_series_after_s=3600).write(), tmp_path / "scanner"
    needing = make(share / "needing.dat", measurement(9, dependency_mids=(10,)))
    needed = make(share / "needed.dat", measurement(10))
    with relay.but(no_series_after_s=3600).running() as running:
        send_until_taken(needing.images, relay.port, within_s=30)
        wait_until(lambda: _lies(running, "needed.dat", "9"), within_s=60, told=running.stories)
        former = running.stories()["needed.dat"]["deliveries"][0]["place"]
        send_until_taken(needed.images, relay.port, within_s=30)
        wait_until(lambda: _looked(running) and _lies(running, "needed.dat", "10"), within_s=60, told=running.stories)
        (one,) = json.loads(_run("session", _label(config), "-c", config, "--json"))
        by_path = {row["path"]: row for row in one["measurements"]}
        assert by_path["needed.dat"]["series"] == 10
        assert one["badge"] == "complete"
        assert former in _run("show", running.captures()["needed.dat"]["id"], "-c", config)
        assert len(list((tmp_path / "archive").rglob("manifest.json"))) == 3, "nothing is deleted there"
        assert running.alerts() == []


def test_a_file_at_its_session_that_turns_ambiguous_stays_and_a_person_says_which(tmp_path, relay):
    config, share, raw = relay.write(), tmp_path / "scanner", measurement(5)
    other = make(tmp_path / "elsewhere" / "other.dat", measurement(6))
    make(share / "imageless.dat", raw)
    with relay.running() as running:
        send_until_taken(other.images, relay.port, within_s=30)
        wait_until(lambda: _lies(running, "imageless.dat", None), within_s=60, told=running.stories)
        send_until_taken(_image_of(tmp_path, raw, 71, lprotid=71), relay.port, within_s=30)
        wait_until(lambda: _looked(running) and running.alerts(), within_s=30, told=running.stories)
        assert "puts the scan of capture 1 in doubt. Nothing was moved." in running.alerts()[0]
        assert _lies(running, "imageless.dat", None)
        (shown,) = json.loads(_run("review", "-c", config, "--json"))
        assert shown["certainty"] == "ambiguous"
        (candidate,) = [c for c in shown["candidates"] if c["number"] == 71]
        _run("link", 1, candidate["name"], "-c", config)
        wait_until(lambda: _lies(running, "imageless.dat", "71"), within_s=60, told=running.stories)
        assert running.alerts() == []
        assert "No raw file waits for a scan." in _run("review", "-c", config)


def test_a_raw_file_that_rivals_a_delivered_one_puts_it_in_doubt_and_moves_nothing(tmp_path, relay):
    config, share = relay.write(), tmp_path / "scanner"
    first = make(share / "first.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(first.images, relay.port, within_s=30)
        wait_until(lambda: _lies(running, "first.dat", "1"), within_s=60, told=running.stories)
        rival = replace(measurement(1, seed=7), mid=2, first_tick=measurement(1).first_tick + 3)
        make(share / "rival.dat", rival)
        wait_until(lambda: running.captures().get("rival.dat", {}).get("state") == "held", within_s=30)
        assert _looked(running)
        assert any("puts the scan of capture 1 in doubt. Nothing was moved." in text for text in running.alerts())
        assert _lies(running, "first.dat", "1")
        shown = {one["path"]: one["certainty"] for one in json.loads(_run("review", "-c", config, "--json"))}
        assert shown == {"first.dat": "ambiguous", "rival.dat": "ambiguous"}


def _looked(running: Running) -> bool:
    """Judge anew what is joined, as the relay does each minute."""
    return rejoin(running.box.database, now=running.box.clock.now(), grown_since=_LONG_AGO, quiet_s=0.0)


def _label(config: Path) -> str:
    label: str = json.loads(_run("sessions", "-c", config, "--json"))["sessions"][0]["sessions"][0]["session"]
    return label
