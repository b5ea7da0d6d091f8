"""Stages as what they are: a record and ports in, an outcome out; on files in a folder, with a clock that stands."""

import os
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace

import pytest

from kspace.errors import Retry, SpoolDamaged, SpoolError
from kspace.records import SourceFile, Verdict
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.catalog.matching import BY_HAND
from transfer.destinations import Stored
from transfer.records import (
    Capture,
    Changed,
    Done,
    Held,
    Later,
    Looked,
    Match,
    PackedUp,
    Planned,
    RawDelivery,
    Released,
    Retired,
    Settled,
    Twin,
)
from transfer.stages.pack import pack
from transfer.stages.plan import plan
from transfer.stages.retire import retire
from transfer.stages.send import files_of, send
from transfer.stages.settle import settle
from transfer.states import CaptureState, DeliveryState
from transfer.wishes import Rule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = Synthetic(baseline="XA", protocol="t1", lprotid=5, study_uid="1.2.3", readouts=32, channels=2, samples=128)
ALL = (Rule(name="all", project="P"),)


class Standing:
    """A clock that stands still."""

    def now(self):
        return NOW

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise AssertionError(seconds)


@pytest.fixture
def share(tmp_path):
    (tmp_path / "share").mkdir()
    return Share(ShareSettings(path=tmp_path / "share"))


@pytest.fixture
def capture(tmp_path, share):
    """Write a file on the share and return its capture, quiet for an hour."""

    def _capture(data=None, **changes):
        path = tmp_path / "share" / "a.dat"
        if data is None:
            write_twix(path, SPEC)
        else:
            path.write_bytes(data)
        found = {
            "id": 1,
            "state": CaptureState.FOUND,
            "scanner": "prisma",
            "source": "prisma/1",
            "file": share.stat("a.dat"),
            "changed_at": NOW - timedelta(hours=1),
            "since_at": NOW,
            "as_is": False,
            "audit": None,
            "measurements": (),
            "sha256": None,
            "manifest": None,
            "match": None,
        }
        return Capture(**found | changes)

    return _capture


def settled(capture, share, *, rules=ALL, patience_s=60.0, needed_by=()):
    ports = {"source": share, "rules": rules, "needed_by": lambda _: needed_by, "clock": Standing()}
    return settle(capture, **ports, quiet_s=60.0, patience_s=patience_s)


def packed(capture, share, tmp_path, twin=None, has_room=True):
    return pack(
        capture,
        source=share,
        spool=tmp_path,
        codec="auto",
        chunk_bytes=16_384,
        cuts={100_000},
        twin_of=lambda *_: twin,
        room_for=lambda *_: nullcontext(has_room),
        progress=lambda: None,
    )


def test_a_quiet_whole_file_settles_with_its_identity(capture, share):
    outcome = settled(capture(), share)
    assert isinstance(outcome, Done)
    assert isinstance(outcome.result, Settled)
    assert (outcome.result.state, outcome.result.measurements[-1].protocol) == (CaptureState.SETTLED, "t1")


def test_a_file_nobody_wants_is_skipped(capture, share):
    assert settled(capture(), share, rules=()).result.state is CaptureState.SKIPPED


def test_a_file_that_changed_starts_anew(capture, share):
    old = capture()
    outcome = settled(replace(old, file=replace(old.file, size=1)), share)
    assert outcome.result == Changed(old.file, "The file is still growing on the share.")


def test_a_file_that_is_not_quiet_for_long_waits(capture, share):
    assert isinstance(settled(capture(changed_at=NOW), share), Later)


@pytest.mark.parametrize("data", [b"", b"\0" * 4])
def test_an_empty_file_or_less_than_a_header_says_so(capture, share, data):
    outcome = settled(capture(data), share, rules=())
    if data:
        assert "shorter than eight bytes" in outcome.result.choice.reason
    else:
        assert outcome == settled(capture(data), share)
        assert isinstance(outcome, Held)
        assert "empty" in outcome.reason


