"""`kspace rules`: from a first look to saved rules and back, as a person types it."""

import getpass
import json

import pytest
from typer.testing import CliRunner

from tests.integration.webworld import fill, happen_now
from transfer.app.cli import app
from transfer.app.wiring import Box
from transfer.config import load_config

_CONFIG = """
[relay]
name = "box"
folder = "{folder}"

[[rule]]
name = "all of BRAIN"
project = "BRAIN"
"""
_HEART = '[[rule]]\nname = "gre"\nprotocols = ["GRE*"]\n'


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """Run `kspace rules …` over a catalog with sessions of two projects."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_text(_CONFIG.format(folder=tmp_path / "relay"))
    box = Box(load_config(tmp_path / "relay.toml"))
    with box.database.write() as connection:
        fill(connection)
        happen_now(connection, box.clock.now())
        connection.exec_driver_sql("UPDATE capture SET state = 'skipped', sha256 = NULL WHERE id = 3")
    box.close()

    def run(*words: str, code: int = 0) -> str:
        said = CliRunner().invoke(app, ["rules", *words])
        if code:
            assert said.exception.exit_code == code
            return str(said.exception)
        assert said.exit_code == 0, (said.output, said.exception)
        return said.stdout

    return run


def test_a_project_gets_rules_and_goes_back(rules, tmp_path):
    (tmp_path / "heart.toml").write_text(_HEART)
    assert "BRAIN by the relay's configuration: 1 rule." in rules("list")
    assert "There are none: files are inventoried" in rules("show", "HEART")
    tried = json.loads(rules("rehearse", "HEART", "heart.toml", "--weeks", "1", "--json"))
    assert (tried["seen"]["files"], tried["now"]["files"], tried["then"]["files"]) == (3, 0, 3)
    assert tried["at_once"] == {"files": 1, "bytes": 5_000_000}
    told = rules("rehearse", "HEART", "heart.toml")
    assert "captured      3 files     15 MB  gre_heart by gre" in told
    assert "1 files (5 MB) are still on a scanner" in told
    assert "Version 1 of the rules of HEART" in rules("import", "HEART", "heart.toml", "--comment", "the pilot")
    (tmp_path / "none.toml").write_text("")
    assert json.loads(rules("import", "HEART", "none.toml", "--comment", "over", "--json"))["version"] == 2
    assert "removed: gre" in rules("diff", "HEART", "1")
    assert "The two say the same." in rules("diff", "HEART", "0", "2")
    assert json.loads(rules("undo", "HEART", "1", "--json")) == {"project": "HEART", "version": 3}
    versions = json.loads(rules("list", "HEART", "--json"))
    assert [(one["version"], one["comment"], one["same_as"]) for one in versions[:3]] == [
        (3, "As version 1 again.", 1),
        (2, "over", None),
        (1, "the pilot", None),
    ]
    assert versions[0]["actor"] == getpass.getuser()
    (tmp_path / "out.toml").write_text(rules("export", "HEART"))
    assert "1. gre: include GRE* on *" in rules("show", "HEART")
    rules("import", "BRAIN", "out.toml", "--comment", "the same for BRAIN")
    assert [one["name"] for one in json.loads(rules("show", "BRAIN", "--json"))["wishes"]] == ["gre"]
    assert "all of BRAIN" in rules("show", "BRAIN", "--version", "0")


def test_what_cannot_be_says_so_and_changes_nothing(rules, tmp_path):
    (tmp_path / "bad.toml").write_text('[[rule]]\nname = "a"\nprotocols = ["^gre"]\n')
    assert "regular expression" in rules("import", "HEART", "bad.toml", "--comment", "x", code=2)
    assert "cannot be read" in rules("import", "HEART", "nowhere.toml", "--comment", "x", code=2)
    assert "no project's id" in rules("import", " ", "bad.toml", "--comment", "x", code=2)
    assert "has no version 7" in rules("undo", "HEART", "7", code=4)
    assert [one["project"] for one in json.loads(rules("list", "--json"))] == ["BRAIN"]
