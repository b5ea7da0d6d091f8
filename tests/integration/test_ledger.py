"""The ledger of a session with all kinds of trouble in it: nothing is missing, nothing looks better than it is."""

import csv
import io
import json
import re

import pytest
from typer.testing import CliRunner

from tests.integration.troubled import label_of, run, troubled
from transfer.app.cli import app


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Return the configuration of a relay whose one session has all of it."""
    with troubled(tmp_path_factory.mktemp("ledger")) as written:
        yield written


def test_sessions_lists_the_session_by_its_worst(config):
    (one,) = json.loads(run("sessions", "-c", config, "--json"))["sessions"]
    assert one["badge"] == "needs a person"
    assert one["images"] == "complete"
    assert one["counts"]["complete"] == 4
    assert one["counts"]["at risk"] == 1
    assert one["counts"]["needs a person"] == 2
    assert one["counts"]["not wanted"] == 1


def test_a_session_shows_every_measurement_and_every_series_side_by_side(config):
    label = label_of(config)
    (one,) = json.loads(run("session", label, "-c", config, "--json"))
    raw = {m["path"]: m for m in one["measurements"]}
    assert {path: m["standing"] for path, m in raw.items()} == {
        "good.dat": "complete",
        "good too.dat": "complete",
        "unwanted.dat": "not wanted",
        "named.dat": "needs a person",
        "imageless.dat": "on its way",
        "needs two.dat": "at risk",
        "adjustment.dat": "complete",
        "moved.dat": "complete",
        "person.dat": "needs a person",
    }
    assert {path: m["series"] for path, m in raw.items() if m["series"]} == {
        "good.dat": 1,
        "good too.dat": 2,
        "named.dat": 4,
        "needs two.dat": 9,
        "adjustment.dat": 9,
        "moved.dat": 6,
    }
    assert all(d["verified_at"] for d in raw["good.dat"]["deliveries"])
    assert {s["number"] for s in one["series"]} >= {1, 2, 3, 4, 6, 8, 9}
    rows = list(csv.DictReader(io.StringIO(run("session", label, "-c", config, "--csv"))))
    assert len(rows) == 9 + len([s for s in one["series"] if s["number"] not in {1, 2, 4, 6, 9}])
    assert {path for path, m in raw.items() if m["time_left"]} == {"unwanted.dat"}
    assert [row["time left"] for row in rows if row["time left"]] == [raw["unwanted.dat"]["time_left"]]
    needs = {row["MID"]: row["needs"] for row in rows if row["MID"]}
    adjustment = raw["adjustment.dat"]["id"]
    assert needs["9"] == f"MID 10 ({adjustment}), MID 31 not seen"
    assert needs["1"] == "unknown", "an export without dependencies zeroes the field"
    shown = run("session", label, "-c", config)
    assert "Its reconstruction needs MID 31 (not seen)." in shown
    assert "1 image, no raw file joined" in shown
    assert "A person holds it: is it of the study at all?" in shown


def test_an_adjustment_lies_at_the_scan_of_what_needs_it(config):
    (one,) = json.loads(run("session", label_of(config), "-c", config, "--json"))
    raw = {m["path"]: m for m in one["measurements"]}
    places = [raw[path]["deliveries"][0]["place"] for path in ("adjustment.dat", "needs two.dat")]
    assert places[0] == places[1]
    assert places[0].endswith("/scans/9/resources/KSPACE")


def test_what_was_moved_names_its_old_copy_and_the_new_place_holds_it(config):
    (one,) = json.loads(run("session", label_of(config), "-c", config, "--json"))
    (moved,) = [m for m in one["measurements"] if m["path"] == "moved.dat"]
    (copy,) = moved["former_copies"]
    assert (copy["place"].endswith("/scans/11/resources/KSPACE"), copy["is_watched"]) == (True, False)
    assert [d["place"].split("/scans/")[1] for d in moved["deliveries"] if d["verified_at"]] == ["6/resources/KSPACE"]
    shown = run("session", label_of(config), "-c", config)
    assert f"old copy at {copy['place']}, no longer watched; its owner may remove it" in shown


def test_what_a_person_linked_says_who_and_when(config):
    (one,) = json.loads(run("session", label_of(config), "-c", config, "--json"))
    linked = {m["path"]: (m["linked_by"], m["linked_at"]) for m in one["measurements"] if m["linked_by"]}
    assert set(linked) == {"moved.dat"}
    by, at = linked["moved.dat"]
    rows = list(csv.DictReader(io.StringIO(run("session", label_of(config), "-c", config, "--csv"))))
    (said,) = [row["linked by hand"] for row in rows if row["linked by hand"]]
    assert said == f"{by} {at[:16].replace('T', ' ')}"
    assert said in run("session", label_of(config), "-c", config)


def test_review_shows_what_waits_for_a_scan_also_where_the_header_cannot_be_read(config):
    told = {one["path"]: one for one in json.loads(run("review", "-c", config, "--json"))}
    assert set(told) == {"imageless.dat", "stranger.dat", "unreadable.dat"}
    assert (told["unreadable.dat"]["mid"], told["unreadable.dat"]["candidates"]) == (None, [])
    shown = run("review", "-c", config)
    assert "unreadable.dat, scanner" in shown
    assert "header could not be read" in shown


def test_a_raw_file_without_any_session_is_counted_beside_them(config):
    told = json.loads(run("sessions", "-c", config, "--json"))["without a session"]
    assert {raw["path"]: raw["standing"] for raw in told["raw"]} == {
        "stranger.dat": "on its way",
        "unreadable.dat": "on its way",
        "vanished.dat": "lost",  # before its header was read
    }
    assert told["badge"] == "lost"
    assert "3 raw files have no session yet: 1 lost, 2 on its way." in run("sessions", "-c", config)
    assert re.search(r"2 of them lie in the spool, 0\.00\d GB, the oldest since 20", run("sessions", "-c", config))


def test_the_pools_tell_how_much_has_no_session(config):
    told = json.loads(run("pools", "-c", config, "--json"))["without_session"]
    assert (told["captures"], told["bytes"] > 0) == (2, True)
    assert "(2 captures, the oldest since 20" in run("pools", "-c", config)


def test_an_unknown_session_is_one_sentence(config):
    said = CliRunner().invoke(app, ["session", "nobody", "-c", str(config)])
    assert said.exit_code != 0
    assert "There is no session 'nobody'" in str(said.exception)


def test_the_join_report_tells_which_keys_agreed_on_which_software(config):
    (one,) = json.loads(run("join-report", "-c", config, "--json"))
    assert (one["model"], one["software"]) == ("MAGNETOM Cima.X", "syngo MR XA61")
    assert one["files"] == {"certain": 4, "beside": 1, "by hand": 1, "study only": 1, "unmatched": 1}
    assert one["clues"]["tick"] == {"supports": 4}, "the adjustment's time is not that of its scan"
    assert one["clues"]["lprotid"]["supports"] == 4
    shown = run("join-report", "-c", config)
    assert "MAGNETOM Cima.X, syngo MR XA61: 1 beside, 1 by hand, 4 certain" in shown
    assert "could not tell" in shown