def test_a_cut_file_gets_patience_and_is_then_held_unless_a_person_takes_it(capture, share, tmp_path):
    whole = capture()
    data = (tmp_path / "share" / "a.dat").read_bytes()
    cut = capture(data[: len(data) // 2])
    assert isinstance(settled(cut, share, patience_s=7200.0), Later)
    held = settled(cut, share)
    assert isinstance(held, Held)
    assert "kspace retry 1 --as-is" in held.reason
    assert settled(replace(cut, as_is=True), share).result.state is CaptureState.SETTLED
    assert whole.file.size == len(data)


def test_packing_a_damaged_file_holds_it_and_a_persons_word_takes_it(capture, share, tmp_path):
    capture()
    data = bytearray((tmp_path / "share" / "a.dat").read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    holed = capture(bytes(data))
    outcome = packed(holed, share, tmp_path)
    assert isinstance(outcome, Held)
    taken = packed(replace(holed, as_is=True), share, tmp_path)
    assert isinstance(taken.result, PackedUp)
    assert not taken.result.packed.audit.verdict.is_whole


def test_packing_what_is_held_already_finds_its_twin(capture, share, tmp_path):
    assert isinstance(packed(capture(), share, tmp_path, twin=7).result, Twin)


def test_packing_a_file_that_changed_drops_what_was_packed(capture, share, tmp_path):
    old = capture()
    assert isinstance(packed(old, share, tmp_path).result, PackedUp)
    stale = replace(old, file=SourceFile(path="a.dat", size=old.file.size, mtime_ns=1))
    assert isinstance(packed(stale, share, tmp_path).result, Changed)
    assert list(tmp_path.glob("*.packed")) == []


def test_what_is_left_of_an_earlier_file_never_becomes_part_of_a_later_one(capture, share, tmp_path):
    first = capture()
    older = (tmp_path / "share" / "a.dat").read_bytes()
    packed(first, share, tmp_path)
    data = bytearray(older)
    data[-4096:] = data[-4096:][::-1]
    data[20_000] ^= 1
    newer = capture(bytes(data), as_is=True)
    assert newer.file != first.file
    assert packed(newer, share, tmp_path).result.packed.sha256 == sha256(data).hexdigest()


@pytest.fixture
def matched(capture, share, tmp_path):
    """Pack a file and return its capture in MATCHED."""

    def _matched(**changes):
        found = capture()
        result = packed(found, share, tmp_path).result
        match = Match(study_uid="1.2.3", series_uid="1.2.3.4", certainty="certain", reason="", targets=(("x", "P"),))
        facts = {"sha256": result.packed.sha256, "manifest": result.manifest, "match": match}
        return replace(found, measurements=result.packed.measurements, **facts | changes)

    return _matched


def planned(capture, tmp_path, *, rules=ALL, release_after_s=60.0, needed_by=()):
    return plan(
        capture,
        spool=tmp_path,
        rules=rules,
        needed_by=lambda _: needed_by,
        part_bytes={"x": 8192},
        clock=Standing(),
        release_after_s=release_after_s,
        progress=lambda: None,
    )


def test_the_parts_cover_the_packed_file_without_gap(matched, tmp_path):
    outcome = planned(matched(), tmp_path)
    assert isinstance(outcome.result, Planned)
    (delivery,) = outcome.result.deliveries
    ends = [p.offset + p.size for p in delivery.parts]
    assert [p.offset for p in delivery.parts] == [0, *ends[:-1]]
    assert ends[-1] == (tmp_path / "00000001.packed").stat().st_size
    assert len(delivery.parts) > 1


def test_a_capture_nobody_wants_after_the_join_is_announced_then_released(matched, tmp_path):
    announced = planned(matched(), tmp_path, rules=())
    assert isinstance(announced, Later)
    assert "Released from the spool at 2026-03-01 12:01 UTC" in announced.reason
    late = planned(matched(since_at=NOW - timedelta(hours=1)), tmp_path, rules=())
    assert isinstance(late.result, Released)


def test_what_a_person_linked_is_never_released_because_no_rule_asks_for_it(matched, tmp_path):
    found = matched()
    linked = replace(found, match=replace(found.match, certainty=BY_HAND), since_at=NOW - timedelta(days=365))
    outcome = planned(linked, tmp_path, rules=())
    assert isinstance(outcome, Held)
    assert "stays in the spool" in outcome.reason


def test_a_study_without_a_route_waits(matched, tmp_path):
    capture = matched()
    outcome = planned(replace(capture, match=replace(capture.match, targets=())), tmp_path)
    assert isinstance(outcome, Later)
    assert "[[route]]" in outcome.reason


@pytest.mark.parametrize("harm", ["flip", "gone"])
def test_damage_in_the_spool_is_found_before_anything_leaves(matched, tmp_path, harm):
    capture = matched()
    path = tmp_path / capture.spooled
    if harm == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    outcome = planned(capture, tmp_path)
    assert isinstance(outcome.result, Changed)
    assert "damaged" in outcome.result.reason


def test_a_disk_that_does_not_answer_is_asked_again_and_the_source_is_not(matched, tmp_path):
    capture = matched()
    path = tmp_path / capture.spooled
    path.unlink()
    path.mkdir()
    with pytest.raises(SpoolError) as failed:
        planned(capture, tmp_path)
    assert failed.value.pauses


def queued(capture, tmp_path, **facts):
    (delivery,) = planned(capture, tmp_path).result.deliveries
    given = {"id": 1, "state": DeliveryState.QUEUED, "destination": "x", "project": "P", "experiment": "E"}
    return RawDelivery(**{**given, "capture": capture, "parts": delivery.parts, "place": None, **facts})


def test_what_lay_there_before_is_looked_for_anew_at_another_place(matched, tmp_path):
    raw = queued(matched(), tmp_path, assigned_by="ann")
    name, body = next(iter(files_of(raw, spool=tmp_path).items()))
    now, listed = ["old"], {"old": {}, "new": {name: Stored(size=body.size, md5=body.md5)}}
    archive = SimpleNamespace(open_place=lambda **_: now[-1], listing=listed.__getitem__)
    allowed = Rule(name="all", project="P", identified_raw={"allowed_by": "ann", "on": "2026-01-05"})
    ports = {"archive": archive, "spool": tmp_path, "rules": (allowed,), "routes": (), "part_bytes": 1 << 30}
    looked = send(raw, **ports, progress=lambda: None).result
    assert looked == Looked(frozenset(), "old")
    now.append("new")
    raw = replace(raw, found=looked.found, found_at=looked.place)
    assert send(raw, **ports, progress=lambda: None) == Done(Looked(frozenset({name}), "new"))


def test_damage_at_the_door_holds_its_own_delivery_and_pauses_nothing(matched, tmp_path):
    capture = matched()
    raw = queued(capture, tmp_path)
    path = tmp_path / capture.spooled
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    bodies = files_of(raw, spool=tmp_path)
    with pytest.raises(SpoolDamaged) as failed:
        _ = [list(body.blocks()) for body in bodies.values()]
    assert (failed.value.pauses, failed.value.retry) == (False, Retry.PERSON)


SENSITIVITIES = Rule(name="t1", project="P", protocols=("t1_*",), dependencies=True)


@pytest.fixture
def needing(capture, share):
    """Return a measurement whose reconstruction needs the one on the share."""
    return replace(settled(capture(), share).result.measurements[-1], mid=107, protocol="t1_mprage")


def test_what_a_wanted_measurement_needs_is_wanted_where_the_rule_says_so(capture, share, needing):
    choice = settled(capture(), share, rules=(SENSITIVITIES,), needed_by=(needing,)).result.choice
    assert choice.is_wanted
    assert "protocol 't1_mprage'. The reconstruction of that needs this file." in choice.reason
    without = SENSITIVITIES.model_copy(update={"dependencies": False})
    assert not settled(capture(), share, rules=(without,), needed_by=(needing,)).result.choice.is_wanted
    assert not settled(capture(), share, rules=(SENSITIVITIES,)).result.choice.is_wanted
    excluded = Rule(name="no", project="P", action="exclude", protocols=("t1",))
    rules = (excluded, SENSITIVITIES)
    assert not settled(capture(), share, rules=rules, needed_by=(needing,)).result.choice.is_wanted


def test_what_a_delivered_measurement_needs_is_delivered_too(matched, tmp_path, needing):
    assert isinstance(planned(matched(), tmp_path, rules=(SENSITIVITIES,), needed_by=(needing,)).result, Planned)
    assert isinstance(planned(matched(), tmp_path, rules=(SENSITIVITIES,)), Later)


def test_the_spool_is_kept_for_its_time(capture):
    assert isinstance(retire(capture(), clock=Standing(), keep_s=60.0, must_go=lambda _: False), Later)
    assert retire(capture(), clock=Standing(), keep_s=0.0, must_go=lambda _: False) == Done(Retired())
    assert retire(capture(), clock=Standing(), keep_s=60.0, must_go=lambda number: number == capture().id) == Done(
        Retired()
    )


@pytest.fixture
def holed(capture, share, tmp_path):
    """Return a capture whose samples hold zeros, where they begin, and the file as it was before."""
    image = settled(capture(), share).result.measurements[-1]
    whole = (tmp_path / "share" / "a.dat").read_bytes()
    samples = image.offset + image.header_bytes + 192 + 32
    return capture(whole[:samples] + bytes(600) + whole[samples + 600 :]), samples, whole


def test_a_suspect_hole_is_captured_and_flagged(holed, share, tmp_path):
    suspect, samples, _ = holed
    outcome = packed(suspect, share, tmp_path)
    assert isinstance(outcome.result, PackedUp)
    assert outcome.result.packed.audit.verdict is Verdict.SUSPECT_HOLE
    assert samples - 32 <= outcome.result.packed.audit.position <= samples, "the channel header ends in zeros as well"


class _FillsLater(Share):
    """A share that gives zeros for bytes it has not got yet, and the bytes at the next opening."""

    def __init__(self, share, path, whole):
        self._share, self._path, self._whole = share, path, whole
        self.openings = 0
        self.stat = share.stat

    @contextmanager
    def open(self, path):
        self.openings += 1
        if self.openings > 1:
            found = self._path.stat()
            self._path.write_bytes(self._whole)
            os.utime(self._path, ns=(found.st_atime_ns, found.st_mtime_ns))
        with self._share.open(path) as reader:
            yield reader


def test_a_hole_that_the_share_fills_is_not_captured(holed, share, tmp_path):
    suspect, _, whole = holed
    late = _FillsLater(share, tmp_path / "share" / "a.dat", whole)
    assert isinstance(packed(suspect, late, tmp_path).result, Changed)
    assert not (tmp_path / suspect.spooled).exists()
    again = packed(suspect, late, tmp_path)
    assert again.result.packed.audit.verdict is Verdict.COMPLETE_NATIVE
    assert again.result.packed.sha256 == sha256(whole).hexdigest()


def test_a_file_that_does_not_fit_waits_and_what_was_read_of_it_is_kept(capture, share, tmp_path):
    begun = capture(state=CaptureState.SETTLED)
    (tmp_path / begun.spooled).write_bytes(b"some")
    outcome = packed(begun, share, tmp_path, has_room=False)
    assert isinstance(outcome, Later)
    assert "has room" in outcome.reason
    assert "is kept" in outcome.reason
    assert (tmp_path / begun.spooled).read_bytes() == b"some"
