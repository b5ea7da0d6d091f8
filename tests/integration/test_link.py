"""A person says which scan a raw file is of: before it is delivered, after it, and back again; nothing is lost."""

import json
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from dicom.synthetic import SyntheticSeries, write_session
from kspace.errors import NotFound
from tests.integration.relay import Relay, Running, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog.ledger import place
from transfer.catalog.rejoining import rejoin
from transfer.sandbox import Sandbox, SandboxSettings

_KEPT_S = 3600
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


def _run(*arguments: object, code: int = 0) -> str:
    said = CliRunner().invoke(app, [str(a) for a in arguments])
    if code:
        assert said.exception is not None
        return str(said.exception)
    assert said.exit_code == 0, (said.output, said.exception)
    return said.stdout


@pytest.fixture
def relay(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        yield Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port(), keep_s=_KEPT_S)


def _strangers(folder: Path) -> list[Path]:
    """Write two series of a study that shows nothing in common with any raw file but the scanner and the protocol."""
    told = {"baseline": "XA", "serial": "210000", "lprotid": 900, "ticks": (20 * 3600 * 400,)}
    told |= {"frame_of_reference": "1.3.12.2.1107.5.2.50.210000.1.20260107200000000.0.0.0"}
    told |= {"study_uid": "1.3.12.2.1107.5.2.50.210000.30000026010720000000000000001", "patient_id": "PRACTICE-OTHER"}
    series = (SyntheticSeries(**told, number=n, protocol="gre_1") for n in (41, 42))
    return list(write_session(folder / "images" / "strangers", *series))


def _delivered(running: Running, name: str) -> bool:
    return running.captures().get(name, {}).get("state") == "delivered"


def _raw(running: Running) -> list[tuple[str, str | None, list[str] | None]]:
    return [(d["state"], d["place"], d["former_places"]) for d in running.deliveries(kind="raw", to="central")]


def _series_id(running: Running, number: int) -> str:
    with running.box.database.read() as connection:
        return "s" + str(connection.exec_driver_sql(f"SELECT id FROM series WHERE number = {number}").scalar_one())


def test_a_file_is_linked_moved_taken_back_and_linked_again(tmp_path, relay):
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1))
    images = [*raw.images, *_strangers(tmp_path)]
    with relay.running() as running:
        wait_until(lambda: "good.dat" in running.captures(), within_s=20)
        send_until_taken(images, relay.port, within_s=30)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        ((state, first, former),) = _raw(running)
        assert (state, former) == ("verified", None)
        assert first.endswith("/scans/1/resources/KSPACE")

        _run("link", 1, _series_id(running, 42), "-c", config)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        assert _raw(running)[0] == ("withdrawn", None, [first])
        state, second, former = _raw(running)[1]
        assert (state, former) == ("verified", None)
        assert second.endswith("/scans/42/resources/KSPACE")

        _run("unlink", 1, "-c", config)
        row = running.captures()["good.dat"]
        assert (row["state"], row["reason"]) == ("held", "Unlinked by hand: say with `kspace link` which scan it is.")
        (shown,) = json.loads(_run("review", "-c", config, "--json"))
        assert shown["certainty"] == "certain"
        (right,) = [c for c in shown["candidates"] if c["number"] == 1]
        assert "42" not in _run("session", _label(running, 1), "-c", config, "--csv")

        _run("link", 1, right["name"], "-c", config)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        assert _raw(running) == [("verified", first, None), ("withdrawn", None, [second])]
        verbs = [e["verb"] for e in running.stories()["good.dat"]["events"]]
        assert verbs.count("capture.linked") == 2
        assert verbs.count("capture.unlinked") == 1


def test_what_was_freed_from_the_spool_is_fetched_back_and_moved(tmp_path, relay):
    relay = relay.but(keep_s=0)
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1))
    with relay.running() as running:
        wait_until(lambda: "good.dat" in running.captures(), within_s=20)
        send_until_taken([*raw.images, *_strangers(tmp_path)], relay.port, within_s=30)
        state = partial(_state_of, running, "good.dat")
        wait_until(lambda: state() == "retired", within_s=60, told=running.captures)
        for packed in tmp_path.rglob("*.packed"):
            packed.unlink()
        raw.path.unlink()
        ((_, first, _),) = _raw(running)
        _run("link", 1, _series_id(running, 42), "-c", config)
        wait_until(lambda: state() == "retired", within_s=60, told=running.stories)
        old, (new_state, second, _) = _raw(running)
        assert old == ("withdrawn", None, [first])
        assert (new_state, second.endswith("/scans/42/resources/KSPACE")) == ("verified", True)
        verbs = [e["verb"] for e in running.stories()["good.dat"]["events"]]
        assert verbs.index("capture.linked") < verbs.index("capture.matched", verbs.index("capture.linked"))
        shown = _run("session", _label(running, 42), "-c", config)
        assert f"Raw 1: old copy at {first}, no longer watched; its owner may remove it (central)." in shown
        assert first in _run("show", 1, "-c", config)
        _run("restore", 1, "-o", tmp_path / "back.dat", "-c", config)
        assert sha256((tmp_path / "back.dat").read_bytes()).hexdigest() == running.captures()["good.dat"]["sha256"]


