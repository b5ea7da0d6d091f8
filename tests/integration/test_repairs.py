"""What the relay does by itself when an archive takes less than planned, or loses what it had proved to hold."""

import hashlib
import json
import shutil
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import httpx
import pytest
from sqlalchemy import insert, select, update
from typer.testing import CliRunner

from kspace.errors import BadInput
from tests.integration.relay import Relay, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog import tables
from transfer.catalog.probes import body_limit
from transfer.feeds.look import look
from transfer.feeds.recheck import recheck
from transfer.feeds.sweep import sweep
from transfer.restore import restore
from transfer.sandbox import Faults, Sandbox, SandboxSettings
from transfer.stages.compare import is_listed


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as running:
        yield running


@pytest.fixture
def relay(tmp_path, sandbox):
    return Relay(folder=tmp_path, urls={"central": sandbox.url}, part_bytes=400_000)


@pytest.fixture
def play(sandbox):
    def _play(**faults):
        httpx.put(f"{sandbox.url}/sandbox/faults", json=Faults(**faults).model_dump()).raise_for_status()

    return _play


def delivered(running, raw):
    send_until_taken(raw.images, running.port, within_s=20)
    wait_until(lambda: is_proved(running, raw), within_s=40, told=running.stories)
    return running.stories()[raw.path.name]


def is_proved(running, raw):
    found = running.stories().get(raw.path.name, {"deliveries": []})
    return any(d["state"] == "verified" for d in found["deliveries"])


def is_the_same(running, story, raw, target):
    sent = story["deliveries"][0]
    folder = f"{story['mid']:07d}-{story['sha256'][:12]}"
    restore(
        running.box.archives()["central"],
        place=sent["place"],
        folder=folder,
        sha256_expected=raw.sha256,
        target=target,
    )
    return hashlib.sha256(target.read_bytes()).hexdigest() == raw.sha256


def test_what_a_proxy_refuses_goes_on_in_smaller_parts(relay, play, sandbox, tmp_path):
    first = make(tmp_path / "scanner" / "first.dat", measurement(1))
    play(body_limit_bytes=150_000)
    with relay.running() as running:
        story = delivered(running, first)
        sizes = [part["size"] for part in story["deliveries"][0]["parts"]]
        assert max(sizes) < 150_000
        assert is_the_same(running, story, first, tmp_path / "back.dat")
        learned = body_limit(running.box.database, "central")
        assert learned < 150_000
        httpx.delete(f"{sandbox.url}/sandbox/log")
        second = make(tmp_path / "scanner" / "second.dat", measurement(2, study=2), study=2)
        story = delivered(running, second)
        assert max(part["size"] for part in story["deliveries"][0]["parts"]) <= learned
    refused = [r for r in httpx.get(f"{sandbox.url}/sandbox/log").json() if r["status"] == 413]
    assert refused == [], "the limit was remembered"


def test_a_single_chunk_that_is_too_large_is_for_a_person(relay, play, tmp_path):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    play(body_limit_bytes=20_000, only="KSPACE")
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=20)

        def held():
            return [d for d in running.deliveries(kind="raw", to="central") if d["state"] == "held"]

        wait_until(held, within_s=40, told=running.stories)
        (found,) = held()
        assert "413" in found["reason"]
        assert "cannot be cut smaller" in found["reason"]
        assert found["reason"] in running.alerts()


def flip(tmp_path, name="part-00001.bin"):
    (stored,) = (tmp_path / "archive").rglob(name)
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)


def asked_again(relay, *more):
    return CliRunner().invoke(app, ["verify", *more, "-c", str(relay.write())])


