"""What is joined already meets images that come later; a person's word is left alone, and can be taken back."""

from array import array
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import select, update

from dicom.records import Certainty, Decision
from kspace.errors import BadInput
from kspace.records import Audit, Measurement, Packed, Part, SourceFile, Verdict
from transfer import linking, operations
from transfer.catalog import ledger, lists, tables
from transfer.catalog.candidates import find_candidates, find_rivals
from transfer.catalog.dependencies import beside
from transfer.catalog.judging import is_rejected, judge
from transfer.catalog.rejoining import rejoin
from transfer.feeds.rejoin import Rejoining
from transfer.records import Done, Held, Joined, NewDelivery, PackedUp, Planned, Sent, Settled, Verified
from transfer.selection import Choice, Step
from transfer.stages.join import join
from transfer.states import DeliveryState

FRAME = "1.3.12.2.1107.5.2.43.4711.1.20260301110000000.0.0.0"
RAW = Measurement(
    index=0,
    offset=0,
    header_bytes=9,
    baseline="VE",
    mid=7,
    serial="4711",
    lprotid=-7,
    protocol="gre",
    frame_of_reference=FRAME,
    ticks=array("I", range(8_000_000, 8_000_400, 4)),
)
SCAN = {"frame_of_reference": FRAME, "lprotid": -7, "ticks": (8_000_040,)}
BESIDE = Decision(certainty=Certainty.BESIDE, reason="needed", study_uid="1.1", series_uids=("1.1.1",))
OTHER = {"frame_of_reference": FRAME, "lprotid": -9, "ticks": (9_000_040,)}
WANTED = Choice(step=Step.DELIVER, is_wanted=True, rule="all", reason="Wanted.")
WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
PART = Part(number=1, name="part-00001.bin", offset=0, size=3, md5="0" * 32, sha256="0" * 64)
QUIET_S = 10.0
LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


@pytest.fixture
def deliver(database, store, clock, list_files):
    """Take one raw file from the share to its archive, joined by what is known now."""

    def _join(number: int, measurement: Measurement, found: Decision) -> None:
        sha256 = f"{number:064}"
        packed = Packed(sha256=sha256, size=5, audit=WHOLE, measurements=(measurement,), chunks=(), stored_bytes=3)
        capture = Choice(step=Step.CAPTURE, is_wanted=True, rule="all", reason="Wanted.")
        for result in (Settled(WHOLE, (measurement,), capture), PackedUp(packed, b"{}"), Joined(found)):
            store.commit(store.claim("capture", row_id=number), Done(result))

    def _plan() -> None:
        claim = store.claim("capture", row_id=1)
        store.commit(claim, Done(Planned((WANTED,), (NewDelivery(destination="x", project="P", parts=(PART,)),))))
        (raw,) = [d for d in _deliveries(database) if d["kind"] == "raw"]
        store.commit(store.claim("delivery", row_id=raw["id"]), Done(Sent(f"place {raw['id']}")))
        store.commit(store.claim("delivery", row_id=raw["id"]), Done(Verified(b"receipt")))

    def _deliver(found: Decision | None = None) -> None:
        list_files(SourceFile(path="a.dat", size=5, mtime_ns=1))
        _join(1, RAW, found or judge(database, RAW))
        _plan()
        clock.sleep(60)

    _deliver.again = _plan
    _deliver.join = _join
    return _deliver


def _deliveries(database) -> list[dict]:
    with database.read() as connection:
        return lists.deliveries(connection)


def _raw(database) -> tuple[str, str | None, list[str] | None]:
    (found,) = [d for d in _deliveries(database) if d["kind"] == "raw"]
    return found["state"], found["place"], found["former_places"]


def _match(database) -> tuple[str | None, str]:
    with database.read() as connection:
        m = tables.match.c
        row = connection.execute(select(m.series_uid, m.actor).where(m.undone_at.is_(None)).order_by(m.id.desc()))
        return tuple(row.first())


def _shown(database, clock) -> tuple[int | None, list[str]]:
    with database.read() as connection:
        (session,) = ledger.session(connection, "E", now=clock.now())
    (raw,) = session["measurements"]
    return raw["series"], raw["all_series"]


def _alerts(database) -> list[str]:
    with database.read() as connection:
        return [a["key"] for a in lists.alerts(connection)]


def _state(database) -> str:
    with database.read() as connection:
        return lists.captures(connection)[0]["state"]


