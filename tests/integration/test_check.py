"""`kspace check`: what is wrong is said in one line each, with what to do; what is right is said too."""

import json
import socket
from dataclasses import replace

import httpx
import pytest
from typer.testing import CliRunner

from kspace.errors import ConfigError
from tests.integration.relay import Relay, free_port
from transfer.app.cli import app
from transfer.sandbox import Project, Sandbox, SandboxSettings


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as running:
        yield running


def findings(config):
    said = CliRunner().invoke(app, ["check", "--json", "-c", str(config)])
    return said.exit_code, {f["what"]: f for f in json.loads(said.stdout)}


def test_a_right_configuration_is_right_in_every_line(tmp_path, sandbox):
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port())
    code, found = findings(relay.write())
    assert code == 0, found
    assert "signed in to XNAT" in found["destination central"]["said"]
    assert "s apart" in found["clock against central"]["said"]
    assert "writable" in found["spool"]["said"]


def test_what_leaves_of_a_patient_stands_beside_the_archive_s_scripts(tmp_path):
    project = Project(id="DEMO", prearchive_code=4, has_script=True)
    with Sandbox(tmp_path / "archive", SandboxSettings(projects=(project,))) as sandbox:
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port())
        _, held = findings(relay.write())
        identified = 'identified_raw = { allowed_by = "A. Person", on = 2026-01-31 }'
        _, allowed = findings(replace(relay, identified=identified).write())
    said = held["privacy of DEMO in central"]["said"]
    assert said.startswith("raw data that name the patient are held")
    assert said.endswith("which touch images only: site off, project on")
    assert "allowed by A. Person on 2026-01-31" in allowed["privacy of DEMO in central"]["said"]


def test_a_route_with_a_profile_that_is_not_there_is_wrong(tmp_path, sandbox):
    config = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port()).write()
    config.write_text(config.read_text().replace("[[route]]", '[[route]]\ndeidentify = "strict"'))
    code, found = findings(config)
    assert code == 1
    assert "it sends nothing" in found["route 1"]["said"]


def test_a_running_listener_answers_the_check(tmp_path, sandbox):
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port())
    with relay.running():
        code, found = findings(relay.write())
    assert code == 0, found
    assert "answers C-ECHO" in found["DICOM port of KSPACE"]["said"]


def test_every_mistake_has_its_line(tmp_path, sandbox):
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port())
    config = relay.write()
    (tmp_path / "central-password").write_text("wrong")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", relay.port))
        taken.listen()
        for folder in tmp_path.glob("scanner*"):
            folder.rename(tmp_path / "away")
        code, found = findings(config)
    assert code == 1
    assert "password" in found["destination central"]["said"]
    assert "no listener answers" in found["DICOM port of KSPACE"]["said"]
    wrong = [what for what, finding in found.items() if what.startswith("source") and not finding["is_right"]]
    assert wrong, found


def test_a_configuration_with_mistakes_names_each(tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text('[relay]\nfolder = "here"\nspeed = 3\n')
    said = CliRunner().invoke(app, ["check", "-c", str(config)])
    assert said.exit_code != 0
    assert "absolute path" in str(said.exception)
    assert "relay.speed" in str(said.exception)


def test_a_folder_that_cannot_be_used_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    config = tmp_path / "relay.toml"
    config.write_text(f'[relay]\nfolder = "{tmp_path}/file/relay"\n')
    said = CliRunner().invoke(app, ["status", "-c", str(config)])
    assert isinstance(said.exception, ConfigError)
    assert "cannot be used (Not a directory)" in str(said.exception)


def test_when_an_alias_token_ends_and_who_renews_it(tmp_path, sandbox, monkeypatch):
    token = httpx.get(f"{sandbox.url}/data/services/tokens/issue", auth=("relay", "relay")).raise_for_status().json()
    (tmp_path / "alias").write_text(token["alias"])
    monkeypatch.setenv("KSPACE_ALIAS_UNDER_TEST", token["alias"])
    port, said = free_port(), []
    for alias in (f'{{ file = "{tmp_path}/alias" }}', '{ env = "KSPACE_ALIAS_UNDER_TEST" }'):
        more = {"central": f"alias = {alias}"}
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=port, more=more, password=token["secret"])
        code, found = findings(relay.write())
        assert code == 0, found
        said.append(found["credentials of central"])
    assert [finding["warns"] for finding in said] == [False, True]
    assert "the relay renews it" in said[0]["said"]
    assert "write alias and secret anew" in said[1]["said"]
    assert token["secret"] not in str(said)
