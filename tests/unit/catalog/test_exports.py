"""Where a scanner shows only exports: a series without raw is not exported, and what goes from there is not lost."""

import pytest
from sqlalchemy import insert, select, update

from kspace.errors import FileVanished
from kspace.records import Audit, Measurement, SourceFile, Verdict
from kspace.sources.settings import Scope
from transfer.catalog import ledger, tables
from transfer.catalog.exported import not_exported
from transfer.catalog.listings import WITHDRAWN, record_listing
from transfer.catalog.lists import alerts
from transfer.feeds.exports import look_for_exports
from transfer.records import Done, Settled
from transfer.selection import Choice, Step
from transfer.stages.vanished import vanished
from transfer.standing import Standing
from transfer.wishes import Rule

RULES = (Rule(name="gradient echoes", project="P", protocols=("gre*",)),)
FILE = SourceFile(path="a.dat", size=5, mtime_ns=1)


@pytest.fixture
def show(database, clock):
    def listed(scope: Scope, *files: SourceFile) -> None:
        record_listing(database, scanner="mr1", source="mr1/1", files=files, at=clock.now(), quiet_s=0.0, scope=scope)

    return listed


@pytest.fixture
def session(store, show, arrive, database, clock):
    """Let a session come with three series of two protocols, and one raw file that is of the first."""

    def come(scope: Scope) -> None:
        show(scope, FILE)
        claim = store.claim("capture")
        measured = Measurement(index=0, offset=0, header_bytes=9, baseline="VE", mid=7, serial="4711", protocol="t1")
        audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
        choice = Choice(step=Step.CAPTURE, is_wanted=True, rule="r", reason="wanted")
        store.commit(claim, Done(Settled(audit, (measured,), choice)))
        arrive("1.2", 1, protocol="t1", lprotid=11)
        arrive("1.2", 2, protocol="t1", lprotid=11)
        arrive("1.2", 3, protocol="gre_field", lprotid=12)
        arrive("1.2", 4, protocol="gre_field", lprotid=13, image_type="DERIVED\\SECONDARY")
        with database.write() as connection:
            study_id = connection.execute(select(tables.study.c.id)).scalar_one()
            connection.execute(
                insert(tables.match).values(
                    capture_id=claim.id, study_id=study_id, series_uid="1.2.1", at=clock.now(), **MATCHED
                )
            )

    return come


MATCHED = {"reason": "x", "certainty": "certain", "actor": "relay"}


def lacking(database) -> list[str]:
    with database.read() as connection:
        ids = connection.execute(select(tables.study.c.id)).scalars().all()
        return [one.series_uid for one in not_exported(connection, ids)]


def told(database) -> list[str]:
    with database.read() as connection:
        return [row["text"] for row in alerts(connection)]


def test_a_series_without_raw_is_not_exported_unless_it_was_computed(session, database):
    session(Scope.EXPORTS)
    assert lacking(database) == ["1.2.3"]


def test_of_a_scanner_that_shows_all_nothing_is_called_not_exported(session, database):
    session(Scope.STORE)
    assert lacking(database) == []


def test_the_badge_says_at_best_as_exported(session, database, clock):
    session(Scope.EXPORTS)
    with database.write() as connection:
        connection.execute(update(tables.capture).values(state="delivered"))
        connection.execute(update(tables.delivery).values(state="verified"))
    with database.read() as connection:
        (one,) = ledger.sessions(connection, now=clock.now())
    assert (one["badge"], one["not_exported"]) == (Standing.AS_EXPORTED, ["1.2.3"])


def test_what_a_rule_wants_and_nobody_exported_is_told_until_it_comes(session, database, clock):
    session(Scope.EXPORTS)
    look_for_exports(rules=lambda: RULES, database=database, clock=clock)
    assert told(database) == [], "somebody may be exporting it just now"
    clock.sleep(3600)
    look_for_exports(rules=tuple, database=database, clock=clock)
    assert told(database) == []
    look_for_exports(rules=lambda: RULES, database=database, clock=clock)
    (said,) = told(database)
    assert "series 3 (gre_field)" in said
    with database.write() as connection:
        connection.execute(update(tables.match).values(series_uid="1.2.3"))
    look_for_exports(rules=lambda: RULES, database=database, clock=clock)
    assert told(database) == []


@pytest.mark.parametrize(
    ("scope", "ends"),
    [
        (Scope.STORE, (FileVanished.code, "critical", Standing.LOST)),
        (Scope.EXPORTS, (WITHDRAWN, "warning", Standing.NEEDS_A_PERSON)),
    ],
)
def test_a_file_that_goes_before_it_was_captured(store, show, clock, scope, ends):
    database = store._database
    show(scope, FILE)
    show(scope)
    claim = store.claim("capture")
    held = vanished(claim.record)
    store.commit(claim, held)
    with database.read() as connection:
        (alert,) = alerts(connection)
        (raw,) = ledger.homeless(connection, now=clock.now())["raw"]
    assert (held.code, alert["severity"], raw["standing"]) == ends
    clock.sleep(60)
    show(scope, FILE)
    assert told(database) == []
    assert store.claim("capture").id == claim.id