def test_a_file_that_lies_at_its_session_moves_to_the_scan_whose_images_come_late(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    assert _match(database) == (None, "relay")
    late = Rejoining(database=database, clock=clock, quiet_s=QUIET_S)
    late()
    assert _state(database) == "delivered"
    arrive("1.1", 2, **SCAN)
    late()
    assert _state(database) == "delivered", "the study still grows"
    clock.sleep(QUIET_S)
    late()
    assert (_state(database), _match(database)) == ("matched", ("1.1.2", "relay"))
    assert _raw(database) == (DeliveryState.WITHDRAWN, None, ["place 2"]), "the place is kept in mind"
    deliver.again()
    assert _raw(database) == (DeliveryState.VERIFIED, "place 2", None), "it is the place again"
    late()
    assert _state(database) == "delivered"


def test_what_lies_beside_what_needs_it_moves_to_its_own_scan_whose_images_come_late(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver(BESIDE)
    arrive("1.1", 3, **OTHER | {"lprotid": -11, "ticks": (9_500_000,)})
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database)) == ("delivered", ("1.1.1", "relay")), "it still has no scan"
    arrive("1.1", 2, **SCAN)
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database)) == ("matched", ("1.1.2", "relay"))
    assert _raw(database) == (DeliveryState.WITHDRAWN, None, ["place 2"])


def test_what_lies_beside_what_needs_it_follows_that_one(database, clock, list_files, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    arrive("1.1", 3, **OTHER)
    deliver(BESIDE)
    list_files(*(SourceFile(path=path, size=5, mtime_ns=1) for path in ("a.dat", "b.dat")))
    needing = replace(RAW, mid=8, lprotid=-9, ticks=array("I", [9_000_040]), dependency_mids=(7,))
    deliver.join(2, needing, judge(database, needing))
    late = Rejoining(database=database, clock=clock, quiet_s=0.0)
    clock.sleep(60)
    late()
    assert _match(database) == ("1.1.1", "relay")
    linking.link(database, 2, "s2", actor="Ada", clock=clock)
    clock.sleep(60)
    late()
    with database.read() as connection:
        told = lists.story(connection, 1)
    assert (told["state"], told["matches"][-1]["series_uid"]) == ("matched", "1.1.3")


def test_a_series_of_another_study_of_the_scanner_counts_as_well(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    arrive("1.2", 1, **SCAN)
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database)) == ("matched", ("1.2.1", "relay"))


def test_a_scan_that_late_images_put_in_doubt_is_not_moved_and_a_person_is_told(database, clock, arrive, deliver):
    arrive("1.1", 2, **SCAN)
    deliver()
    arrive("1.2", 1, **SCAN)
    arrive("1.1", 3, **OTHER)
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database)) == ("delivered", ("1.1.2", "relay"))
    assert _alerts(database) == ["doubt:1"]
    (doubt,) = linking.doubts(database)
    assert (doubt.capture.id, doubt.decision.certainty) == (1, Certainty.AMBIGUOUS)
    linking.link(database, 1, "s1", actor="Ada", clock=clock)
    assert _alerts(database) == []


@pytest.mark.parametrize(
    ("first", "is_rival"),
    [
        (RAW.ticks[0] + 40, True),
        (RAW.ticks[0] - 40, True),
        (RAW.ticks[-1] + 3960, True),
        (RAW.ticks[0] - 4320, True),
        (RAW.ticks[-1] + 4004, False),
        (RAW.ticks[0] - 4404, False),
    ],
    ids=["during it", "before its end", "soon after it", "ended soon before it", "long after it", "long before it"],
)
def test_a_scan_that_a_late_raw_file_puts_in_doubt_is_not_moved_and_a_person_is_told(  # noqa: PLR0917 -- fixtures
    database, clock, list_files, arrive, deliver, first, is_rival
):
    arrive("1.1", 2, **SCAN)
    deliver()
    late = Rejoining(database=database, clock=clock, quiet_s=QUIET_S)
    late()
    clock.sleep(60)
    list_files(*(SourceFile(path=path, size=5, mtime_ns=1) for path in ("a.dat", "b.dat")))
    rival = replace(RAW, mid=8, ticks=array("I", range(first, first + 400, 4)))
    deliver.join(2, rival, replace(BESIDE, series_uids=("1.1.2",)))
    late()
    with database.read() as connection:
        told = lists.story(connection, 1)
    assert (told["state"], [m["series_uid"] for m in told["matches"]]) == ("delivered", ["1.1.2"])
    assert ("doubt:1" in _alerts(database)) is is_rival
    assert (1 in {d.capture.id for d in linking.doubts(database)}) is is_rival


def test_more_images_of_the_same_scan_change_nothing(database, clock, arrive, deliver):
    arrive("1.1", 2, **SCAN)
    deliver()
    arrive("1.1", 1, **SCAN)
    rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database), _alerts(database)) == ("delivered", ("1.1.2", "relay"), [])


def test_every_series_of_a_measurement_is_kept_and_shown_with_it_the_late_ones_too(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    arrive("1.1", 2, **SCAN)
    arrive("1.1", 3, **SCAN)
    deliver()
    assert _shown(database, clock) == (2, ["1.1.2", "1.1.3"])
    arrive("1.1", 4, **SCAN)
    rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert _shown(database, clock) == (2, ["1.1.2", "1.1.3", "1.1.4"])
    linking.link(database, 1, "s3", actor="Ada", clock=clock)
    assert _shown(database, clock) == (3, ["1.1.3"])


def test_a_file_at_its_session_whose_answer_becomes_ambiguous_is_told_and_shown(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    arrive("1.1", 2, **SCAN | {"lprotid": -8})
    arrive("1.2", 1, **SCAN | {"lprotid": -8})
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database), _alerts(database)) == ("delivered", (None, "relay"), ["doubt:1"])
    (doubt,) = linking.doubts(database)
    assert doubt.decision.certainty is Certainty.AMBIGUOUS


