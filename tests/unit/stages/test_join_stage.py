"""The join as a stage: what goes on, what waits and for how long, what a person must say."""

from array import array
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dicom.records import Certainty, Series
from kspace.records import Measurement, SourceFile
from transfer.catalog.candidates import Candidate
from transfer.records import Beside, Capture, Held, Joined, Later
from transfer.stages.join import join
from transfer.states import CaptureState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW = Measurement(
    index=0,
    offset=0,
    header_bytes=9,
    baseline="XA",
    serial="210000",
    lprotid=5,
    study_uid="1.2.3",
    frame_of_reference="1.3.12.2.1107.5.2.50.210000.1.20260301110000000.0.0.0",
    ticks=array("I", range(14_400_000, 14_400_128, 4)),
)


class Standing:
    """A clock that stands still."""

    def now(self):
        return NOW


def packed(**changes) -> Capture:
    """Return a capture that lies packed in the spool."""
    known = {
        "id": 1,
        "state": CaptureState.PACKED,
        "scanner": "prisma",
        "source": "prisma/1",
        "file": SourceFile(path="a.dat", size=5, mtime_ns=1),
        "changed_at": NOW - timedelta(hours=1),
        "since_at": NOW,
        "as_is": False,
        "audit": None,
        "measurements": (RAW,),
        "sha256": "ab" * 32,
        "manifest": b"{}",
        "match": None,
    }
    return Capture(**known | changes)


def a_series(capture, **changes):
    image = capture.image
    found = {
        "series_uid": "1.2.3.4",
        "study_uid": "1.2.3",
        "number": 4,
        "serial": image.serial,
        "lprotid": image.lprotid,
        "frame_of_reference": image.frame_of_reference,
        "ticks": frozenset({image.ticks[3]}),
    }
    return Series(**found | changes)


def joined(capture, *series, quiet_s=10.0, age_s=60.0, needed=None, rivals=()):
    found = [Candidate(one, NOW - timedelta(seconds=age_s)) for one in series]
    ports = {"find": lambda _: found, "rivals": lambda _: rivals, "beside": lambda _: needed, "clock": Standing()}
    return join(capture, **ports, quiet_s=quiet_s, no_series_after_s=3600.0)


def test_a_certain_series_is_joined_once_its_study_is_quiet():
    capture = packed()
    assert isinstance(joined(capture, a_series(capture), age_s=1.0), Later)
    assert isinstance(joined(capture, a_series(capture)).result, Joined)


def test_a_series_that_another_raw_file_fits_as_well_is_for_a_person():
    capture = packed()
    overlapping = replace(RAW, mid=99, ticks=array("I", range(14_400_002, 14_400_128, 2)))
    found = joined(capture, a_series(capture), rivals=[RAW, overlapping])
    assert isinstance(found, Held)
    assert "another raw file" in found.reason


def test_a_study_without_the_series_is_given_time():
    capture = packed()
    other = a_series(capture, lprotid=99, ticks=frozenset({1}), series_uid="1.2.3.9")
    waiting = joined(capture, other)
    assert isinstance(waiting, Later)
    assert "2026-03-01 13:00 UTC" in waiting.reason
    long_ago = replace(capture, since_at=NOW - timedelta(hours=2))
    assert joined(long_ago, other, age_s=7200.0).result.decision.series_uids == ()


def test_a_dependency_goes_to_the_scan_of_what_needs_it():
    capture = packed()
    other = a_series(capture, lprotid=99, ticks=frozenset({1}), series_uid="1.2.3.9")
    needed = Beside(mid=107, study_uid="1.2.3", series_uid="1.2.3.9")
    decision = joined(capture, other, needed=needed).result.decision
    assert (decision.certainty, decision.series_uids) == (Certainty.BESIDE, ("1.2.3.9",))
    assert "MID 107 needs it" in decision.reason
    assert joined(capture, needed=needed).result.decision.certainty is Certainty.BESIDE, "no image of its own ever came"
    own = joined(capture, a_series(capture), other, needed=needed).result.decision
    assert own.series_uids == ("1.2.3.4",), "its own series counts more"
    elsewhere = joined(capture, other, needed=replace(needed, study_uid="9"))
    assert isinstance(elsewhere, Later), "never into a study that its own header does not show"


def test_a_dependency_waits_for_what_needs_it_as_long_as_for_a_series_and_then_goes_to_the_session():
    other = a_series(packed(), lprotid=99, ticks=frozenset({1}), series_uid="1.2.3.9")
    unknown = Beside(mid=107, study_uid=None, series_uid=None)
    waiting = joined(packed(), other, needed=unknown)
    assert "MID 107" in waiting.reason
    late = packed(since_at=NOW - timedelta(hours=2))
    assert joined(late, other, age_s=7200.0, needed=unknown).result.decision.series_uids == ()
    at_session = Beside(mid=107, study_uid="1.2.3", series_uid=None)
    assert "no series comes by" in joined(packed(), other, needed=at_session).reason


def test_without_dicom_or_header_it_waits_and_says_so():
    assert "No DICOM matches yet" in joined(packed()).reason
    assert "header could not be read" in joined(packed(measurements=())).reason


def test_of_a_file_with_several_measurements_the_last_is_joined_and_the_others_go_with_it():
    noise = replace(RAW, lprotid=4, ticks=array("I", range(14_390_000, 14_390_064, 4)))
    image = replace(RAW, index=1)
    of_noise = a_series(packed(measurements=(noise,)), series_uid="1.2.3.1", number=1)
    capture = packed(measurements=(noise, image))
    decision = joined(capture, a_series(capture), of_noise).result.decision
    assert decision.series_uids == ("1.2.3.4",)


def test_a_scan_broken_off_before_its_repeat_is_a_persons_to_say_and_the_repeat_is_certain():
    repeat = packed(measurements=(replace(RAW, ticks=array("I", range(14_500_000, 14_500_128, 4))),))
    series = a_series(repeat)
    broken_off = joined(packed(), series)
    assert isinstance(broken_off, Held)
    assert broken_off.code == "join"
    assert "protocol number 5 on both sides" in broken_off.reason
    assert joined(repeat, series).result.decision.series_uids == ("1.2.3.4",)
