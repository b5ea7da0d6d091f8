"""The probe's questions against the sandbox as it is set: as XNAT normally is they are all answered as known."""

import json
import subprocess
from contextlib import ExitStack

import httpx
import pytest
from typer.testing import CliRunner

from kspace.clock import SystemClock
from kspace.errors import BadInput
from tests.integration.relay import Relay, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.app.wiring import Box
from transfer.catalog.probes import body_limit, facts_of, probes
from transfer.config import load_config
from transfer.destinations.errors import DestinationError
from transfer.destinations.xnat import Xnat
from transfer.destinations.xnat.client import XnatSettings
from transfer.destinations.xnat.probe import probe
from transfer.destinations.xnat.questions import QUESTIONS
from transfer.sandbox import Faults, Project, Sandbox, SandboxSettings, User

USERS = (
    User(name="relay", password="relay", roles={"P": "member"}),
    User(name="owner", password="owner", roles={"P": "owner"}),
    User(name="data", password="data", data_admin=True),
    User(name="admin", password="admin", admin=True),
    User(name="reader", password="reader", roles={"P": "collaborator"}),
)
PART_BYTES = 3_000_000


@pytest.fixture
def ask(tmp_path):
    """Probe a sandbox of certain settings; return what came of it."""

    def _ask(user="relay", budget_s=20.0, part_bytes=PART_BYTES, **settings):
        secret = tmp_path / "password"
        secret.write_text(user)
        with Sandbox(tmp_path / "site", SandboxSettings(users=USERS, projects=(Project(id="P"),), **settings)) as site:
            given = {"name": "x", "url": site.url, "user": user, "password": {"file": str(secret)}}
            archive = Xnat(XnatSettings.model_validate(given))
            told = []
            found = probe(
                archive._client,
                server=archive.server(),
                project="P",
                part_bytes=part_bytes,
                tell=told.append,
                budget_s=budget_s,
            )
            archive.close()
        assert list(found.answers) == told
        return found

    return _ask


def differences(profile):
    return {answer.about: answer.answered for answer in profile.answers if not answer.is_as_known}


def test_every_question_cites_its_class_and_is_asked_once():
    assert all(question.source for question in QUESTIONS)
    names = [question.about for question in QUESTIONS]
    assert sorted(names) == sorted(set(names))


def test_an_xnat_as_it_normally_is_answers_as_known(ask):
    found = ask()
    assert differences(found) == {}
    assert found.facts == {"digest": True, "refresh_fills": True, "refresh_recomputes": True}
    assert found.largest is None
    assert found.server.startswith("XNAT 1.8.11 at http://127.0.0.1:")
    (left,) = found.left
    assert "KSPACE-PROBE in project P" in left, "a member may not delete"


def test_one_that_keeps_no_digests_is_relied_on_to_make_them(ask):
    found = ask(checksums=False)
    assert differences(found) == {"digest": "no MD5 (the site's checksums are off)"}
    assert found.facts == {"digest": False, "refresh_fills": True, "refresh_recomputes": True}


def test_the_largest_body_is_found(ask):
    found = ask(faults=Faults(body_limit_bytes=1_000_000))
    assert set(differences(found)) == {"largest"}
    assert 800_000 < found.largest < 1_000_000


def test_a_slow_digest_is_told_with_a_size_that_would_do(ask):
    found = ask(digest_mb_per_s=2.0, part_bytes=256_000_000, budget_s=3.0)
    said = differences(found)
    assert set(said) == {"largest", "speed"}
    assert "not tried" in said["largest"]
    assert "part_bytes of" in said["speed"]
    assert found.largest is None, "nothing was refused"


def test_an_owner_leaves_nothing_behind_and_shows_what_delete_does(ask, tmp_path):
    found = ask("owner")
    assert differences(found) == {"delete": "200: it is gone, and part10 with it"}
    assert found.left == ()


@pytest.mark.parametrize(
    ("user", "said"), [("admin", "site administrator, data administrator"), ("data", "data administrator")]
)
def test_an_administrator_is_told_apart(ask, user, said):
    assert differences(ask(user))["account"] == said


def test_who_may_not_write_cannot_probe(ask):
    with pytest.raises(DestinationError, match="403"):
        ask("reader")


# --- by the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as running:
        yield running


@pytest.fixture
def relay(tmp_path, sandbox):
    return Relay(folder=tmp_path, urls={"central": sandbox.url}, part_bytes=300_000)


def said(relay, *words):
    return CliRunner().invoke(app, [*words, "-c", str(relay.write())])


def checked(relay):
    return {f["what"]: f for f in json.loads(said(relay, "check", "--json").stdout)}