def test_what_the_archive_altered_is_found_and_sent_again(relay, tmp_path, sandbox):
    relay = relay.but(keep_s=3600)
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.running() as running:
        delivered(running, raw)
    assert asked_again(relay, "1").exit_code == 0
    flip(tmp_path)
    said = asked_again(relay, "--oldest", "3")
    assert said.exit_code == 7
    assert "lost or altered 1 of" in said.stderr
    shown = CliRunner().invoke(app, ["receipt", "1", "-c", str(relay.write())])
    assert "since then the delivery is queued" in shown.stderr
    assert json.loads(shown.stdout)["signature"], "what was proved then stays said"
    status = CliRunner().invoke(app, ["status", "-c", str(relay.write())])
    assert "CRITICAL central lost or altered" in " ".join(status.stdout.split())
    httpx.delete(f"{sandbox.url}/sandbox/log")
    with relay.running() as running:
        wait_until(lambda: is_proved(running, raw), within_s=20, told=running.stories)
        wait_until(lambda: not running.alerts(), within_s=10)
        story = running.stories()["one.dat"]
        assert story["state"] == "delivered"
        assert is_the_same(running, story, raw, tmp_path / "back.dat")
    sent = [r["path"] for r in httpx.get(f"{sandbox.url}/sandbox/log").json() if r["method"] == "PUT" and r["bytes_in"]]
    assert [path.rpartition("/")[2] for path in sent] == ["part-00001.bin", "receipt.json"], "only what was altered"
    assert asked_again(relay, "1").exit_code == 0


def looked_for(running):
    """Look for everything in the archive's list, as once a day, and return what is not there as it was."""
    box = running.box
    with box.database.write() as connection:
        connection.execute(update(tables.delivery).values(listed_at=None))
    archive = box.archives()["central"]
    return look(
        is_listed=partial(is_listed, archive=archive, spool=box.config.relay.spool),
        database=box.database,
        clock=box.clock,
        machine="box",
        destinations=["central"],
    )


def test_a_resource_that_somebody_removed_in_the_archive_is_noticed_and_sent_again(relay, tmp_path, sandbox):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.but(keep_s=3600).running() as running:
        (sent,) = delivered(running, raw)["deliveries"]
        assert looked_for(running) == []
        assert httpx.delete(f"{sandbox.url}{sent['place']}", auth=("admin", "admin")).status_code == 200
        assert looked_for(running) == [sent["id"]]
        wait_until(lambda: "delivery.missed" in str(events(running, sent["id"])), within_s=10)
        wait_until(lambda: "delivery.queued" in str(events(running, sent["id"])[-9:]), within_s=20)
        wait_until(lambda: is_proved(running, raw), within_s=20, told=running.stories)
        assert looked_for(running) == []


@pytest.mark.parametrize("damage", ["lost", "altered"])
def test_a_receipt_that_alone_was_lost_is_laid_down_again(relay, tmp_path, sandbox, damage):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.running() as running:
        (sent,) = delivered(running, raw)["deliveries"]
        wait_until(lambda: running.stories()["one.dat"]["state"] == "retired", within_s=10)
        (stored,) = (tmp_path / "archive").rglob("receipt.json")
        receipt = stored.read_bytes()
        if damage == "lost":
            path = f"{sandbox.url}{sent['place']}/files/{stored.parent.name}/receipt.json"
            assert httpx.delete(path, auth=("admin", "admin")).status_code == 200
            assert looked_for(running) == [sent["id"]]
        else:
            stored.write_bytes(receipt.replace(b"verified_at", b"verified_on"))
            assert asked_again(relay, "1").exit_code == 0
        wait_until(lambda: "lies there again" in str(running.stories()), within_s=20, told=running.stories)
        assert [path.read_bytes() for path in (tmp_path / "archive").rglob("receipt.json")] == [receipt]
        assert looked_for(running) == []
        assert running.alerts() == []
        assert is_proved(running, raw)


def test_a_session_that_somebody_removed_in_the_archive_needs_a_person_and_nothing_is_freed(relay, tmp_path, sandbox):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.but(keep_s=3600).running() as running:
        (sent,) = delivered(running, raw)["deliveries"]
        session = sent["place"].partition("/scans/")[0]
        removed = httpx.delete(f"{sandbox.url}{session}", auth=("admin", "admin"), params={"removeFiles": "true"})
        assert removed.status_code == 200, removed.text
        assert looked_for(running) == [sent["id"]]

        def held():
            return [d for d in running.deliveries(kind="raw", to="central") if d["state"] == "held"]

        wait_until(held, within_s=20, told=running.stories)
        assert running.stories()["one.dat"]["state"] == "planned"
        assert (running.box.config.relay.spool / "00000001.packed").exists()