def _state_of(running: Running, name: str) -> str | None:
    return running.captures().get(name, {}).get("state")


def _label(running: Running, number: int) -> str:
    with running.box.database.read() as connection:
        query = "SELECT session FROM delivery d JOIN series s ON s.study_id = d.study_id WHERE d.kind = 'dicom'"
        return str(connection.exec_driver_sql(f"{query} AND s.number = {number}").scalar_one())


def test_a_file_of_no_known_scan_is_linked_to_a_session_itself(tmp_path, relay):
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1, study=9))
    assert raw.images
    with relay.running() as running:
        wait_until(lambda: "good.dat" in running.captures(), within_s=20)
        send_until_taken(_strangers(tmp_path), relay.port, within_s=30)
        waits = "1 raw file waits for a scan"
        wait_until(lambda: waits in _run("review", "-c", config), within_s=30)
        _run("link", 1, "t1", "-c", config)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        ((state, place, _),) = _raw(running)
        assert state == "verified"
        assert "/scans/" not in str(place)


def test_a_session_that_lacks_the_scan_needs_a_person_who_says_where(tmp_path, relay):
    """As after a split in two, or a merge: the scan lies in another session of the archive than its images went to."""
    config, share = relay.write(), tmp_path / "scanner"
    raw = make(tmp_path / "elsewhere" / "late.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, relay.port, within_s=30)
        images = partial(running.deliveries, kind="dicom", to="central")
        wait_until(lambda: [d["state"] for d in images()] == ["verified"], within_s=40, told=images)
        scan = f"{relay.urls['central']}/data/experiments/{images()[0]['experiment']}/scans/1"
        assert httpx.delete(scan, auth=("admin", "admin"), params={"removeFiles": "true"}).status_code == 200
        raw.path.rename(share / "late.dat")
        wait_until(lambda: [d[0] for d in _raw(running)] == ["held"], within_s=40, told=running.stories)
        assert any("no scan of this series" in text for text in running.alerts())
        assert running.captures()["late.dat"]["state"] == "planned"
        _run("link", 1, "t1", "-c", config)
        wait_until(lambda: _delivered(running, "late.dat"), within_s=40, told=running.stories)
        ((state, place, _),) = _raw(running)
        assert (state, "/scans/" in str(place)) == ("verified", False)


def test_a_session_that_got_another_label_is_still_the_same(tmp_path, relay):
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, relay.port, within_s=30)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        (image,) = running.deliveries(kind="dicom", to="central")
        url = f"{relay.urls['central']}/data/projects/DEMO/experiments/{image['experiment']}"
        changed = httpx.put(url, auth=("admin", "admin"), params={"label": "ANOTHER"})
        assert changed.status_code == 200, changed.text
        _run("verify", 1, "-c", config)
        second = make(tmp_path / "scanner" / "second.dat", measurement(2))
        send_until_taken(second.images, relay.port, within_s=30)
        wait_until(lambda: _delivered(running, "second.dat"), within_s=60, told=running.stories)
        experiments = {str(place).split("/")[3] for _, place, _ in _raw(running)}
        assert len(experiments) == 1
        assert json.loads(_run("session", image["experiment"], "-c", config, "--json"))


def _reconstructed_later(folder: Path, number: int) -> list[Path]:
    """Write another series of measurement 1, as a retro-reconstruction makes it."""
    of = measurement(1)
    middle = of.first_tick + of.readouts // 2 * of.tick_step
    told = {"baseline": "XA", "serial": of.serial, "lprotid": of.lprotid, "ticks": (middle,)}
    told |= {"frame_of_reference": of.frame_of_reference, "study_uid": of.study_uid, "patient_id": "PRACTICE-XA-1"}
    return list(write_session(folder / "images" / "later", SyntheticSeries(**told, number=number, protocol="gre_1_R")))


