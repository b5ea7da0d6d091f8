"""Who may what: every address of the page and of its JSON, asked by everybody."""

import re

import pytest

from tests.integration.webworld import PEOPLE, Browser, page
from transfer.app.web import build

WHO = ("nobody", "carl", "anna", "berta", "dora", "boss")
_ALL, _BOSS = (200,) * 5, (403, 403, 403, 403, 200)
_HEART, _BRAIN = (200, 200, 404, 200, 200), (404, 404, 200, 200, 200)
_NOWHERE, _UNSEEN = (404,) * 5, (404, 404, 404, 404, 200)


def _page(rules):
    return {place: (303, *answers) for place, answers in rules.items()}


def _twins(template, rules):
    """A page and its JSON have the same rule; who is not signed in is led to the door, or refused."""
    yield ("GET", template), _page(rules)
    twin = {f"/api{place}": (401, *answers) for place, answers in rules.items()}
    yield ("GET", f"/api{template}"), twin


MATRIX = {
    ("GET", "/"): _page({"/": _ALL}),
    ("GET", "/api/home"): {"/api/home": (401, *_ALL)},
    ("GET", "/api/openapi.json"): {"/api/openapi.json": (401, *_ALL)},
    ("GET", "/sign-in"): {"/sign-in": (200,) * 6},
    ("POST", "/sign-in"): {"/sign-in": (403,) * 6},
    ("POST", "/sign-out"): _page({"/sign-out": (403,) * 5}),
    **dict(_twins("/sessions", {"/sessions": _ALL})),
    **dict(
        _twins(
            "/sessions/{number}",
            {"/sessions/1": _HEART, "/sessions/2": _BRAIN, "/sessions/3": _HEART, "/sessions/77": _NOWHERE},
        )
    ),
    **dict(_twins("/captures/{number}", {"/captures/1": _HEART, "/captures/2": _BRAIN, "/captures/9": _UNSEEN})),
    ("GET", "/captures/{number}/receipts/{delivery}"): _page(
        {
            "/captures/1/receipts/2": _HEART,
            "/captures/2/receipts/4": _BRAIN,
            "/captures/1/receipts/4": _NOWHERE,
            "/captures/3/receipts/8": _UNSEEN,
        }
    ),
    ("GET", "/captures/{number}/quick-look.png"): _page(
        {"/captures/1/quick-look.png": (404,) * 5, "/captures/9/quick-look.png": (404,) * 5}
    ),
    # There is nothing to draw, which only who sees it is told.
    ("POST", "/captures/{number}/quick-look"): _page(
        {"/captures/1/quick-look": (400, 400, 404, 400, 400), "/captures/9/quick-look": (404, 404, 404, 404, 400)}
    ),
    # Nothing of them can be retried, which only who may retry is told.
    ("POST", "/captures/{number}/{act}"): _page(
        {
            "/captures/1/retry": (403, 400, 404, 400, 400),
            "/captures/2/retry": (404, 404, 400, 400, 400),
            "/captures/3/retry": (403, 403, 404, 403, 400),
            "/captures/1/delete": (422,) * 5,
        }
    ),
    ("POST", "/sessions/{number}/assign"): _page({"/sessions/1/assign": (403, 403, 403, 403, 400)}),
    **dict(_twins("/review", {"/review": _ALL})),
    **dict(
        _twins(
            "/review/{number}",
            {
                "/review/1": _HEART,
                "/review/2": _BRAIN,
                "/review/3": _HEART,
                "/review/9": _UNSEEN,
                "/review/77": _NOWHERE,
            },
        )
    ),
    # What is of a project is linked by its members, from and to projects of theirs alone; what is linked is no number.
    ("POST", "/review/{number}/{act}"): _page(
        {
            "/review/1/link": (403, 400, 404, 400, 404),
            "/review/3/link": (403, 403, 404, 403, 404),
            "/review/9/unlink": (404, 404, 404, 404, 400),
            "/review/3/undo": (403, 403, 404, 403, 400),
            "/review/9/undo": (404, 404, 404, 404, 400),
            "/review/1/delete": (422,) * 5,
        }
    ),
    **dict(_twins("/queue", {"/queue": _BOSS, "/queue?line=scanner:none": (403, 403, 403, 403, 404)})),
    ("POST", "/queue/steer"): _page({"/queue/steer": (403, 403, 403, 403, 404)}),
    ("POST", "/queue/turn"): _page({"/queue/turn": (403, 403, 403, 403, 404)}),
    **dict(_twins("/pools", {"/pools": _BOSS})),
    **dict(_twins("/settings", {"/settings": _BOSS})),
    ("POST", "/settings/test"): _page({"/settings/test": (403, 403, 403, 403, 400)}),
    **dict(_twins("/audit", {"/audit": _BOSS})),
    **dict(_twins("/alerts", {"/alerts": _BOSS})),
    **dict(_twins("/tokens", {"/tokens": _ALL})),
    ("POST", "/tokens"): _page({"/tokens": (400,) * 5}),
    ("POST", "/tokens/end"): _page({"/tokens/end": (403, 403, 403, 403, 303)}),
    ("POST", "/tokens/{number}/end"): _page({"/tokens/77/end": _NOWHERE}),
    **dict(_twins("/projects", {"/projects": _ALL})),
    **dict(_twins("/projects/{name}", {"/projects/HEART": _HEART, "/projects/BRAIN": _BRAIN, "/projects/X": _NOWHERE})),
    **dict(_twins("/projects/{name}/compare", {"/projects/HEART/compare": _HEART, "/projects/BRAIN/compare": _BRAIN})),
    ("GET", "/projects/{name}/rules.toml"): _page({"/projects/BRAIN/rules.toml": _BRAIN}),
    # Owners and administrators get as far as to be told that a word is missing, or that there is nothing.
    ("POST", "/projects/{name}/draft"): _page({"/projects/HEART/draft": (403, 403, 404, 200, 200)}),
    ("POST", "/projects/{name}/rules"): _page({"/projects/HEART/rules": (403, 403, 404, 400, 400)}),
    ("POST", "/projects/{name}/undo"): _page({"/projects/BRAIN/undo": (404, 404, 400, 403, 400)}),
    ("POST", "/projects/{name}/backfill"): _page({"/projects/HEART/backfill": (403, 403, 404, 303, 303)}),
    ("POST", "/api/projects/{name}/rehearsal"): {"/api/projects/HEART/rehearsal": (401, 422, 422, 422, 422, 422)},
    ("POST", "/alerts/acknowledge"): _page({"/alerts/acknowledge": (403, 403, 403, 403, 404)}),
    ("GET", "/static"): {"/static/relay.css": (200,) * 6, "/static/../site.py": (404,) * 6},
}
"""What each gets: a door (303), an answer, or a refusal; what is not theirs is not there (404)."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="module")
def browsers(served):
    made = {name: Browser(served[0]) for name in WHO}
    for name in WHO[1:]:
        assert made[name].sign_in(name).status_code == 303
    yield made
    for browser in made.values():
        browser.close()


@pytest.fixture(scope="module")
def forms(browsers):
    return {name: browser.form("/") for name, browser in browsers.items()}


def _routes(routes):
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from _routes(router.routes)
        else:
            for method in getattr(route, "methods", None) or {"GET"}:
                yield method, route.path


def test_every_route_has_its_rule(served):
    assert set(_routes(build(served[1]).routes)) == set(MATRIX)


@pytest.mark.parametrize(("method", "place"), [(m, place) for (m, _), places in MATRIX.items() for place in places])
def test_an_address_answers_whom_it_must(method, place, browsers, forms):
    wanted = next(places[place] for (m, _), places in MATRIX.items() if m == method and place in places)
    forged = place in {"/sign-in", "/sign-out"}
    got = []
    for name, browser in browsers.items():
        given = {"form": "" if forged else forms[name], "key": "none", "note": "seen to", "scan": "x"}
        got.append(browser.request(method, place, **({"data": given} if method == "POST" else {})).status_code)
    assert dict(zip(WHO, got, strict=True)) == dict(zip(WHO, wanted, strict=True))


def test_nothing_of_a_foreign_project_is_on_any_page(browsers):
    places = [p for (m, _), ps in MATRIX.items() for p in ps if m == "GET" and "static" not in p and "openapi" not in p]
    foreign = {"anna": r"(?i)brain|nobody", "berta": r"(?i)heart|nobody", "carl": r"(?i)brain|nobody"}
    for name, pattern in foreign.items():
        shown = {place: browsers[name].get(place).text for place in places}
        assert [place for place, text in shown.items() if re.search(pattern, text)] == []
    assert "heart_1" in browsers["anna"].get("/sessions").text
    assert set(foreign) < set(PEOPLE)


def test_no_filter_tells_where_else_a_session_goes(browsers):
    asked = {"boss": {2, 3}, "anna": set(), "dora": {2}}
    for name, found in asked.items():
        told = browsers[name].get("/api/sessions?project=BRAIN").json()
        assert {one["id"] for one in told["sessions"]} == found
    assert browsers["anna"].get("/api/home").json().keys() & {"alerts", "pools", "lost", "captures"} == set()


def test_a_form_of_another_site_or_visit_changes_nothing(browsers):
    anna, boss = browsers["anna"], browsers["boss"]
    mine = {"form": anna.form("/"), "reason": "to look at it"}
    assert anna.post("/captures/4/hold", data=mine | {"form": boss.form("/")}).status_code == 403
    assert anna.post("/captures/4/hold", data=mine, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert anna.post("/captures/4/hold", data=mine | {"reason": "x" * 70_000}).status_code == 413
    assert anna.get("/api/captures/4").json()["state"] == "planned"


def test_who_may_holds_and_retries_under_their_own_name(browsers):
    anna = browsers["anna"]
    form = {"form": anna.form("/")}
    assert anna.post("/captures/4/hold", data=form).status_code == 400
    assert anna.post("/captures/4/hold", data=form | {"reason": "to look at it"}).status_code == 303
    held = anna.get("/api/captures/4").json()
    assert (held["state"], held["may_retry"], held["may_hold"]) == ("held", True, False)
    assert held["events"][-1]["by"] == "central/anna"
    assert anna.post("/captures/4/take", data=form).status_code == 403, "to take what is damaged is not a member's word"
    assert anna.post("/captures/4/retry", data=form).status_code == 303
    assert anna.get("/api/captures/4").json()["state"] == "delivered", "every archive had proved it already"


def test_every_answer_carries_the_headers_against_misuse(browsers):
    for place in ("/", "/sign-in", "/static/relay.js", "/nowhere", "/api/home", "/sessions?after=x"):
        for browser in (browsers["nobody"], browsers["boss"]):
            headers = browser.get(place).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
