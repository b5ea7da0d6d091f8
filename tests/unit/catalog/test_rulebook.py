"""The rules of projects: versions that stay as they are, the newest in force at once; beside the configuration's."""

import threading

import pytest
from sqlalchemy import select, update

from kspace.errors import BadInput, NotFound
from kspace.records import Audit, Measurement, SourceFile, Verdict
from transfer.catalog import lists, tables
from transfer.catalog.rulebook import Rulebook
from transfer.records import Done, Settled
from transfer.selection import choose_capture
from transfer.wishes import Rule, Wish

IN_FILE = (Rule(name="knees", project="KNEE", protocols=("knee*",)), Rule(name="heads", project="HEAD"))
GRE = Measurement(index=0, offset=0, header_bytes=9, baseline="VE", protocol="gre")


@pytest.fixture
def book(database):
    return Rulebook(database, configured=IN_FILE)


@pytest.fixture
def save(book, clock):
    def _save(project, *wishes, after, comment="since"):
        return book.save(project, wishes, after=after, comment=comment, actor="central/ann", at=clock.now())

    return _save


def test_the_configuration_decides_until_a_project_speaks_for_itself(book, save, database):
    assert book() == IN_FILE
    assert save("KNEE", Wish(name="nothing", action="exclude"), after=0) == 1
    assert [(rule.project, rule.name, rule.version) for rule in book()] == [
        ("KNEE", "nothing", 1),
        ("HEAD", "heads", None),
    ]
    assert [rule.name for rule in Rulebook(database, configured=())()] == ["nothing"], "other processes see it too"
    assert save("KNEE", after=1) == 2
    assert [rule.name for rule in book()] == ["heads"], "a project may want nothing, whatever the configuration says"


def test_a_decision_tells_whose_version_and_rule_it_was(book, save, database, store, list_files):
    save("BODY", Wish(name="gre", protocols=("gre",)), after=0)
    body = [rule for rule in book() if rule.project == "BODY"]
    list_files(SourceFile(path="0.dat", size=9, mtime_ns=1))
    audit = Audit(verdict=Verdict.COMPLETE_NATIVE, position=5, reason="Whole.")
    claim = store.claim("capture", row_id=1)
    store.commit(claim, Done(Settled(audit, (GRE,), choose_capture(body, GRE, scanner="prisma"))))
    with database.read() as connection:
        (told,) = lists.story(connection, 1)["decisions"]
    assert (told["rule"], told["project"], told["version"]) == ("gre", "BODY", 1)
    assert told["reason"] == "Rule 'gre' of project BODY (version 1) wants protocol 'gre'."


def test_versions_are_kept_with_author_time_and_comment_and_undone_by_a_new_one(book, save, clock, database):
    save("HEART", Wish(name="a"), after=0, comment="first")
    clock.sleep(60)
    save("HEART", Wish(name="b", action="exclude"), after=1)
    assert book.go_back("HEART", 1, after=2, actor="central/ben", at=clock.now()) == 3
    with database.read() as connection:
        found = book.versions(connection, "HEART")
        with pytest.raises(NotFound, match="HEART has no version 4 of its rules; the newest is 3"):
            book.version(connection, "HEART", 4)
        assert book.version(connection, "KNEE").wishes == (Wish(name="knees", protocols=("knee*",)),)
        assert {name: one.version for name, one in book.projects(connection).items()} == {
            "HEART": 3,
            "KNEE": 0,
            "HEAD": 0,
        }
        e = tables.event.c
        query = select(e.actor, e.verb, e.detail).where(e.subject == "rules").order_by(e.id)
        told = connection.execute(query).all()
    assert [(one.version, one.same_as, one.actor) for one in found] == [
        (3, 1, "central/ben"),
        (2, None, "central/ann"),
        (1, None, "central/ann"),
        (0, None, ""),
    ]
    assert (found[0].wishes, found[2].comment, found[1].at) == (found[2].wishes, "first", clock.now())
    assert told == [
        ("central/ann", "rules.saved", "version 1 of HEART"),
        ("central/ann", "rules.saved", "version 2 of HEART"),
        ("central/ben", "rules.restored", "version 3 of HEART"),
    ]
    assert [rule.name for rule in book() if rule.project == "HEART"] == ["a"]


def test_nobody_overwrites_what_somebody_else_saved_meanwhile(book, save, database, clock):
    save("HEART", Wish(name="a"), after=0)
    for after in (0, 2):
        with pytest.raises(BadInput, match="Somebody saved other rules of HEART meanwhile"):
            save("HEART", Wish(name="mine"), after=after)
    said = []

    def at_once(name):
        other = Rulebook(database, configured=())
        try:
            said.append(other.save("HEART", [Wish(name=name)], after=1, comment="", actor=name, at=clock.now()))
        except BadInput as error:
            said.append(str(error))

    threads = [threading.Thread(target=at_once, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count(2) == 1
    assert sum("meanwhile" in str(one) for one in said) == 3


@pytest.fixture
def waiting(arrive, list_files):
    """A raw file and images of project P."""
    arrive("1.2", 1)
    list_files(SourceFile(path="0.dat", size=9, mtime_ns=1))


@pytest.mark.usefixtures("waiting")
def test_what_waits_captured_for_a_project_is_asked_about_at_once(save, database, clock):
    c, m, later = tables.capture.c, tables.match, clock.now().replace(year=2027)
    joined = {"capture_id": 1, "study_id": 1, "certainty": "certain", "reason": "", "actor": "relay", "at": clock.now()}
    with database.write() as connection:
        connection.execute(m.insert().values(**joined))
        connection.execute(update(tables.capture).values(state="matched", due_at=later))
    save("OTHER", Wish(name="a"), after=0)
    with database.read() as connection:
        assert connection.execute(select(c.due_at)).scalar_one() == later
    save("P", Wish(name="a"), after=0)
    with database.read() as connection:
        assert connection.execute(select(c.due_at)).scalar_one() == clock.now()