def test_a_reconstruction_made_later_and_a_second_export_are_the_same_scan(tmp_path, relay):
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, relay.port, within_s=30)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        send_until_taken(_reconstructed_later(tmp_path, 101), relay.port, within_s=30)
        (tmp_path / "scanner" / "same bytes.dat").write_bytes(raw.path.read_bytes())
        make(tmp_path / "scanner" / "exported anew.dat", measurement(1, seed=99))
        wait_until(lambda: _delivered(running, "exported anew.dat"), within_s=60, told=running.captures)
        wait_until(lambda: _state_of(running, "same bytes.dat") == "skipped", within_s=30)
        images = partial(running.deliveries, kind="dicom", to="central")
        wait_until(lambda: [d["state"] for d in images()] == ["verified"], within_s=40, told=images)
        now = running.box.clock.now()
        rejoin(running.box.database, now=now, grown_since=_LONG_AGO, quiet_s=0.0)
        place(running.box.database, now=now, since=_LONG_AGO)
        (shown,) = json.loads(_run("session", _label(running, 1), "-c", config, "--json"))
        by_path = {one["path"]: one for one in shown["measurements"]}
        (first,), (second,) = (by_path[name]["deliveries"] for name in ("good.dat", "exported anew.dat"))
        assert (first["state"], second["state"], first["place"]) == ("verified", "verified", second["place"])
        assert by_path["good.dat"]["sha256"] != by_path["exported anew.dat"]["sha256"]
        assert {len(by_path[name]["all_series"]) for name in ("good.dat", "exported anew.dat")} == {2}
        assert by_path["same bytes.dat"]["standing"] == "not wanted"
        assert shown["badge"] == "complete"
        assert running.alerts() == []
        kept = sorted((tmp_path / "archive").rglob("manifest.json"))
        assert len({path.parent.name for path in kept}) == 2, "two captures never share a folder"


def test_a_session_that_was_merged_into_another_after_the_join_needs_a_person_who_says_where(tmp_path, relay):
    config, raw = relay.write(), make(tmp_path / "scanner" / "good.dat", measurement(1))
    with relay.running() as running:
        wait_until(lambda: "good.dat" in running.captures(), within_s=20)
        send_until_taken([*raw.images, *_strangers(tmp_path)], relay.port, within_s=30)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.captures)
        ((_, first, _),) = _raw(running)
        gone = f"{relay.urls['central']}/data/experiments/{first.split('/')[3]}"
        answer = httpx.delete(gone, auth=("admin", "admin"), params={"removeFiles": "true"})
        assert answer.status_code == 200, answer.text
        CliRunner().invoke(app, ["verify", "1", "-c", str(config)])
        wait_until(lambda: [d[0] for d in _raw(running)] == ["held"], within_s=60, told=running.stories)
        (one,) = json.loads(_run("session", _label(running, 1), "-c", config, "--json"))
        assert one["badge"] == "needs a person"
        _run("link", 1, _series_id(running, 42), "-c", config)
        wait_until(lambda: _delivered(running, "good.dat"), within_s=60, told=running.stories)
        assert [d[0] for d in _raw(running)] == ["withdrawn", "verified"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("link", 7, "s1"), "There is no capture 7"),
        (("link", 1, "s77"), "There is no series s77"),
        (("link", 1, "t77"), "There is no session t77"),
        (("link", 1, "5"), "names no scan"),
        (("link", 1, "s²"), "names no scan"),
        (("link", 1, "s1"), "only what lies packed in the spool, or went from it to an archive"),
        (("unlink", 1), "only what lies packed in the spool, or went from it to an archive"),
    ],
)
def test_what_cannot_be_linked_is_one_sentence(tmp_path, relay, arguments, why):
    relay = relay.but(project="DEMO")
    config = relay.write()
    make(tmp_path / "scanner" / "unwanted.dat", measurement(1, protocol="localizer"))
    with relay.running() as running:
        send_until_taken(_strangers(tmp_path), relay.port, within_s=30)
        wait_until(lambda: running.captures().get("unwanted.dat", {}).get("state") == "skipped", within_s=20)
    assert why in _run(*arguments, "-c", config, code=1)


@pytest.mark.parametrize("verb", ["link", "unlink", "undo", "verify", "restore", "show"])
def test_a_number_that_no_catalog_counts_to_is_no_captures(tmp_path, relay, verb):
    more = {"link": ["s1"], "restore": ["-o", tmp_path / "back.dat"]}.get(verb, [])
    said = CliRunner().invoke(app, [str(a) for a in (verb, 10**20, *more, "-c", relay.write())])
    assert isinstance(said.exception, SystemExit | NotFound), said.exception