def events(running, delivery_id):
    e = tables.event.c
    with running.box.database.read() as connection:
        query = select(e.verb).where(e.subject == "delivery", e.subject_id == delivery_id).order_by(e.id)
        return connection.execute(query).scalars().all()


def test_what_only_the_archive_had_and_lost_is_held_and_captured_anew(relay, tmp_path):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.running() as running:
        story = delivered(running, raw)
        wait_until(lambda: running.stories()["one.dat"]["state"] == "retired", within_s=10)
        sweep(spool=running.box.config.relay.spool, database=running.box.database)
        flip(tmp_path)
        assert asked_again(relay, "1").exit_code == 7

        def held():
            return [d for d in running.deliveries(kind="raw", to="central") if d["state"] == "held"]

        wait_until(held, within_s=10, told=running.stories)
        assert "had the only one" in held()[0]["reason"]
        assert running.alerts()
        assert story["deliveries"][0]["receipt"]
        again = tmp_path / "scanner" / "again.dat"
        shutil.copy(raw.path, again)
        wait_until(lambda: "again.dat" in running.stories(), within_s=20)
        wait_until(lambda: running.stories()["again.dat"]["state"] == "retired", within_s=40, told=running.stories)
        assert is_the_same(running, running.stories()["again.dat"], raw, tmp_path / "back.dat")
        first = running.stories()["one.dat"]
        assert (first["state"], [d["state"] for d in first["deliveries"]]) == ("skipped", ["withdrawn"])
        assert "goes on for both" in first["reason"], "the same bytes are proved in the same folder"
        assert not running.alerts()


@pytest.mark.parametrize("is_there", [True, False])
def test_what_the_spool_spoiled_before_it_left_is_captured_again_while_the_scanner_has_it(
    relay, tmp_path, play, is_there
):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    play(refuse=1.0, refuse_status=503, only="PUT .*/files/")
    with relay.but(keep_s=3600).running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: any("503" in text for text in running.alerts()), within_s=40, told=running.stories)
        if not is_there:
            raw.path.rename(tmp_path / "gone.dat")
            wait_until(lambda: running.stories()["one.dat"]["gone_at"], within_s=20)
        packed = running.box.config.relay.spool / "00000001.packed"
        data = bytearray(packed.read_bytes())
        data[len(data) // 2] ^= 1
        packed.write_bytes(data)
        play()
        if is_there:
            wait_until(lambda: is_proved(running, raw), within_s=40, told=running.stories)
            story = running.stories()["one.dat"]
            assert is_the_same(running, story, raw, tmp_path / "back.dat")
            assert "capture.reopened" in [event["verb"] for event in story["events"]]
            wait_until(lambda: not running.alerts(), within_s=10, told=running.alerts)
        else:
            held = {"central": "held"}
            wait_until(lambda: states(running) == held, within_s=40, told=running.stories)
            assert any("not what was packed" in text for text in running.alerts())
            assert running.stories()["one.dat"]["state"] == "planned"


def states(running):
    return {d["destination"]: d["state"] for d in running.deliveries(kind="raw", to="central")}


def test_the_oldest_proof_is_renewed_by_itself(relay, tmp_path):
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with relay.running() as running:
        delivered(running, raw)
        box = running.box
        asked = {"database": box.database, "clock": box.clock, "machine": "box", "destinations": ["central"]}
        assert recheck(**asked) is None, "it is not a day old"
        long_ago = box.clock.now() - timedelta(days=30)
        with box.database.write() as connection:
            raw_ones = tables.delivery.c.kind == "raw"
            connection.execute(update(tables.delivery).where(raw_ones).values(verified_at=long_ago))
        assert recheck(**asked | {"machine": "another"}) is None
        assert recheck(**asked | {"destinations": ["elsewhere"]}) is None
        assert recheck(**asked)
        wait_until(lambda: running.deliveries(kind="raw", to="central")[0]["verified_at"] > long_ago, within_s=10)
    assert "read back" in running.deliveries(kind="raw", to="central")[0]["reason"]


def test_parts_that_are_there_are_not_sent_again_where_the_site_keeps_no_digests(relay, tmp_path, sandbox, play):
    httpx.put(f"{sandbox.url}/sandbox/settings", json={"checksums": False}).raise_for_status()
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    play(refuse=1.0, only="PUT .*part-00002")
    with relay.but(part_bytes=200_000).running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: "part-00002" in httpx.get(f"{sandbox.url}/sandbox/log").text, within_s=40)
        play()
        wait_until(lambda: is_proved(running, raw), within_s=20, told=running.stories)
    log = httpx.get(f"{sandbox.url}/sandbox/log").json()
    sent = [r for r in log if r["method"] == "PUT" and r["path"].endswith("part-00001.bin")]
    assert [r["status"] for r in sent] == [200]


