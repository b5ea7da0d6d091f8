"""The ledger of a session with all kinds of trouble in it: nothing is missing, nothing looks better than it is."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from tests.integration.relay import Relay, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog.ledger import place
from transfer.sandbox import Sandbox, SandboxSettings

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _run(*arguments: object) -> str:
    said = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Return the configuration of a relay whose one session has all of it, and the session's label."""
    folder = tmp_path_factory.mktemp("ledger")
    share = folder / "scanner"
    with Sandbox(folder / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=folder, urls={"central": sandbox.url}, port=free_port())
        config = relay.write()
        good, also_good = make(share / "good.dat", measurement(1)), make(share / "good too.dat", measurement(2))
        unwanted = make(share / "unwanted.dat", measurement(3, protocol="localizer"))
        named = make(share / "named.dat", measurement(4, patient_name="DOE^JANE"))
        imageless = make(share / "imageless.dat", measurement(5, study=1))
        rawless = make(folder / "elsewhere" / "rawless.dat", measurement(6))
        stranger = make(share / "stranger.dat", measurement(7, study=9))
        assert imageless.images
        assert stranger.images
        vanished = make(share / "vanished.dat", measurement(8))
        with relay.running() as running:
            wait_until(lambda: "vanished.dat" in running.captures(), within_s=20)
            vanished.path.unlink()
            images = [i for raw in (good, also_good, unwanted, named, rawless, vanished) for i in raw.images]
            ours = [i for i in images if "XA-1" in str(i)]
            send_until_taken(dict.fromkeys(ours), relay.port, within_s=30)

            def is_over() -> bool:
                states = {path: row["state"] for path, row in running.captures().items()}
                held = running.deliveries(kind="raw", to="central")
                return (
                    states.get("good.dat") == states.get("good too.dat") == "retired"
                    and any(d["state"] == "held" for d in held)
                    and states.get("vanished.dat") == "held"
                )

            wait_until(is_over, within_s=60, told=running.captures)
            place(running.box.database, now=datetime.now(UTC), since=LONG_AGO)
        yield config


def test_sessions_lists_the_session_by_its_worst(troubled):
    (one,) = json.loads(_run("sessions", "-c", troubled, "--json"))["sessions"]
    assert one["badge"] == "needs a person"
    assert one["images"] == "complete"
    assert one["counts"]["complete"] == 2
    assert one["counts"]["needs a person"] == 1
    assert one["counts"]["not wanted"] == 1


def test_a_session_shows_every_measurement_and_every_series_side_by_side(troubled):
    label = json.loads(_run("sessions", "-c", troubled, "--json"))["sessions"][0]["sessions"][0]["session"]
    (one,) = json.loads(_run("session", label, "-c", troubled, "--json"))
    raw = {m["path"]: m for m in one["measurements"]}
    assert raw.keys() == {"good.dat", "good too.dat", "unwanted.dat", "named.dat", "imageless.dat"}
    assert {path: m["standing"] for path, m in raw.items()} == {
        "good.dat": "complete",
        "good too.dat": "complete",
        "unwanted.dat": "not wanted",
        "named.dat": "needs a person",
        "imageless.dat": "on its way",
    }
    assert {path: m["series"] for path, m in raw.items() if m["series"]} == {
        "good.dat": 1,
        "good too.dat": 2,
        "named.dat": 4,
    }
    assert all(d["verified_at"] for d in raw["good.dat"]["deliveries"])
    assert {s["number"] for s in one["series"]} >= {1, 2, 3, 4, 6, 8}
    rows = list(csv.DictReader(io.StringIO(_run("session", label, "-c", troubled, "--csv"))))
    assert len(rows) == 5 + len([s for s in one["series"] if s["number"] not in {1, 2, 4}])
    shown = _run("session", label, "-c", troubled)
    assert "1 image, no raw file joined" in shown


def test_a_raw_file_without_any_session_is_counted_beside_them(troubled):
    told = json.loads(_run("sessions", "-c", troubled, "--json"))["without a session"]
    assert {raw["path"]: raw["standing"] for raw in told["raw"]} == {
        "stranger.dat": "on its way",
        "vanished.dat": "lost",  # before its header was read
    }
    assert told["badge"] == "lost"
    assert "2 raw files have no session yet: 1 lost, 1 on its way." in _run("sessions", "-c", troubled)


def test_an_unknown_session_is_one_sentence(troubled):
    said = CliRunner().invoke(app, ["session", "nobody", "-c", str(troubled)])
    assert said.exit_code != 0
    assert "There is no session 'nobody'" in str(said.exception)
