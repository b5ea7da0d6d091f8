"""The rule: scanner, then study, then measurement; never a guess."""

from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.clue import Clue, Strength
from dicom.join import decide, default_clues, index_keys
from dicom.records import Certainty, Evidence, Level, Series, Weight
from kspace.records import Measurement
from kspace.twix.walk import Walker
from tests.unit.dicom.join_pairs import series_below

FOR = "1.3.12.2.1107.5.2.32.35287.1.20240322140748296.0.0.0"
FIRST = 26_422_493
RAW = Measurement(
    index=0,
    offset=0,
    header_bytes=1,
    baseline="VB",
    serial="35287",
    protocol="sol12",
    lprotid=-222,
    frame_of_reference=FOR,
    ticks=array("I", range(FIRST, FIRST + 256 * 8, 8)),
)
FIT = Series(
    series_uid="1.2.53",
    study_uid="1.2",
    number=53,
    protocol="sol12",
    serial="35287",
    lprotid=-222,
    frame_of_reference=FOR,
    sop_uids=frozenset({"1.2.53.1"}),
    ticks=frozenset({FIRST}),
)
OTHER = replace(FIT, series_uid="1.2.55", number=55, protocol="sol13", lprotid=-226, ticks=frozenset({FIRST + 58_240}))
LOCALIZER = replace(OTHER, series_uid="1.2.1", number=1, lprotid=-1, sop_uids=frozenset({"9.1"}), ticks=frozenset({5}))
ELSEWHERE = {"study_uid": "1.9", "series_uid": "1.9.53"}
NOWHERE = {"frame_of_reference": None}
NO_NUMBER = {"lprotid": None}
NO_TIME = {"ticks": frozenset()}
OFF_GRID = {"ticks": frozenset({FIRST + 1})}
BEFORE = {"ticks": frozenset({FIRST - 1})}
RENAMED = {"protocol": "sol99"}
LATER = {"ticks": frozenset({FIRST + 8})}
UUID = "4f0c2f3e-8a61-4c7b-9f10-3d2b6a5e7c81"
MARKED = replace(RAW, free_uuid=UUID)
WHOLE = replace(RAW, ticks=array("I", range(26_422_400, 26_423_400, 8)))
XA = replace(RAW, study_uid="1.2", frame_of_reference=None)
SURE, STUDY, ASK, NONE = Certainty.CERTAIN, Certainty.STUDY_ONLY, Certainty.AMBIGUOUS, Certainty.UNMATCHED


def with_(**more):
    return replace(FIT, **more)


