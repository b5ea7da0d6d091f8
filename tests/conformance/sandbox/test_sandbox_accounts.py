"""Who may come in and what they may do."""

import base64
import re

import httpx
import pytest

BROWSER = {"user-agent": "Mozilla/5.0"}


def test_basic_opens_a_session_that_carries_on_without_it(sandbox, relay):
    """XnatBasicAuthenticationFilter, UserSession, XnatExpiredPasswordFilter."""
    answer = relay.get("/data/JSESSION")
    assert answer.text == relay.cookies["JSESSIONID"]
    assert re.fullmatch(r'"\d+,900000"', answer.cookies["SESSION_EXPIRATION_TIME"])
    alone = httpx.get(f"{sandbox.url}/data/auth", cookies={"JSESSIONID": answer.text})
    assert alone.text == "User 'relay' is logged in"
    assert "JSESSIONID" not in relay.get("/data/auth").cookies


def test_wrong_credentials_are_401_even_where_none_are_needed(sandbox):
    """XnatBasicAuthenticationFilter."""
    for path in ("/", "/data/projects", "/xapi/siteConfig/buildInfo"):
        answer = httpx.get(sandbox.url + path, auth=("relay", "wrong"))
        assert answer.status_code == 401
        assert answer.text.lower().startswith("<!doctype html>")


@pytest.mark.parametrize("value", ["Basic ???", "Basic " + base64.b64encode(b"\xff:x").decode(), "Basic"])
def test_broken_credentials_are_401(sandbox, value):
    assert httpx.get(f"{sandbox.url}/data/projects", headers={"authorization": value}).status_code == 401


def test_without_credentials_programs_get_401_and_browsers_a_page(sandbox):
    """XnatAuthenticationEntryPoint."""
    answer = httpx.get(f"{sandbox.url}/data/projects")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="sandbox"'
    answer = httpx.get(f"{sandbox.url}/data/projects", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, "/app/template/Login.vm")
    assert httpx.get(f"{sandbox.url}/data/projects", headers=BROWSER, follow_redirects=True).status_code == 200
    bare = httpx.get(f"{sandbox.url}/data/projects", headers={"x-requested-with": "XMLHttpRequest"})
    assert (bare.status_code, bare.content) == (401, b"")


def test_browsers_need_the_csrf_token(sandbox, relay):
    """SecureAction#isCsrfTokenOk."""
    token = relay.get("/data/JSESSION", params={"CSRF": "true"}).text.rpartition("XNAT_CSRF=")[2]
    path = "/data/projects/P/resources/"
    assert relay.put(path + "A", headers=BROWSER).status_code == 403
    assert relay.put(path + "A", headers=BROWSER, params={"XNAT_CSRF": token}).status_code == 200
    assert relay.put(path + "B").status_code == 200


def test_a_session_expires(start, login, clock):
    """SiteConfigPreferences, sessionTimeout."""
    sandbox = start(session_timeout_s=60)
    cookie = {"JSESSIONID": login(sandbox).get("/data/JSESSION").text}
    clock.advance(50)
    assert httpx.get(f"{sandbox.url}/data/auth", cookies=cookie).status_code == 200
    clock.advance(50)
    assert httpx.get(f"{sandbox.url}/data/auth", cookies=cookie).status_code == 200
    clock.advance(61)
    assert httpx.get(f"{sandbox.url}/data/auth", cookies=cookie).status_code == 401


def test_log_out_ends_the_session(sandbox, relay):
    """UserSession."""
    cookie = {"JSESSIONID": relay.get("/data/JSESSION").text}
    assert httpx.delete(f"{sandbox.url}/data/JSESSION", cookies=cookie).status_code == 200
    assert httpx.get(f"{sandbox.url}/data/auth", cookies=cookie).status_code == 401
    assert relay.put("/data/JSESSION").status_code == 405


def test_log_in_by_form(sandbox):
    """AuthenticationRestlet."""
    path = f"{sandbox.url}/data/services/auth"
    answer = httpx.put(path, data={"username": "relay", "password": "r"})
    assert answer.status_code == 200
    assert answer.text == answer.cookies["JSESSIONID"]
    refused = httpx.put(path, data={"username": "relay", "password": "wrong"})
    assert refused.status_code == 401
    assert "<h3>" in refused.text
    assert httpx.get(path).status_code == 405


def test_too_many_sessions_are_refused(start, login):
    """SecurityConfig: concurrentMaxSessions refuses the newcomer, the old ones stay."""
    sandbox = start(max_sessions=2)
    first, second, third = (login(sandbox) for _ in range(3))
    assert [c.get("/data/auth").status_code for c in (first, second, third, first)] == [200, 200, 401, 200]


def test_too_many_failed_logins_lock_the_account(start, login, clock):
    """XnatAuthenticationEventPublisher."""
    sandbox = start(max_failed_logins=3, lockout_s=3600)
    for _ in range(3):
        assert httpx.get(f"{sandbox.url}/data/auth", auth=("relay", "wrong")).status_code == 401
    assert httpx.get(f"{sandbox.url}/data/auth", auth=("relay", "r")).status_code == 401
    assert httpx.get(f"{sandbox.url}/data/auth", auth=("reader", "c")).status_code == 200
    clock.advance(3601)
    assert httpx.get(f"{sandbox.url}/data/auth", auth=("relay", "r")).status_code == 200


