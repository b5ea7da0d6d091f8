"""A world of known truth through the real catalog: its keys lose no candidate, its answers are those of the rule."""

from dataclasses import replace
from itertools import groupby

import pytest

from dicom.join import decide
from dicom.records import Certainty, Instance, Study
from kspace.records import Audit, SourceFile, Verdict
from tests.unit.dicom.join_matrix import decisions
from tests.unit.dicom.join_world import make_world
from transfer.catalog.arrivals import Arrival, record_arrivals
from transfer.catalog.judging import judge
from transfer.records import Done, Settled
from transfer.selection import Choice, Step

SESSIONS = {"sqlite": 100, "postgresql": 20}
FIRM = {Certainty.CERTAIN, Certainty.STUDY_ONLY}


@pytest.fixture
def fill(database, store, clock, list_files, tmp_path):
    """Let everything arrive as it would: each image in its turn, each visit's raw data in a file of its own."""

    def _fill(world) -> None:
        for number in range(0, len(world.series), 50):
            batch = [(one, []) for series in world.series[number : number + 50] for one in _arrivals(series, tmp_path)]
            record_arrivals(database, batch, machine="box-1", clock=clock, quiet_s=1.0)
        visits = groupby(sorted(world.raw, key=_visit), _visit)
        choice = Choice(step=Step.CAPTURE, is_wanted=False, rule=None, reason="Inventory only.")
        audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
        for name, raw in visits:
            list_files(SourceFile(path=name, size=5, mtime_ns=1))
            settled = Settled(audit, tuple(one.measurement for one in raw), choice)
            store.commit(store.claim("capture"), Done(settled))

    return _fill


def _visit(raw) -> str:
    return min(raw.study_uids)


def _arrivals(series, folder):
    """Yield its images; each tells some of the times."""
    uids, ticks = sorted(series.sop_uids), sorted(series.ticks)
    for number, uid in enumerate(uids):
        told = tuple(ticks[number :: len(uids)])
        instance = Instance(sop_uid=uid, sop_class="1.2", transfer_syntax="1.2", ticks=told)
        of = {"study": Study(study_uid=series.study_uid), "series": series, "instance": instance}
        way = {"called_ae": "KSPACE", "calling_ae": "SCANNER"}
        yield Arrival(**of, **way, path=folder / uid, size=5, sha256=uid.ljust(64, "0")[:64])


def test_the_catalog_answers_as_the_rule_does_and_its_keys_lose_no_candidate(database, fill):
    world = make_world(sessions=SESSIONS[database.url.get_backend_name()], seed=4)
    fill(world)
    answers = set()
    for raw, decision in decisions(world, world.series):
        assert judge(database, raw.measurement) == decision, decision.reason
        answers.add(decision.certainty)
    assert answers >= {*FIRM, Certainty.AMBIGUOUS}
    found = 0
    for raw in world.raw[::40]:
        every = decide(raw.measurement, world.series, rivals=[other.measurement for other in world.raw])
        by_keys = judge(database, raw.measurement)
        if FIRM & {every.certainty, by_keys.certainty}:
            assert replace(every, judged=()) == replace(by_keys, judged=())
            found += every.certainty is Certainty.CERTAIN
    assert found > len(world.raw[::40]) / 3