def test_what_lay_there_before_is_proved_from_its_bytes_whatever_the_list_says(relay, tmp_path, sandbox):
    """A person thought better of a link twice; the archive's disk changed meanwhile, its list did not."""
    raw = make(tmp_path / "scanner" / "one.dat", measurement(1))
    with trusting(relay, sandbox) as running:
        first = delivered(running, raw)["deliveries"][0]["id"]
        assert all("own MD5" in how for how in ways_of(running, first).values())
        config = str(running.box.config.relay.folder.parent / "relay.toml")
        assert CliRunner().invoke(app, ["unlink", "1", "-c", config]).exit_code == 0
        flip(tmp_path)
        httpx.delete(f"{sandbox.url}/sandbox/log")
        assert CliRunner().invoke(app, ["undo", "1", "-c", config]).exit_code == 0
        wait_until(lambda: is_proved(running, raw), within_s=40, told=running.stories)
        story = running.stories()["one.dat"]
        assert is_the_same(running, story, raw, tmp_path / "back.dat")
        ways = ways_of(running, story["deliveries"][0]["id"])
    log = httpx.get(f"{sandbox.url}/sandbox/log").json()
    sent = [r["path"].rpartition("/")[2] for r in log if r["method"] == "PUT" and r["bytes_in"]]
    assert "part-00001.bin" in sent
    assert "part-00002.bin" not in sent
    is_read = {name: "read back" in how for name, how in ways.items()}
    assert (is_read["part-00001.bin"], is_read["part-00002.bin"], is_read["manifest.json"]) == (False, True, True)


@contextmanager
def trusting(relay, sandbox):
    """Run a relay whose probe found that this archive's MD5 is of the stored bytes."""
    with relay.but(keep_s=3600, part_bytes=200_000).running() as running:
        found = {"destination": "central", "server": f"XNAT 1.8.11 at {sandbox.url}", "project": "SCRATCH"}
        found |= {"facts": {"digest": True}, "answers": [], "at": running.box.clock.now()}
        with running.box.database.write() as connection:
            connection.execute(insert(tables.probe).values(found))
        yield running


def ways_of(running, delivery_id):
    """Return how each file was proved, by its receipt."""
    r = tables.receipt.c
    with running.box.database.read() as connection:
        document = (
            connection.execute(select(r.document).where(r.delivery_id == delivery_id).order_by(r.id.desc()))
            .scalars()
            .first()
        )
    return {name.rpartition("/")[2]: seen["how"] for name, seen in json.loads(document)["receipt"]["files"].items()}


def test_a_capture_is_named_or_a_number_of_them(relay):
    for wrong in ([], ["1", "--oldest", "2"]):
        assert isinstance(asked_again(relay, *wrong).exception, BadInput)