def test_an_alias_token_stands_for_its_owner(sandbox, login, relay, clock):
    """AliasTokenRestlet, AliasToken."""
    token = relay.get("/data/services/tokens/issue").json()
    pair = (token["alias"], token["secret"])
    assert len(token["secret"]) == 64
    assert httpx.get(f"{sandbox.url}/data/auth", auth=pair).text == "User 'relay' is logged in"
    tokens = "/data/services/tokens"
    assert relay.get(f"{tokens}/validate/{pair[0]}/{pair[1]}").json() == {"valid": "relay"}
    assert relay.get(f"{tokens}/validate/{pair[0]}/{'0' * 64}").json() == {}
    assert relay.get(f"{tokens}/validate/{pair[0]}").status_code == 401
    assert [t["alias"] for t in relay.get(f"{tokens}/show").json()] == [pair[0]]
    assert login(sandbox, "reader").get(f"{tokens}/invalidate/{pair[0]}").status_code == 403
    assert relay.get(f"{tokens}/invalidate/{pair[0]}").json() == {"result": "OK"}
    assert relay.get(f"{tokens}/invalidate/{pair[0]}").status_code == 404
    assert httpx.get(f"{sandbox.url}/data/auth", auth=pair).status_code == 401


def test_an_alias_token_expires(sandbox, relay, clock):
    token = relay.get("/data/services/tokens/issue").json()
    clock.advance(2 * 24 * 3600 + 1)
    assert httpx.get(f"{sandbox.url}/data/auth", auth=(token["alias"], token["secret"])).status_code == 401


def test_tokens_for_others_are_for_admins(sandbox, login, relay):
    """AliasTokenRestlet."""
    path = "/data/services/tokens/issue/user/reader"
    assert relay.get(path).status_code == 403
    assert login(sandbox, "admin").get(path).json()["xdatUserId"] == "reader"
    assert login(sandbox, "admin").get(f"{path}-unknown").status_code == 404


def test_what_cannot_be_read_is_404(sandbox, login, experiment):
    """XNATTemplate: unknown and unreadable look the same."""
    stranger = login(sandbox, "stranger")
    for path in ("/data/projects/P", "/data/projects/NOPE", experiment, f"{experiment}/scans/1/resources"):
        assert stranger.get(path, params={"format": "json"}).status_code == 404
    assert stranger.get("/data/projects").json()["ResultSet"]["Result"] == []
    assert stranger.get("/data/experiments").json()["ResultSet"]["Result"] == []
    assert stranger.put(f"{experiment}/resources/R").status_code == 404


@pytest.mark.parametrize(
    ("name", "create", "delete"),
    [("owner", 200, 200), ("relay", 200, 403), ("reader", 403, 403), ("locked", 403, 403)],
)
def test_roles(sandbox, login, *, relay, experiment, name, create, delete):
    """Owners delete, members edit, collaborators read (XNAT's standard roles)."""
    relay.put(f"{experiment}/resources/OLD")
    client = login(sandbox, name)
    assert client.get(experiment).status_code == 200
    assert client.put(f"{experiment}/resources/NEW").status_code == create
    assert client.delete(f"{experiment}/resources/OLD").status_code == delete
    assert client.delete(experiment).status_code == delete


def test_the_version_is_told_and_that_this_is_not_xnat(sandbox, relay):
    """SiteConfigApi; /data/version is gone since 1.7."""
    answer = httpx.get(f"{sandbox.url}/xapi/siteConfig/buildInfo")
    assert answer.json()["version"] == "1.8.11"
    assert "not XNAT" in answer.json()["product"]
    assert answer.headers["server"] == "k-space-relay-sandbox"
    assert httpx.get(f"{sandbox.url}/xapi/siteConfig/buildInfo/version").text == "1.8.11"
    assert httpx.get(f"{sandbox.url}/data/version").status_code == 401
    assert relay.get("/data/version").status_code == 404


def test_preferences_have_their_readers(sandbox, login, relay):
    """site-config-access.yaml."""
    assert relay.get("/xapi/siteConfig/checksums").json() is True
    assert relay.get("/xapi/siteConfig/values/checksums,siteId").json() == {"checksums": True, "siteId": "sandbox"}
    assert relay.get("/xapi/siteConfig/sessionTimeout").status_code == 403
    assert login(sandbox, "admin").get("/xapi/siteConfig/sessionTimeout").status_code == 200
    assert relay.get("/xapi/siteConfig/nothing").status_code == 404
    assert httpx.get(f"{sandbox.url}/xapi/siteConfig/checksums").status_code == 401
    assert relay.get("/xapi/anonymize/projects/P").status_code == 204


def test_what_a_caller_may_ask_of_themself(relay):
    """UsersApi."""
    assert relay.get("/xapi/users/current").json()["username"] == "relay"
    found = {row["project"]: row["accessLevel"] for row in relay.get("/xapi/access/projects").json()}
    assert found == {"P": "member", "AUTO": "member", "OVER": "member"}
    assert relay.get("/xapi/anonymize/site/enabled").json() is False
    assert relay.get("/xapi/siteConfig/buildInfo/nothing").status_code == 404
    assert relay.get("/xapi/schemas/xnat").text.startswith("<?xml")
    for outside in ("nothing", "../settings", "%2e%2e/%2e%2e/settings"):
        assert relay.get(f"/xapi/schemas/{outside}").status_code == 404
