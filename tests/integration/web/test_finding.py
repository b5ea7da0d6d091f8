"""Looking for sessions: every filter finds what it must and nothing else, page by page."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from tests.integration.webworld import AT, Browser, add_session, page
from transfer.catalog import tables

FILTERS = [
    ("text=HEART_1", {1}),
    ("text=heart%", set()),
    ("project=BRAIN", {2, 3}),
    ("project=HEART&scanner=scanner-heart", {1, 3, 4}),
    ("scanner=scanner-brain", {2}),
    ("badge=needs+a+person", {12}),
    ("badge=on+its+way", {4}),
    ("badge=lost", set()),
    ("badge=complete&project=HEART", {1, 3}),
    ("since=2026-03-10", {20, 21, 22}),
    ("since=2026-03-10&until=2026-03-09", set()),
    ("until=2026-03-01", {1, 2, 3, 4, *range(11, 20), 23}),
]


def _add_more(box):
    with box.database.write() as connection:
        for number in range(11, 71):
            add_session(connection, number, ["LUNG"], state="held" if number == 12 else "retired")
        alike = {"last_arrival_at": AT + timedelta(days=9)}
        connection.execute(update(tables.study).where(tables.study.c.id.in_([20, 21, 22])).values(alike))
        by_hand = {"certainty": "by hand", "reason": "Linked by hand to series 1.", "actor": "Ada", "at": AT}
        connection.execute(insert(tables.match).values(capture_id=70, study_id=70, series_uid="1.2.70.1", **by_hand))


def _found(browser, query):
    return {one["id"] for one in browser.get(f"/api/sessions?{query}").json()["sessions"]}


@pytest.fixture(scope="module")
def boss(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as (server, box), Browser(server) as browser:
        _add_more(box)
        browser.sign_in("boss")
        yield browser


@pytest.mark.parametrize(("query", "found"), FILTERS)
def test_a_filter_finds_what_it_must(query, found, boss):
    assert _found(boss, query) == found
    shown = boss.get(f"/sessions?{query}").text
    assert [number for number in found if f'href="/sessions/{number}"' not in shown] == []


def test_a_session_says_who_linked_what_by_hand_and_when(boss):
    told = {number: boss.get(f"/api/sessions/{number}").json()["measurements"] for number in (69, 70)}
    assert [(one["linked_by"], one["linked_at"]) for one in told[69]] == [(None, None)]
    assert [one["linked_by"] for one in told[70]] == ["Ada"]
    assert told[70][0]["linked_at"].startswith(f"{AT:%Y-%m-%dT%H:%M}")
    assert "linked by hand by Ada, " in boss.get("/sessions/70").text
    assert "linked by hand" not in boss.get("/sessions/69").text


def test_postgresql_finds_the_same(tmp_path, postgres_url):
    with page(tmp_path, catalog=postgres_url) as (server, box), Browser(server) as browser:
        _add_more(box)
        browser.sign_in("boss")
        assert {query: _found(browser, query) for query, _ in FILTERS} == dict(FILTERS)
        with Browser(server) as anna:
            anna.sign_in("anna")
            assert _found(anna, "") == {1, 3, 4}
            for place in ("/", "/sessions/1", "/captures/1", "/captures/2"):
                assert anna.get(place).status_code == (404 if place.endswith("2") else 200)
        line = "/queue?line=destination:central&after=0.0.1"
        more = ("/review", "/review?after=99", "/review/9", "/queue", line, "/pools", "/audit?actor=relay", "/tokens")
        for place in ("/", "/alerts?history=true&after=9", "/sessions/1", "/captures/9", "/settings", *more):
            assert browser.get(place).status_code == 200
        form = browser.form("/")
        assert "Nothing was changed" in browser.get("/sessions?text=%00").text, "no text of PostgreSQL holds it"
        assert browser.post("/captures/4/hold", data={"form": form, "reason": "a\0b"}).status_code == 422


def test_pages_go_on_where_the_last_ended_and_show_each_once(boss):
    seen, after = [], ""
    while True:
        told = boss.get("/api/sessions", params={"after": after}).json()
        seen += [one["id"] for one in told["sessions"]]
        if (after := told["after"]) is None:
            break
    assert seen[:3] == [22, 21, 20]
    assert sorted(seen) == [1, 2, 3, 4, *range(11, 71)]


def test_the_page_leads_on_with_its_filters(boss):
    assert "project=LUNG&amp;after=" in boss.get("/sessions?project=LUNG").text
    assert "Older sessions" not in boss.get("/sessions?project=BRAIN").text


@pytest.mark.parametrize("query", ["badge=new", "since=soon", "after=1", "since=2026-02-31", "colour=red"])
def test_what_cannot_be_is_refused(query, boss):
    for place in ("/sessions", "/api/sessions"):
        assert boss.get(f"{place}?{query}").status_code in {400, 422}
