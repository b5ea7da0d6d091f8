"""Rules on the page, as forms send them: drafted, rehearsed, saved, undone; each act with its actor."""

import re

import pytest
from sqlalchemy import select, update

from tests.integration.webworld import Browser, happen_now, page
from transfer.catalog import tables
from transfer.wishes import Wish

ON_BOTH = pytest.mark.parametrize("served", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def served(request, tmp_path):
    """The page; the raw file of session 3, of HEART and BRAIN, was skipped and is still on its scanner."""
    is_postgres = getattr(request, "param", "sqlite") == "postgresql"
    url = request.getfixturevalue("postgres_url") if is_postgres else ""
    with page(tmp_path, catalog=url) as (server, box):
        c = tables.capture.c
        with box.database.write() as connection:
            happen_now(connection, box.clock.now())
            gone = {"state": "skipped", "sha256": None, "stored_bytes": None}
            connection.execute(update(tables.capture).where(c.id == 3).values(gone))
        yield server, box


@pytest.fixture
def dora(served):
    with Browser(served[0]) as browser:
        browser.sign_in("dora")
        yield browser


@pytest.fixture
def send(dora):
    def _send(act: str, /, **given):
        form = {"form": dora.form("/projects/HEART"), **given}
        return dora.post(f"/projects/HEART/{act}", data=form)

    return _send


def _toml(text: str) -> str:
    return re.search(r'name="toml" hidden[^>]*>\n(.*?)</textarea>', text, re.DOTALL)[1].replace("&#34;", '"')


def _fields(*rules: tuple[str, str, str]) -> dict[str, list[str]]:
    names, actions, protocols = zip(*rules, strict=True)
    others = {"scanner": ["*"] * len(rules), "dependencies": ["no"] * len(rules)}
    return {"name": list(names), "action": list(actions), "protocols": list(protocols), **others}


@ON_BOTH
def test_what_is_ticked_is_rehearsed_saved_and_in_force_at_once(served, dora, send):
    box = served[1]
    assert "No rules yet" in dora.get("/projects/HEART").text
    rehearsed = send("draft", act="pick", shown=["gre_heart", "of nobody"], tick=["gre_heart", "of nobody"]).text
    assert "3 files captured" in rehearsed
    assert "The rules in force: none." in rehearsed
    toml = _toml(rehearsed)
    assert "of nobody" not in toml, "only what ran can be ticked"
    assert send("rules", toml=toml, after=0).status_code == 400, "a comment is asked for"
    assert box.rules() == ()
    assert send("rules", toml=toml, after=0, comment="the pilot").status_code == 303
    (rule,) = box.rules()
    assert (rule.project, rule.name, rule.protocols, rule.version) == ("HEART", "picked", ("gre_heart",), 1)
    late = send("rules", toml="", after=0, comment="too late")
    assert (late.status_code, "Somebody saved other rules" in late.text) == (400, True)
    told = dora.get("/api/projects/HEART").json()
    assert [(one["version"], one["actor"], one["comment"]) for one in told["versions"][:1]] == [
        (1, "central/dora", "the pilot")
    ]
    assert [(one["name"], one["files"], one["there"], one["now"]) for one in told["protocols"]] == [
        ("gre_heart", 3, 1, True)
    ]


@ON_BOTH
def test_older_files_on_a_scanner_are_captured_on_a_persons_word_and_no_others(served, dora, send):
    box = served[1]
    with box.database.write() as connection:
        gone = {"state": "skipped", "sha256": None, "stored_bytes": None}
        connection.execute(update(tables.capture).where(tables.capture.c.id.in_([2, 9])).values(gone))
    assert send("backfill").status_code == 303, "without rules there is nothing to capture"
    box.rules.save("HEART", [Wish(name="all")], after=0, comment="", actor="x", at=box.clock.now())
    assert "1 older file" in dora.get("/projects/HEART").text
    assert send("backfill").status_code == 303
    c, e = tables.capture.c, tables.event.c
    with box.database.read() as connection:
        states = dict(connection.execute(select(c.id, c.state).where(c.id.in_([2, 3, 9]))).all())
        asked = select(e.actor, e.subject_id).where(e.verb == "capture.reopened")
        assert connection.execute(asked).all() == [("central/dora", 3)]
    assert states == {2: "skipped", 3: "found", 9: "skipped"}, "those of other sessions stay as they are"


def test_a_draft_is_arranged_and_nothing_is_saved(served, send):
    rules = (("a", "include", "gre*\n t1*"), ("b", "exclude", "*"))
    order = r'name="name" value="([^"]*)"'
    assert re.findall(order, send("draft", act="down-0", **_fields(*rules)).text) == ["b", "a"]
    assert re.findall(order, send("draft", act="up-0", **_fields(*rules)).text) == ["a", "b"]
    assert re.findall(order, send("draft", act="remove-0", **_fields(*rules)).text) == ["b"]
    added = send("draft", act="add", **_fields(*rules)).text
    assert re.findall(order, added) == ["a", "b", "rule 1"]
    assert "Not saved yet" in added
    rehearsed = send("draft", act="rehearse", **_fields(*rules)).text
    assert _toml(rehearsed).count("[[rule]]") == 2
    assert '"gre*", "t1*"' in _toml(rehearsed)
    bad = send("draft", act="rehearse", **_fields(("a", "include", "^gre")))
    assert (bad.status_code, "regular expression" in bad.text) == (400, True)
    assert send("draft", act="rehearse", name="a").status_code == 400
    assert "It is no TOML" in send("draft", act="import", toml="[[").text
    assert "nothing to save" not in send("draft", act="import", toml='[[rule]]\nname = "x"\n').text
    assert served[1].rules() == ()


def test_versions_are_compared_given_as_files_and_gone_back_to(served, dora, send):
    box = served[1]
    for after, name in enumerate(("first", "second")):
        box.rules.save("HEART", [Wish(name=name)], after=after, comment="", actor="x", at=box.clock.now())
    told = dora.get("/api/projects/HEART/compare").json()
    assert (told["old"], told["new"]) == (1, 2)
    assert [(one["what"], one["name"]) for one in told["rules"]] == [("added", "second"), ("removed", "first")]
    assert "second" in dora.get("/projects/HEART/compare?old=0&new=2").text
    assert dora.get("/projects/HEART/compare?new=7").status_code == 404
    given = dora.get("/projects/HEART/rules.toml?version=1")
    assert given.text.startswith("# Rules of HEART, version 1\n\n[[rule]]\n")
    assert send("undo", version=1, after=1).status_code == 400
    assert send("undo", version=2, after=2).status_code == 400
    assert send("undo", version=1, after=2).status_code == 303
    assert [rule.name for rule in box.rules()] == ["first"]
    e = tables.event.c
    with box.database.read() as connection:
        acts = connection.execute(select(e.actor, e.verb).where(e.subject == "rules").order_by(e.id)).all()
    assert acts[-1] == ("central/dora", "rules.restored")


def test_a_programme_rehearses_what_it_brings(served, dora):
    given = {"rules": [{"name": "gre", "protocols": ["gre*"]}], "weeks": 1}
    served[1].steering().limit("destination:central", 12.5, actor="central/boss")
    told = dora.post("/api/projects/HEART/rehearsal", json=given).json()
    assert (told["then"]["files"], told["now"]["files"]) == (3, 0)
    assert (told["line"]["mbit_per_s"], told["line"]["is_configured"]) == (12.5, True), "the queue's limit counts"
    for mistaken in ("{}", r'{"name": "\ud800", "colour": 1}'):
        sent = {"content": f'{{"rules": [{mistaken}]}}', "headers": {"Content-Type": "application/json"}}
        assert dora.post("/api/projects/HEART/rehearsal", **sent).status_code == 400


def test_whoever_drafts_over_what_somebody_saved_meanwhile_is_told(served, dora, send):
    old, new = (Wish(name=name, protocols=("gre*",)) for name in ("old", "new"))
    begun = re.search(r'name="begun" value="(\d+)"', dora.get("/projects/HEART").text)[1]
    draft = {"act": "rehearse", "begun": begun, **_fields(("old", "include", "gre*"))}
    assert "meanwhile" not in send("draft", **draft).text
    saved = {"comment": "x", "actor": "central/emil", "at": served[1].clock.now()}
    served[1].rules.save("HEART", (old, new), after=0, **saved)
    told = send("draft", **draft).text
    assert "central/emil saved version 1 meanwhile" in told
    carried = re.search(r'name="begun" value="(\d+)"', told)[1]
    looked = send("draft", act="look", begun=carried, toml=_toml(told)).text
    assert 'name="begun" value="0"' in looked, "who goes on is told again"


def test_the_page_never_lets_identified_raw_leave(served, send):
    toml = '[[rule]]\nname = "a"\nidentified_raw = { allowed_by = "Me, myself", on = 2026-01-31 }\n'
    assert "is said in the relay" in send("rules", toml=toml, after=0, comment="x").text
    assert all(rule.identified_raw == "hold" for rule in served[1].rules())


def test_how_rules_of_other_projects_are_called_is_theirs_alone(served, dora):
    server, box = served
    said = "Rule 'secret plan' of project BRAIN (version 1) wants protocol 'gre_heart'."
    decided = {"step": "capture", "is_wanted": True, "rule": "secret plan", "project": "BRAIN", "version": 1}
    with box.database.write() as connection:
        about = {"capture_id": 1, "reason": said, "at": box.clock.now(), **decided}
        connection.execute(tables.decision.insert().values(about))
        connection.execute(update(tables.capture).where(tables.capture.c.id == 1).values(reason=said))
    with Browser(server) as anna:
        anna.sign_in("anna")
        told = anna.get("/api/captures/1")
        assert "secret plan" not in told.text
        assert told.json()["reason"] == told.json()["decisions"][-1]["reason"] == "A rule of another project decided."
    assert said in dora.get("/api/captures/1").text, "she is a member there too"


def test_a_name_that_two_archives_have_is_an_administrators_to_rule(tmp_path):
    """Whoever makes a project of the same name elsewhere must not decide what this one keeps."""
    with page(tmp_path, second=True) as (server, box), Browser(server) as dora, Browser(server) as boss:
        dora.sign_in("dora")
        boss.sign_in("boss")
        given = {"after": 0, "comment": "x", "toml": '[[rule]]\nname = "a"\n'}
        told = dora.post("/projects/BRAIN/rules", data={"form": dora.form("/"), **given})
        assert told.status_code == 403, "BRAIN is in two archives, and she is no owner"
        with box.database.write() as connection:
            also = {"study_id": 1, "destination": "second", "project": "HEART"}
            connection.execute(tables.target.insert().values(also))
        assert "more than one archive" in dora.get("/projects/HEART").text
        assert dora.post("/projects/HEART/rules", data={"form": dora.form("/"), **given}).status_code == 403
        assert box.rules() == ()
        assert boss.post("/projects/HEART/rules", data={"form": boss.form("/"), **given}).status_code == 303
        assert [rule.project for rule in box.rules()] == ["HEART"]
