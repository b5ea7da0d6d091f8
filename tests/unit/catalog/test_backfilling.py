"""Backfill: what a changed rule wants and the scanner still has is looked at again, by a person's word, and no more."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from kspace.errors import NotFound
from kspace.records import Audit, Measurement, SourceFile, Verdict
from transfer.backfilling import backfill
from transfer.catalog import lists, tables
from transfer.records import Done, Settled
from transfer.selection import Choice, Step
from transfer.wishes import Rule

WHOLE = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
RULES = (
    Rule(name="knees", project="KNEE", protocols=("knee*",)),
    Rule(name="heads", project="HEAD", protocols=("t1",)),
)


def choice(*, is_wanted: bool) -> Choice:
    return Choice(step=Step.CAPTURE, is_wanted=is_wanted, rule=None, reason="Inventory only.")


@pytest.fixture
def settle(store, list_files, clock):
    """Settle one more file on the share, each an hour after the one before."""
    there: list[SourceFile] = []

    def _settle(protocol: str, *, is_wanted: bool = False) -> int:
        clock.sleep(3600)
        there.append(SourceFile(path=f"{len(there)}.dat", size=1000 + len(there), mtime_ns=1))
        list_files(*there)
        image = Measurement(index=0, offset=0, header_bytes=9, baseline="VE", protocol=protocol)
        claim = store.claim("capture", row_id=len(there))
        store.commit(claim, Done(Settled(WHOLE, (image,), choice(is_wanted=is_wanted))))
        return len(there)

    return _settle


@pytest.fixture
def ask(database, clock):
    def _ask(*, hours=1000, rules=RULES, project=None, is_dry=False):
        since = clock.now() - timedelta(hours=hours)
        return backfill(database, rules=rules, since=since, project=project, actor="ann", clock=clock, is_dry=is_dry)

    return _ask


def _states(database) -> dict[int, str]:
    with database.read() as connection:
        return {row["id"]: row["state"] for row in lists.captures(connection)}


def test_what_a_rule_wants_now_is_looked_at_again_with_the_persons_name(database, settle, ask):
    settle("knee left")
    settle("abdomen")
    settle("t1", is_wanted=True)
    assert [one.capture_id for one in ask(is_dry=True)] == [1]
    assert _states(database) == {1: "skipped", 2: "skipped", 3: "settled"}
    (found,) = ask()
    assert (found.path, found.size, found.is_gone) == ("0.dat", 1000, False)
    assert _states(database) == {1: "found", 2: "skipped", 3: "settled"}
    assert ask() == []
    e = tables.event.c
    with database.read() as connection:
        told = connection.execute(select(e.actor, e.before, e.after).where(e.verb == "capture.reopened")).all()
    assert told == [("ann", "skipped", "found")]


def test_only_what_was_seen_since_then_and_what_the_project_wants(database, settle, ask):
    settle("knee left")
    settle("t1")
    settle("knee right")
    assert [one.capture_id for one in ask(hours=1, is_dry=True)] == [2, 3]
    assert [one.capture_id for one in ask(project="KNEE")] == [1, 3]
    assert _states(database) == {1: "found", 2: "skipped", 3: "found"}
    with pytest.raises(NotFound, match="No rule is of project FOOT"):
        ask(project="FOOT")


def test_what_is_gone_is_told_and_left_alone(database, settle, ask, list_files):
    settle("knee left")
    list_files()
    (found,) = ask()
    assert found.is_gone
    assert _states(database) == {1: "skipped"}


def test_the_same_bytes_as_another_are_not_captured_again(database, settle, ask):
    settle("knee left")
    with database.write() as connection:
        connection.execute(tables.capture.update().values(sha256="0" * 64))
    assert ask() == []
