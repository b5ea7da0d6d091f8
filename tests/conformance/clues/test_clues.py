"""What every clue must hold to, whatever it compares: run over each plug-in the registry finds."""

from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom import evidence
from dicom.clue import Clue, Strength
from dicom.join import default_clues, index_keys
from dicom.records import Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import plugins

SERIALS = st.sampled_from(["35287", "45385"])
UIDS = st.sampled_from(["1.2.1", "1.2.2", "1.2.3"])
FRAMES = st.builds(
    "1.3.12.2.1107.5.2.32.{}.{}.2024032214074829{}.0.0.0".format, SERIALS, st.sampled_from("12"), st.sampled_from("67")
)
DIGESTS = st.sampled_from(["0" * 16, "1" * 16])
UUIDS = st.sampled_from([f"4f0c2f3e-8a61-4c7b-9f10-3d2b6a5e7c8{n}" for n in "1aA"])
TICKS = st.integers(0, 40)
MEASUREMENTS = st.builds(
    Measurement,
    index=st.just(0),
    offset=st.just(0),
    header_bytes=st.just(0),
    baseline=st.sampled_from(["VB", "XA"]),
    serial=st.none() | SERIALS,
    protocol=st.none() | st.sampled_from(["Doe^Jane", "sol12"]),
    lprotid=st.none() | st.integers(-2, 2),
    protocol_digest=st.none() | DIGESTS,
    free_uuid=st.none() | UUIDS,
    frame_of_reference=st.none() | FRAMES,
    study_uid=st.none() | UIDS,
    reference_image_uids=st.lists(UIDS, max_size=3).map(tuple),
    ticks=st.lists(TICKS, max_size=5).map(lambda found: array("I", sorted(found))),
)
SERIES = st.builds(
    Series,
    series_uid=UIDS,
    study_uid=UIDS,
    number=st.none() | st.integers(1, 99),
    description=st.just("Doe^Jane"),
    protocol=st.none() | st.sampled_from(["Doe^Jane", "sol12"]),
    serial=st.none() | SERIALS,
    lprotid=st.none() | st.integers(-2, 2),
    protocol_digest=st.none() | DIGESTS,
    free_uuid=st.none() | UUIDS,
    frame_of_reference=st.none() | FRAMES,
    sop_uids=st.frozensets(UIDS, max_size=3),
    ticks=st.frozensets(TICKS, max_size=5),
)
NOTHING = Measurement(index=0, offset=0, header_bytes=0, baseline="VB")


@pytest.fixture(scope="module", params=default_clues(), ids=lambda clue: clue.name)
def clue(request) -> Clue:
    return request.param


def test_a_clue_is_found_by_its_name(clue):
    plugin = plugins(evidence)[clue.name]
    assert isinstance(plugin.build(plugin.settings()), type(clue))


def test_what_is_missing_is_silent_and_has_no_key(clue):
    bare = Series(series_uid="1", study_uid="2")
    assert clue.judge(NOTHING, bare).weight is Weight.SILENT
    assert clue.keys_of_measurement(NOTHING) == frozenset()


@given(data=st.data())
def test_evidence_says_whose_it_is(clue, data):
    said = clue.judge(data.draw(MEASUREMENTS), data.draw(SERIES))
    assert (said.clue, said.level) == (clue.name, clue.level)
    assert said.detail
    assert "Doe" not in said.detail


@given(data=st.data())
def test_a_shared_key_and_support_are_the_same(clue, data):
    measurement, series = data.draw(MEASUREMENTS), data.draw(SERIES)
    ours, theirs = clue.keys_of_measurement(measurement), clue.keys_of_series(series)
    supports = clue.judge(measurement, series).weight is Weight.SUPPORTS
    if ours & theirs:
        assert supports
    elif ours and theirs and clue.level is not Level.MEASUREMENT:
        assert not supports


@given(data=st.data())
def test_keys_are_few_and_name_nobody(clue, data):
    measurement, series = data.draw(MEASUREMENTS), data.draw(SERIES)
    ours, theirs = clue.keys_of_measurement(measurement), clue.keys_of_series(series)
    assert len(ours) <= 3
    assert len(theirs) <= max(1, len(series.sop_uids))
    assert not [key for key in ours | theirs if "Doe" in key]


@given(data=st.data())
def test_keys_of_instances_add_up_to_those_of_the_series(clue, data):
    series = data.draw(SERIES)
    single = [replace(series, sop_uids=frozenset({uid}), ticks=frozenset()) for uid in series.sop_uids]
    single += [replace(series, sop_uids=frozenset(), ticks=frozenset({tick})) for tick in series.ticks]
    whole = frozenset().union(*(clue.keys_of_series(one) for one in single))
    assert whole == clue.keys_of_series(series) or not single


@given(measurement=MEASUREMENTS, series=SERIES)
def test_prefixes_tell_the_clues_apart(measurement, series):
    for side, keys in ((measurement, "keys_of_measurement"), (series, "keys_of_series")):
        parts = [getattr(clue, keys)(side) for clue in default_clues()]
        assert index_keys(side) == frozenset().union(*parts)
        prefixes = [{key.split(":")[0] for key in part} for part in parts]
        assert sum(map(len, prefixes)) == len(set().union(*prefixes))


def test_both_strengths_are_there():
    assert {clue.strength for clue in default_clues()} == set(Strength)
