"""Where a capture lay before it was linked elsewhere: watched until the new place is proved, then left to its owner."""

import json

import pytest
from sqlalchemy import update

from kspace.records import Audit, Measurement, Packed, Part, SourceFile, Verdict
from transfer import linking
from transfer.catalog import ledger, lists, tables
from transfer.catalog.copies import copies_of
from transfer.feeds.look import look_back
from transfer.records import Done, Fetched, NewDelivery, PackedUp, Planned, Sent, Settled, Verified
from transfer.selection import Choice, Step
from transfer.standing import Standing

RAW = Measurement(index=0, offset=0, header_bytes=9, baseline="VE", mid=7, serial="4711", protocol="gre")
WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
PART = Part(number=1, name="part-00001.bin", offset=0, size=3, md5="0" * 32, sha256="0" * 64)
WANTED = Choice(step=Step.DELIVER, is_wanted=True, rule="all", reason="Wanted.")


def _receipt(place: str) -> bytes:
    file = {"digest": "0" * 32, "how": "MD5", "size": 3, "sha256": "0" * 64}
    files = {"f/part-00001.bin": file, "f/manifest.json": {"digest": "1" * 32, "how": "MD5"}}
    return json.dumps({"receipt": {"place": place, "folder": "f", "files": files}}).encode()


@pytest.fixture
def deliver(store, database, clock):
    """Plan, send and prove the capture where it belongs by now."""

    def _deliver(place: str) -> None:
        new = NewDelivery(destination="x", project="P", parts=(PART,))
        store.commit(store.claim("capture", row_id=1), Done(Planned((WANTED,), (new,))))
        with database.read() as connection:
            (raw,) = [d for d in lists.deliveries(connection, kind="raw") if d["state"] == "queued"]
        store.commit(store.claim("delivery", row_id=raw["id"]), Done(Sent(place)))
        store.commit(store.claim("delivery", row_id=raw["id"]), Done(Verified(_receipt(place))))

    return _deliver


@pytest.fixture
def linked(store, database, clock, list_files, arrive, deliver):  # noqa: PLR0917 -- fixtures
    """Deliver one raw file to a scan, free the spool of it, and link it to another scan."""
    arrive("1.1", 1)
    arrive("1.1", 2)
    list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
    packed = Packed(sha256="ab" * 32, size=5, audit=WHOLE, measurements=(RAW,), chunks=(), stored_bytes=3)
    wanted = Choice(step=Step.CAPTURE, is_wanted=True, rule="all", reason="Wanted.")
    for result in (Settled(WHOLE, (RAW,), wanted), PackedUp(packed, b"{}")):
        store.commit(store.claim("capture", row_id=1), Done(result))
    linking.link(database, 1, "s1", actor="Ada", clock=clock)
    deliver("first")
    with database.write() as connection:
        connection.execute(update(tables.capture).values(state="retired"))
    clock.sleep(86_401)
    linking.link(database, 1, "s2", actor="Ada", clock=clock)


def _look_back(database, clock, *, is_listed: bool) -> list[int]:
    ours = {"machine": "box-1", "destinations": ["x"], "clock": clock}
    return look_back(is_listed=lambda _: is_listed, database=database, **ours)


def _raw(database, clock) -> dict:
    with database.read() as connection:
        (session,) = ledger.session(connection, "E", now=clock.now())
    (raw,) = session["measurements"]
    return raw


def _alerts(database) -> list[str]:
    with database.read() as connection:
        return [a["key"] for a in lists.alerts(connection)]


@pytest.mark.usefixtures("linked")
def test_the_old_copy_is_watched_until_the_new_place_is_proved(database, store, clock, deliver):
    raw = _raw(database, clock)
    assert (raw["state"], raw["standing"]) == ("recalled", Standing.ON_ITS_WAY)
    assert raw["former_copies"] == [{"destination": "x", "place": "first", "is_watched": True}]
    ((name, place),) = [(c.parts[0].name, c.place) for c in copies_of(database, 1)]
    assert (name, place) == ("f/part-00001.bin", "first")
    assert _look_back(database, clock, is_listed=False) == [1]
    assert _alerts(database) == ["former:1"]
    assert _look_back(database, clock, is_listed=False) == [], "once a day"
    claim = store.claim("capture", row_id=1)
    assert claim.stage == "fetch"
    store.commit(claim, Done(Fetched(is_joined=claim.record.match is not None)))
    assert _raw(database, clock)["state"] == "matched"
    deliver("second")
    assert _alerts(database) == []
    assert _raw(database, clock)["former_copies"] == [{"destination": "x", "place": "first", "is_watched": False}]
    clock.sleep(86_401)
    assert _look_back(database, clock, is_listed=False) == []
    assert [copy.place for copy in copies_of(database, 1)] == ["second", "first"]


@pytest.mark.usefixtures("linked")
def test_back_at_its_old_place_it_is_no_old_copy(database, store, clock, deliver):
    linking.undo(database, 1, actor="Ada", clock=clock)
    claim = store.claim("capture", row_id=1)
    assert (claim.stage, claim.record.match.series_uid) == ("fetch", "1.1.1")
    store.commit(claim, Done(Fetched(is_joined=True)))
    deliver("first")
    assert _raw(database, clock)["former_copies"] == []


@pytest.mark.usefixtures("linked")
def test_unlinked_and_let_go_again_it_is_fetched_before_the_join_decides(database, store, clock):
    linking.unlink(database, 1, actor="Ada", clock=clock)
    with database.read() as connection:
        assert lists.story(connection, 1)["state"] == "held"
    with database.write() as connection:
        c = tables.capture.c
        connection.execute(update(tables.capture).where(c.state == "held").values(state=c.held_from))
    claim = store.claim("capture", row_id=1)
    assert (claim.stage, claim.record.match) == ("fetch", None)
