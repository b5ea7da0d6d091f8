"""The door: who gets in by what, how often somebody may try, and what is written down of it."""

import ssl
import subprocess
from datetime import timedelta

import httpx
import pytest
from typer.testing import CliRunner

from kspace.errors import ConfigError
from tests.integration.webworld import LOCAL_PASSWORD, Browser, page
from transfer.app.cli import app
from transfer.app.web.access import Tries
from transfer.app.web.server import WebServer
from transfer.app.web.signin import LOCAL, fits, hashed
from transfer.config import load_config


@pytest.fixture
def served(tmp_path):
    with page(tmp_path) as running:
        yield running


def _events(box):
    with box.database.read() as connection:
        query = "SELECT actor, verb, detail FROM event WHERE subject = 'web' ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def _archive(box, name):
    return httpx.Client(base_url=box.config.destination[0]["url"], auth=(name, name * 2), trust_env=False)


def test_a_password_becomes_a_token_that_ends_with_the_visit(served):
    server, box = served
    with Browser(server) as browser, _archive(box, "anna") as anna:
        entered = browser.sign_in("anna", next="/sessions")
        assert (entered.status_code, entered.headers["location"]) == (303, "/sessions")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert len(anna.get("/data/services/tokens/show").json()) == 1
        assert browser.post("/sign-out", data={"form": browser.form("/")}).status_code == 303
        assert browser.get("/api/home").status_code == 401
        for _ in range(200):
            if not anna.get("/data/services/tokens/show").json():
                break
        assert anna.get("/data/services/tokens/show").json() == []
    assert _events(box) == [("central/anna", "web.signed_in", None), ("central/anna", "web.signed_out", None)]


def test_a_pasted_token_lets_in_and_is_left_as_it_is(served):
    server, box = served
    with Browser(server) as browser, _archive(box, "anna") as anna:
        token = anna.get("/data/services/tokens/issue").json()
        assert browser.sign_in(token["alias"], token["secret"], way="token").status_code == 303
        assert browser.get("/api/sessions/1").status_code == 200
        browser.post("/sign-out", data={"form": browser.form("/")})
        assert len(anna.get("/data/services/tokens/show").json()) == 1


def test_the_local_administrator_needs_no_archive(served):
    server, _ = served
    with Browser(server) as browser:
        assert browser.sign_in("admin", "wrong password", where=LOCAL).status_code == 403
        assert browser.sign_in("admin", LOCAL_PASSWORD, where=LOCAL).status_code == 303
        assert browser.get("/alerts").status_code == 200


def test_wrong_passwords_end_before_the_archive_locks_the_account(served):
    server, box = served
    with Browser(server) as browser, _archive(box, "anna") as anna:
        said = [browser.sign_in("anna", "not it").text for _ in range(7)]
        assert ["does not take this name" in text for text in said] == [True] * 5 + [False] * 2
        assert "Wait an hour" in said[-1]
        assert "Wait an hour" in browser.sign_in("ANNA").text, "the right one is not tried either, however written"
        assert browser.sign_in("berta").status_code == 303
        assert anna.get("/data/auth").status_code == 200
    assert [verb for _, verb, _ in _events(box)] == ["web.refused"] * 5 + ["web.signed_in"]
    assert "not it" not in str(_events(box))


@pytest.mark.parametrize(
    "given",
    [
        {"where": "elsewhere"},
        {"user": ""},
        {"user": "an:na"},
        {"password": "x" * 300},
    ],
)
def test_what_cannot_be_is_said_at_the_door(given, served):
    with Browser(served[0]) as browser:
        answer = browser.sign_in("anna", **({"password": None} | given) if "user" not in given else given)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text