def test_what_a_person_holds_is_judged_once_they_let_it_go(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    operations.hold(database, "1", reason="wait", actor="Ada", clock=clock)
    arrive("1.1", 2, **SCAN)
    late = Rejoining(database=database, clock=clock, quiet_s=QUIET_S)
    clock.sleep(QUIET_S)
    late()
    assert (_state(database), _match(database)) == ("held", (None, "relay"))
    with pytest.raises(BadInput, match="A person holds capture 1"):
        linking.link(database, 1, "s2", actor="Bob", clock=clock)
    clock.sleep(1000)
    late()
    operations.retry(database, "1", actor="Ada", clock=clock)
    late()
    assert (_state(database), _match(database)) == ("matched", ("1.1.2", "relay"))


def test_what_a_person_rejected_is_not_joined_again_until_they_undo_it(database, store, clock, arrive, deliver):
    arrive("1.1", 2, **SCAN)
    deliver()
    linking.unlink(database, 1, actor="Ada", clock=clock)
    clock.sleep(1)
    operations.retry(database, "1", actor="Ada", clock=clock)
    claim = store.claim("capture", row_id=1)
    assert claim.stage == "join"
    ports = {"find": partial(find_candidates, database), "rivals": partial(find_rivals, database), "clock": clock}
    ports |= {"beside": partial(beside, database)}
    ports |= {"is_rejected": partial(is_rejected, database), "quiet_s": 0.0, "no_series_after_s": 9.0}
    answer = join(claim.record, **ports)
    assert isinstance(answer, Held)
    assert "A person said that it is not." in answer.reason
    store.commit(claim, answer)
    assert _state(database) == "held"
    arrive("1.1", 3, **OTHER)
    clock.sleep(QUIET_S)
    claim = store.claim("capture", row_id=1)
    assert isinstance(join(claim.record, **ports), Held), "new images open the question, and it is answered the same"
    store.commit(claim, answer)
    linking.undo(database, 1, actor="Ada", clock=clock)
    assert _match(database) == ("1.1.2", "relay")
    assert not is_rejected(database, 1, judge(database, RAW))


def test_what_was_freed_from_the_spool_is_fetched_back_to_move(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    with database.write() as connection:
        connection.execute(update(tables.capture).values(state="retired"))
    arrive("1.1", 2, **SCAN)
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert (_state(database), _match(database)) == ("recalled", ("1.1.2", "relay"))
    assert _raw(database) == (DeliveryState.WITHDRAWN, None, ["place 2"])
    assert _alerts(database) == []


def test_what_is_at_work_is_judged_at_the_next_look(database, store, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    assert store.claim("delivery", row_id=2)
    arrive("1.1", 2, **SCAN)
    assert not rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert _match(database) == (None, "relay")


def test_a_persons_word_is_never_judged(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    deliver()
    linking.link(database, 1, "t1", actor="Ada", clock=clock)
    clock.sleep(1)
    arrive("1.1", 2, **SCAN)
    assert rejoin(database, now=clock.now(), grown_since=LONG_AGO, quiet_s=0.0)
    assert _match(database) == (None, "Ada")


def test_a_link_and_an_unlink_can_be_taken_back_once(database, clock, arrive, deliver):
    arrive("1.1", 1, **OTHER)
    arrive("1.1", 2, **SCAN)
    deliver()
    with pytest.raises(BadInput, match="nothing to undo"):
        linking.undo(database, 1, actor="Ada", clock=clock)
    linking.link(database, 1, "s1", actor="Ada", clock=clock)
    assert _match(database) == ("1.1.1", "Ada")
    linking.undo(database, 1, actor="Bob", clock=clock)
    assert (_state(database), _match(database)) == ("matched", ("1.1.2", "relay"))
    with pytest.raises(BadInput, match="nothing to undo"):
        linking.undo(database, 1, actor="Bob", clock=clock)
    clock.sleep(1)
    linking.unlink(database, 1, actor="Ada", clock=clock)
    assert _state(database) == "held"
    clock.sleep(1)
    assert "Series 2" in linking.undo(database, 1, actor="Bob", clock=clock)
    assert (_state(database), _match(database)) == ("matched", ("1.1.2", "relay"))
    with database.read() as connection:
        told = [(e["verb"], e["actor"]) for e in lists.story(connection, 1)["events"] if e["actor"] != "relay"]
    events = [(verb, actor) for verb, actor in told if verb.startswith("capture.")]
    assert events == [
        ("capture.linked", "Ada"),
        ("capture.undone", "Bob"),
        ("capture.unlinked", "Ada"),
        ("capture.undone", "Bob"),
    ]