def test_what_was_found_is_remembered_for_this_very_version(relay, tmp_path, sandbox):
    assert "never probed, so it is used in the most careful mode" in said(relay, "status").stdout
    before = checked(relay)
    assert before["probe of central"]["warns"]
    assert "SCRATCH" in before["account at central"]["said"]
    httpx.put(f"{sandbox.url}/sandbox/faults", json=Faults(body_limit_bytes=200_000).model_dump()).raise_for_status()
    probed = said(relay, "check", "--destination", "central", "--probe", "--project", "SCRATCH")
    assert probed.exit_code == 0, probed.output
    assert "DIFFERS  largest" in probed.stdout
    assert "1 answered unlike the sandbox" in probed.stdout
    assert "Stays there" in probed.stdout
    assert "never probed" not in said(relay, "status").stdout
    after = checked(relay)
    assert "differs from the sandbox in 1 of" in after["probe of central"]["said"]
    assert "account at central" not in after, "the scratch project is meant to be written to"
    again = said(relay, "check", "--destination", "central", "--probe", "--json")
    assert json.loads(again.stdout)["facts"]["digest"]
    box = Box(load_config(relay.write()))
    server = f"XNAT 1.8.11 at {sandbox.url}"
    assert facts_of(box.database, "central", server, clock=SystemClock())["digest"]
    assert 150_000 < body_limit(box.database, "central") < 200_000
    with box.database.read() as connection:
        assert [row["project"] for row in probes(connection, "central")] == ["SCRATCH", "SCRATCH"]
    assert facts_of(box.database, "central", "XNAT 1.9.0 at elsewhere", clock=SystemClock()) is None
    box.close()
    assert "central is XNAT 1.9.0 at elsewhere now and was probed as" in said(relay, "status").stdout.replace("\n", " ")


@pytest.mark.parametrize(
    "words",
    [
        ["--probe"],
        ["--probe", "--destination", "nowhere", "--project", "SCRATCH"],
        ["--probe", "--destination", "central"],
        ["--destination", "nowhere"],
    ],
)
def test_what_is_missing_is_asked_for(relay, words):
    assert isinstance(said(relay, "check", *words).exception, BadInput)


def test_an_administrators_account_is_warned_of(tmp_path, sandbox):
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, password="admin")
    path = relay.write()
    path.write_text(path.read_text().replace('user = "relay"', 'user = "admin"'))
    found = CliRunner().invoke(app, ["check", "--destination", "central", "-c", str(path)])
    assert found.exit_code == 0
    assert "warn  account at central: the account is site administrator and data administrator there" in found.stdout


# --- behind a real proxy ----------------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; proxy_set_header Host $http_host; {more} }}
  }}
}}
"""


@pytest.fixture
def nginx(requires, tmp_path, sandbox):
    """Run nginx before the sandbox and return its address; every setting is nginx's default but the ones given."""
    with ExitStack() as stack:

        def _nginx(more=""):
            folder, port = tmp_path / "nginx", free_port()
            folder.mkdir()
            (folder / "conf").write_text(NGINX.format(folder=folder, port=port, url=sandbox.url, more=more))
            command = [requires("nginx"), "-c", str(folder / "conf"), "-e", str(folder / "error.log")]
            stack.callback(stack.enter_context(subprocess.Popen(command)).terminate)
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url), within_s=10)
            return url

        yield _nginx


def answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_nginx_with_its_defaults_is_seen_through(nginx, tmp_path):
    """It gathers whole bodies before it hands them on, and takes 1 MiB at most."""
    relay = Relay(folder=tmp_path, urls={"central": nginx()}, part_bytes=5_000_000)
    probed = said(relay, "check", "--destination", "central", "--probe", "--project", "SCRATCH", "--json")
    found = json.loads(probed.stdout)
    differs = {a["about"]: a["answered"] for a in found["answers"] if a["answered"] != a["normally"]}
    assert differs["cut"] == "nothing (a proxy gathers bodies first)"
    assert "could not be seen" in differs["refresh"]
    assert found["facts"] == {"digest": True, "refresh_fills": True, "refresh_recomputes": False}
    assert 900_000 < found["largest"] < 1 << 20


def test_a_large_capture_gets_through_nginx_with_its_defaults(nginx, tmp_path):
    """Its 413 comes while the body is still being sent; the parts are cut anew until they fit."""
    relay = Relay(folder=tmp_path, urls={"central": nginx()}, part_bytes=50_000_000, chunk_bytes=400_000)
    raw = make(tmp_path / "scanner" / "large.dat", measurement(1, readouts=600, channels=8, samples=512))
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: running.stories()["large.dat"]["state"] == "retired", within_s=60, told=running.stories)
        (sent,) = running.stories()["large.dat"]["deliveries"]
    assert max(part["size"] for part in sent["parts"]) < 1 << 20
    assert len(sent["parts"]) > 4
