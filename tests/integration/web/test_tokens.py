"""Tokens for programs: shown once, kept as a digest, never above the rights of their person, and ended for ever."""

import re
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select, update

from tests.integration.webworld import LOCAL_PASSWORD, PEOPLE, Browser, page
from transfer.app.web.signin import LOCAL
from transfer.catalog.web_tables import token


@pytest.fixture
def served(tmp_path):
    with page(tmp_path) as running:
        yield running


@pytest.fixture
def make(served):
    """Let somebody sign in, make a token and leave; return the token."""

    def made(name, **given):
        with Browser(served[0]) as browser:
            assert browser.sign_in(name, **given).status_code == 303
            asked = {"form": browser.form("/tokens"), "name": "nightly", "days": "30"}
            return re.search(r'id="given">(kspace_[\w-]+)<', browser.post("/tokens", data=asked).text)[1]

    return made


@pytest.fixture
def get(served):
    def got(place, given, **more):
        headers = {"Authorization": f"Bearer {given}"}
        return httpx.get(f"{served[0].url}{place}", headers=headers, trust_env=False, timeout=30, **more)

    return got


def _rows(box):
    with box.database.read() as connection:
        return connection.execute(select(token)).mappings().all()


def _shift(box, **values):
    with box.database.write() as connection:
        connection.execute(update(token).values(**values))


def _archive(box, name):
    return httpx.Client(base_url=box.config.destination[0]["url"], auth=(name, name * 2), trust_env=False)


@pytest.mark.parametrize("name", [*PEOPLE, "boss"])
def test_a_token_reads_what_its_person_reads(name, served, make, get):
    given = make(name)
    with Browser(served[0]) as browser:
        browser.sign_in(name)
        places = [
            f"{api}/{kind}/{n}" for api in ("", "/api") for kind in ("sessions", "captures") for n in (1, 2, 3, 9)
        ]
        places += ["/api/home", "/api/alerts", "/captures/1/receipts/2", "/captures/2/receipts/4", "/api/sessions"]
        assert {p: get(p, given).status_code for p in places} == {p: browser.get(p).status_code for p in places}


def test_a_token_changes_nothing(served, make, get):
    given = make("anna")
    form = re.search(r'name="form" value="([^"]+)"', get("/captures/4", given).text)[1]
    headers = {"Authorization": f"Bearer {given}"}
    for place in ("/captures/4/hold", "/tokens", "/sign-out"):
        answer = httpx.post(f"{served[0].url}{place}", headers=headers, data={"form": form, "reason": "x"})
        assert answer.status_code == 403
    assert get("/api/captures/4", given).json()["state"] == "planned"


def test_neither_the_token_nor_what_it_opens_is_in_the_catalog(served, make):
    given = make("anna")
    (row,) = _rows(served[1])
    with _archive(served[1], "anna") as anna:
        secrets = [one["secret"] for one in anna.get("/data/services/tokens/show").json()]
    assert secrets
    assert given.encode() not in bytes(str(dict(row)), "utf-8") + row["sealed"]
    assert not any(secret.encode() in row["sealed"] for secret in secrets)


def test_what_the_archive_takes_away_is_gone(served, make, get):
    given, box = make("anna"), served[1]
    assert get("/api/captures/1", given).status_code == 200
    with _archive(box, "anna") as anna:
        for one in anna.get("/data/services/tokens/show").json():
            anna.get(f"/data/services/tokens/invalidate/{one['alias']}")
    served[0].app.state.site.tokens._asked.clear()
    assert get("/api/captures/1", given).status_code == 401
    (row,) = _rows(box)
    assert row["ended_by"] == "relay"
    assert row["sealed"] is None
    assert get("/api/captures/1", given).status_code == 401


def test_a_token_that_is_used_is_renewed_at_the_archive(served, make, get):
    given, box = make("anna"), served[1]
    before = _rows(box)[0]["sealed"]
    _shift(box, issued_at=box.clock.now() - timedelta(hours=2))
    assert get("/api/home", given).status_code == 200
    (row,) = _rows(box)
    assert row["sealed"] != before
    assert row["used_at"] is not None
    served[0].app.state.site.tokens._asked.clear()
    assert get("/api/home", given).status_code == 200, "what it was renewed to lets in"


def test_it_ends_with_its_time_by_its_person_and_by_an_administrator(served, make, get):
    box = served[1]
    tokens = [make("anna") for _ in range(3)] + [make("berta")]
    with Browser(served[0]) as anna, Browser(served[0]) as berta, Browser(served[0]) as boss:
        for browser, name in ((anna, "anna"), (berta, "berta"), (boss, "boss")):
            browser.sign_in(name)
        assert {one["actor"] for one in anna.get("/api/tokens").json()["tokens"]} == {"central/anna"}
        assert len(boss.get("/api/tokens").json()["tokens"]) == 4
        forms = {browser: {"form": browser.form("/tokens")} for browser in (anna, berta, boss)}
        assert berta.post("/tokens/1/end", data=forms[berta]).status_code == 404
        assert berta.post("/tokens/end", data=forms[berta]).status_code == 403
        assert anna.post("/tokens/1/end", data=forms[anna]).status_code == 303
        assert boss.post("/tokens/2/end", data=forms[boss]).status_code == 303
        assert [get("/api/home", one).status_code for one in tokens] == [401, 401, 200, 200]
        assert boss.post("/tokens/end", data=forms[boss]).status_code == 303
        assert [get("/api/home", one).status_code for one in tokens] == [401] * 4
        last = make("anna")
        _shift(box, expires_at=box.clock.now())
        assert get("/api/home", last).status_code == 401


def test_no_token_without_a_name_or_for_ever_or_without_end(served):
    with Browser(served[0]) as browser:
        browser.sign_in("anna")
        form = {"form": browser.form("/tokens")}
        for wrong in ({"name": " ", "days": "30"}, {"name": "x", "days": "9999"}):
            assert browser.post("/tokens", data=form | wrong).status_code == 400
        made = [browser.post("/tokens", data=form | {"name": "x", "days": "7"}).status_code for _ in range(21)]
        assert made == [200] * 20 + [400]


def test_the_local_administrators_token_ends_with_the_account(served, make, get):
    given = make("admin", password=LOCAL_PASSWORD, where=LOCAL)
    site = served[0].app.state.site
    assert get("/api/alerts", given).status_code == 200
    site.tokens._asked.clear()
    site.tokens._people = type(site.tokens._people)(xnats={}, admins=(), has_local=False)
    assert get("/api/alerts", given).status_code == 401
    assert get("/api/alerts", "kspace_no").status_code == 401