def test_nobody_is_led_to_another_site(served):
    with Browser(served[0]) as browser:
        for place in ("https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "x"):
            assert browser.sign_in("anna", next=place).headers["location"] == "/"


def test_rights_that_are_taken_at_the_archive_are_gone_here(served):
    server, box = served
    with Browser(server) as browser, _archive(box, "anna") as anna:
        browser.sign_in("anna")
        (token,) = anna.get("/data/services/tokens/show").json()
        anna.get(f"/data/services/tokens/invalidate/{token['alias']}")
        site = server.app.state.site
        (visit,) = site.visits._open.values()
        visit.asked_at -= timedelta(minutes=6)
        assert browser.get("/api/home").status_code == 401


def test_a_visit_ends_when_nobody_comes_back(served):
    server, _ = served
    with Browser(server) as browser:
        browser.sign_in("anna")
        (visit,) = server.app.state.site.visits._open.values()
        visit.used_at -= timedelta(minutes=40)
        left_at = visit.used_at
        assert browser.get("/", headers={"X-Renewal": "1"}).status_code == 200
        assert visit.used_at == left_at, "a page that renews itself is nobody who comes back"
        assert browser.get("/").status_code == 200
        assert visit.used_at > left_at
        visit.used_at -= timedelta(hours=1)
        assert browser.get("/api/home").status_code == 401


def test_tries_are_forgotten_after_their_time(served):
    clock = served[1].clock
    at = [clock.now()]
    tries = Tries(most=2, within=timedelta(hours=1), now=lambda: at[0])
    assert [tries.take("a"), tries.take("a"), tries.take("a"), tries.take("b")] == [True, True, False, True]
    at[0] += timedelta(minutes=61)
    assert tries.take("a")
    assert tries._tried.keys() == {"a"}


def test_a_hash_fits_its_password_alone():
    kept = hashed("a long password")
    assert fits("a long password", kept)
    assert not fits("another", kept)
    assert not fits("another", "plain text")
    assert "a long password" not in kept


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('bind = "0.0.0.0:8080"', "needs tls_cert"),
        ('bind = "127.0.0.1:8080"\ntls_cert = "/a"', "come together"),
        ('sign_in = ["nowhere"]', "no configured XNAT"),
        ('admins = ["boss"]', "no destination of sign_in"),
        ("sign_in = []", "nobody could sign in"),
    ],
)
def test_a_page_that_would_be_open_is_refused(line, said, served, tmp_path):
    text = (tmp_path / "relay.toml").read_text()
    kept = text[: text.index("[web]")] + "[web]\n" + line + ("" if "sign_in" in line else '\nsign_in = ["central"]')
    (tmp_path / "other.toml").write_text(kept)
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "other.toml")


def test_an_address_that_is_taken_is_told(served):
    server, box = served
    taken = box.config.model_copy(
        update={"web": box.config.web.model_copy(update={"bind": server.url.removeprefix("http://")})}
    )
    box.config = taken
    with pytest.raises(ConfigError, match="cannot be served"):
        WebServer(box)


def test_by_tls_cookies_are_for_this_host_alone(served, tmp_path, requires):
    _, box = served
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    named = ["-subj", "/CN=page", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([requires("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *named], check=True)
    tls = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    box.config = box.config.model_copy(update={"web": box.config.web.model_copy(update=tls)})
    secure = WebServer(box)
    secure.start()
    with Browser(secure, verify=ssl.create_default_context(cafile=tmp_path / "cert.pem")) as browser:
        cookie = browser.sign_in("anna").headers["set-cookie"]
        assert cookie.startswith("__Host-kspace=")
        assert "Secure" in cookie
        assert browser.get("/sessions/1").status_code == 200
    secure.stop()


def test_the_command_prints_a_hash_and_no_password():
    ran = CliRunner().invoke(app, ["web", "--hash-password"], input=f"{LOCAL_PASSWORD}\n{LOCAL_PASSWORD}\n")
    assert ran.exit_code == 0
    assert fits(LOCAL_PASSWORD, ran.stdout.splitlines()[-1])
    assert CliRunner().invoke(app, ["web", "--hash-password"], input="short\nshort\n").exit_code == 2