CASES = {
    "number and time agree": (RAW, [FIT, OTHER], SURE, ["1.2.53"]),
    "magnitude and phase": (RAW, [with_(series_uid="1.2.54", number=54), FIT], SURE, ["1.2.53", "1.2.54"]),
    "a derived series with its time goes along": (
        RAW,
        [FIT, with_(series_uid="1.2.90", number=90, protocol="ADC")],
        SURE,
        ["1.2.53", "1.2.90"],
    ),
    "a series without a time may be of a repeat and stays out": (
        RAW,
        [FIT, with_(series_uid="1.2.50", number=50, **NO_TIME)],
        SURE,
        ["1.2.53"],
    ),
    "number and time outweigh another name": (RAW, [with_(**RENAMED)], SURE, ["1.2.53"]),
    "a series in dispute stays out beside one that is sure": (
        RAW,
        [FIT, with_(series_uid="1.2.91", number=91, **BEFORE)],
        SURE,
        ["1.2.53"],
    ),
    "number alone: it may be a repeat": (RAW, [with_(**NO_TIME)], ASK, []),
    "number alone, off the grid but within": (RAW, [with_(**OFF_GRID)], ASK, []),
    "a series within its time alone does not ride beside one that is sure": (
        RAW,
        [FIT, with_(series_uid="1.2.54", number=54, **OFF_GRID)],
        SURE,
        ["1.2.53"],
    ),
    "a later echo goes along": (
        RAW,
        [FIT, with_(series_uid="1.2.54", number=54, **LATER)],
        SURE,
        ["1.2.53", "1.2.54"],
    ),
    "noise comes first": (RAW, [with_(**LATER)], SURE, ["1.2.53"]),
    "no number, but the same beginning": (RAW, [with_(**NO_NUMBER)], ASK, []),
    "no number, and the time of a later readout alone": (RAW, [with_(**NO_NUMBER, **LATER)], ASK, []),
    "whole seconds alone are no times": (WHOLE, [with_(ticks=frozenset({26_422_400}))], ASK, []),
    "a whole second, in a study that shows fractions": (
        WHOLE,
        [with_(ticks=frozenset({26_422_400})), with_(series_uid="1.2.54", lprotid=-9, ticks=frozenset({FIRST + 9999}))],
        SURE,
        ["1.2.53"],
    ),
    "whole seconds are no beginning": (WHOLE, [with_(**NO_NUMBER, ticks=frozenset({26_422_400}))], ASK, []),
    "a series that goes on after the measurement": (RAW, [with_(ticks=frozenset({FIRST, FIRST + 9999}))], ASK, []),
    "a mark and a time": (MARKED, [with_(**NO_NUMBER, **LATER, free_uuid=UUID)], SURE, ["1.2.53"]),
    "a mark and a number without a time": (MARKED, [with_(**NO_TIME, free_uuid=UUID)], ASK, []),
    "number alone against another name": (RAW, [with_(**NO_TIME, **RENAMED)], ASK, []),
    "number against time": (RAW, [with_(**BEFORE)], ASK, []),
    "time against number": (RAW, [with_(lprotid=-223)], ASK, []),
    "number alone beside a dispute": (
        RAW,
        [with_(**NO_TIME), with_(series_uid="1.2.91", number=91, **BEFORE)],
        ASK,
        [],
    ),
    "within the time and no number": (RAW, [with_(**NO_NUMBER, **OFF_GRID)], ASK, []),
    "the name alone": (RAW, [with_(**NO_NUMBER, **NO_TIME)], ASK, []),
    "the name alone against the time": (RAW, [with_(**NO_NUMBER, **BEFORE)], STUDY, []),
    "study without this measurement": (RAW, [OTHER, LOCALIZER], STUDY, []),
    "another scanner": (RAW, [with_(serial="45385")], NONE, []),
    "number and time without a study": (RAW, [with_(**NOWHERE)], ASK, []),
    "number of another study": (RAW, [with_(**NOWHERE, **NO_TIME)], NONE, []),
    "time of another study": (RAW, [with_(**NOWHERE, **NO_NUMBER)], NONE, []),
    "nothing arrived": (RAW, [], NONE, []),
    "two studies fit": (RAW, [FIT, with_(**ELSEWHERE)], ASK, []),
    "two studies of one registration, one has it": (
        RAW,
        [FIT, replace(OTHER, **ELSEWHERE)],
        SURE,
        ["1.2.53"],
    ),
    "two studies of one registration, none has it": (RAW, [OTHER, replace(LOCALIZER, study_uid="1.9")], ASK, []),
    "a stray study fits, the certain one does not": (RAW, [OTHER, with_(**ELSEWHERE, **NOWHERE)], ASK, []),
    "the study is known by its localizer": (
        replace(RAW, frame_of_reference=None, reference_image_uids=("9.1",)),
        [LOCALIZER, FIT],
        SURE,
        ["1.2.53"],
    ),
    "XA by its study": (XA, [with_(**NOWHERE)], SURE, ["1.2.53"]),
    "XA says another study": (XA, [with_(**ELSEWHERE, **NO_TIME)], NONE, []),
    "XA says another study, all else fits": (
        replace(XA, frame_of_reference=FOR),
        [with_(**ELSEWHERE)],
        ASK,
        [],
    ),
    "broken off before the first readout": (replace(RAW, ticks=array("I")), [FIT, OTHER], ASK, []),
    "header without number": (replace(RAW, lprotid=None), [FIT, OTHER], ASK, []),
    "header with nothing": (Measurement(index=0, offset=0, header_bytes=1, baseline="XA"), [FIT], NONE, []),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    measurement, candidates, certainty, series = CASES[name]
    decision = decide(measurement, candidates)
    assert (decision.certainty, list(decision.series_uids)) == (certainty, series), decision.reason
    assert {j.series_uid for j in decision.judged} == {s.series_uid for s in candidates}
    assert decision.reason.endswith(".")
    if certainty in {SURE, STUDY}:
        assert decision.study_uid == "1.2"


NO_MORE = replace(RAW, mid=2, ticks=RAW.ticks[10:])
"""What ran, by its times, during the measurement: the clock was set back."""
ADJUSTMENT = replace(RAW, mid=3, ticks=array("I", range(FIRST - 2080, FIRST - 32, 8)))
RETRO = 3_000_005
RIVALS = {
    "itself, a second reconstruction and a copy are none": (
        replace(RAW, mid=1),
        [FIT],
        [replace(RAW, mid=1), replace(RAW, mid=RETRO)],
        ["1.2.53"],
    ),
    "a second reconstruction is its copy": (replace(RAW, mid=RETRO), [FIT], [replace(RAW, mid=1)], ["1.2.53"]),
    "a repeat that ran at the very same times": (replace(RAW, mid=1), [FIT], [replace(RAW, mid=2)], []),
    "one of another number": (RAW, [FIT], [replace(NO_MORE, lprotid=-223)], ["1.2.53"]),
    "one of its number that began later": (RAW, [FIT], [NO_MORE], ["1.2.53"]),
    "one of its number that began after the first of several images": (
        RAW,
        [with_(ticks=frozenset({FIRST, FIRST + 160}))],
        [NO_MORE],
        ["1.2.53"],
    ),
    "one of its number that ran all the while": (
        replace(NO_MORE, ticks=RAW.ticks[10:200]),
        [with_(ticks=frozenset({RAW.ticks[10], RAW.ticks[20]}))],
        [RAW],
        [],
    ),
    "one of its number that had begun before": (NO_MORE, [with_(ticks=frozenset({FIRST + 80}))], [RAW], []),
    "a clock that is off by what the other's was set back": (
        replace(RAW, mid=2, ticks=array("I", [t + 1 for t in RAW.ticks])),
        [with_(ticks=frozenset({FIRST + 1}))],
        [RAW],
        [],
    ),
    "the images' clock is off by two seconds, into an adjustment of their number": (
        ADJUSTMENT,
        [with_(ticks=frozenset({FIRST - 800}))],
        [RAW],
        [],
    ),
    "an adjustment of its number right before it": (RAW, [FIT], [ADJUSTMENT], ["1.2.53"]),
    "a time in both, and its number in both": (RAW, [with_(ticks=frozenset({FIRST + 160}))], [NO_MORE], []),
    "a time in both, and another number": (
        RAW,
        [with_(ticks=frozenset({FIRST + 160}))],
        [replace(NO_MORE, lprotid=-223)],
        ["1.2.53"],
    ),
    "a mark in both": (
        MARKED,
        [with_(**NO_NUMBER, free_uuid=UUID)],
        [replace(MARKED, mid=2, ticks=RAW.ticks[:100])],
        [],
    ),
    "the same of another visit": (
        MARKED,
        [with_(**NO_NUMBER, free_uuid=UUID)],
        [replace(MARKED, mid=2, study_loid="7", ticks=RAW.ticks[:100])],
        ["1.2.53"],
    ),
}


@pytest.mark.parametrize("name", RIVALS)
def test_a_series_that_another_measurement_fits_as_well_is_never_certain(name):
    measurement, candidates, rivals, series = RIVALS[name]
    decision = decide(measurement, candidates, rivals=rivals)
    assert list(decision.series_uids) == series, decision.reason
    assert decision.certainty is (SURE if series else ASK)
    assert series or "fit another raw file as well" in decision.reason


class Doubt(Clue):
    """A strong clue of somebody else's, which contradicts every series."""

    name = "doubt"
    level = Level.MEASUREMENT
    strength = Strength.STRONG

    def judge(self, measurement: Measurement, series: Series) -> Evidence:  # noqa: ARG002 -- the port
        return Evidence(clue=self.name, level=self.level, weight=Weight.CONTRADICTS, detail="not this one")


def test_a_third_strong_clue_can_put_two_in_doubt():
    decision = decide(RAW, [FIT], [*default_clues(), Doubt()])
    assert decision.certainty is ASK
    assert "not this one" in decision.reason


def test_the_reason_names_what_agrees():
    reason = decide(RAW, [OTHER, FIT]).reason
    for words in (
        "Series 53",
        "same scanner 35287",
        "protocol number -222 on both sides",
        "acquisition 18:20:56.2325 is readout 1 of 256",
    ):
        assert words in reason


def test_the_reason_of_a_doubt_names_both_sides():
    reason = decide(RAW, [with_(**BEFORE)]).reason
    assert "protocol number -222 on both sides" in reason
    assert "lies outside" in reason


SOME = st.lists(
    st.builds(
        replace,
        st.just(FIT),
        series_uid=st.sampled_from(["1.1", "1.2", "1.3"]),
        study_uid=st.sampled_from(["1", "2"]),
        number=st.none() | st.integers(1, 9),
        serial=st.none() | st.sampled_from(["35287", "1"]),
        lprotid=st.none() | st.sampled_from([-222, -226]),
        frame_of_reference=st.none() | st.just(FOR),
        ticks=st.frozensets(st.sampled_from([FIRST, FIRST + 1, FIRST - 1]), max_size=2),
    ),
    max_size=4,
    unique_by=lambda series: series.series_uid,
)


@given(candidates=SOME, data=st.data())
def test_the_order_of_arrival_changes_nothing(candidates, data):
    assert decide(RAW, candidates) == decide(RAW, data.draw(st.permutations(candidates)))


@given(candidates=SOME)
def test_certain_means_one_study_and_no_series_that_contradicts(candidates):
    decision = decide(RAW, candidates)
    chosen = [s for s in candidates if s.series_uid in decision.series_uids]
    assert bool(chosen) is (decision.certainty is SURE)
    for series in chosen:
        assert series.study_uid == decision.study_uid
        assert series.serial in {None, "35287"}
        assert series.lprotid == -222
        assert FIRST in series.ticks
        assert FIRST - 1 not in series.ticks


def test_another_scanner_with_the_same_number_is_not_even_looked_at():
    assert index_keys(RAW) & index_keys(with_(**NOWHERE))
    assert not index_keys(RAW) & index_keys(with_(serial="45385", **NOWHERE))


@given(candidates=SOME)
def test_what_shares_no_key_could_never_be_certain_by_itself(candidates):
    for series in candidates:
        if not index_keys(RAW) & index_keys(series):
            assert decide(RAW, [series]).certainty in {ASK, NONE}


REAL = {
    "meas_MID00107_FID33064_sol12": 53,
    "meas_MID00109_FID33066_sol13": 55,
    "meas_MID00101_FID33058_ex01": None,
}


@pytest.mark.parametrize("name", REAL)
def test_real_raw_files_find_their_real_series_and_no_other(samples, real_series, name):
    content = (samples / f"vb19-pairs/{name}.dat").read_bytes()
    walker = Walker(len(content))
    walker.feed(content)
    assert walker.finish().verdict.is_whole
    (measurement,) = walker.measurements
    decision = decide(measurement, real_series.values())
    number = REAL[name]
    assert [real_series[uid].number for uid in decision.series_uids] == ([number] if number else [])
    assert decision.certainty is (SURE if number else STUDY)
    assert sum(bool(index_keys(measurement) & index_keys(s)) for s in real_series.values()) == 3


def test_real_raw_files_of_other_scanners_and_days_find_nothing(samples, real_series):
    others = [*samples.glob("streamed/*.dat"), *samples.glob("ve11*/*.dat")]
    assert len(others) == 8
    for path in others:
        content = path.read_bytes()
        walker = Walker(len(content))
        walker.feed(content)
        decision = decide(walker.measurements[-1], real_series.values())
        assert decision.certainty is NONE, path.name


def test_a_real_spectrum_is_found_though_its_frame_of_reference_names_no_registration(real_series):
    (spectrum,) = [s for s in real_series.values() if s.serial == "166042"]
    first = min(spectrum.ticks)
    raw = replace(
        XA,
        serial="166042",
        study_uid=spectrum.study_uid,
        lprotid=spectrum.lprotid,
        ticks=array("I", range(first - 800, first + 8000, 800)),
    )
    decision = decide(raw, real_series.values())
    assert (decision.certainty, decision.series_uids) == (SURE, (spectrum.series_uid,))
    assert index_keys(raw) & index_keys(spectrum)


@pytest.fixture(scope="module")
def real_series(samples) -> dict[str, Series]:
    return {series.series_uid: series for series in series_below(samples)}
