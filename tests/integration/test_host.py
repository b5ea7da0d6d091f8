"""`kspace host`: files in a folder, one of them on the screen, and the acceptance test of a box."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardware.host.drill import write_until_cut
from kspace.errors import BadInput, ConfigError, NotFound
from tests.integration.relay import Relay, free_port
from transfer.app.cli import app
from transfer.app.hosting import warnings_of
from transfer.config import load_config
from transfer.sandbox import Sandbox, SandboxSettings

EXAMPLE = Path(__file__).parents[2] / "relay.example.toml"


_MAIL = 'kind = "mail"\nsender = "box@example.org"\nto = ["a@example.org"]\n'


def host(*words: str):
    return CliRunner().invoke(app, ["host", *words])


def test_the_files_are_written_once_and_nothing_else_is(tmp_path):
    out = tmp_path / "files"
    written = host("files", "-c", str(EXAMPLE), "-o", str(out))
    assert written.exit_code == 0, written.output
    files = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert {"INSTALL.txt", "NETWORK.txt", "POOL.sh", "etc/nftables.conf"} <= files
    assert len(host("files", "-c", str(EXAMPLE)).stdout.splitlines()) == len(files)
    assert os.access(out / "usr/local/lib/kspace/tap-prisma-1", os.X_OK)
    assert not os.access(out / "POOL.sh", os.X_OK)
    assert isinstance(host("files", "-c", str(EXAMPLE), "-o", str(out)).exception, BadInput)


def test_what_would_lock_out_or_never_be_found_is_told(tmp_path):
    said = CliRunner().invoke(app, ["host", "files", "-c", str(EXAMPLE)]).stderr
    assert "warn  lan0, adm0, tap0 without mac" in said
    assert "smtp.hospital.example, xnat.example and the servers of the system's updates are called by name" in said
    right = (
        EXAMPLE.read_text()
        .replace("  #mac =", "  mac =")
        .replace("  #name_servers = []", '  name_servers = ["10.1.2.1"]')
    )
    (tmp_path / "relay.toml").write_text(right)
    assert CliRunner().invoke(app, ["host", "files", "-c", str(tmp_path / "relay.toml")]).stderr == ""
    config = load_config(tmp_path / "relay.toml")
    assert warnings_of(config) == []
    assert config.host is not None
    alone = config.model_copy(update={"host": config.host.model_copy(update={"admin": None})})
    assert ["SSH" in said for said in warnings_of(alone)] == [True]


def test_one_file_is_shown():
    shown = host("show", "nftables.conf", "-c", str(EXAMPLE))
    assert shown.output.startswith("#!/usr/sbin/nft -f")
    assert isinstance(host("show", "kspace", "-c", str(EXAMPLE)).exception, NotFound)


def test_a_configuration_without_a_host_has_no_files(tmp_path):
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port()).write()
    assert isinstance(host("files", "-c", str(config)).exception, ConfigError)


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        ('scanner = "prisma-1"\n  interface', 'scanner = "vida"\n  interface', "scanner 'vida'"),
        ('path = "/mnt/prisma-1"\n  # A file with', 'path = "/mnt/other"\n  # A file with', "no source of prisma-1"),
        ('host = "192.0.2.10"', 'host = "192.168.2.1"', "must call 127.7.1.1:445"),
    ],
)
def test_a_host_that_does_not_fit_its_scanners_is_a_mistake(was, becomes, reason, tmp_path):
    text = EXAMPLE.read_text()
    assert was in text
    (tmp_path / "relay.toml").write_text(text.replace(was, becomes))
    with pytest.raises(ConfigError, match=reason):
        load_config(tmp_path / "relay.toml")


def test_a_box_is_accepted_or_told_why_not(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        config = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port()).write()
        ended = host("accept", "--json", "--gigabytes", "0.02", "-c", str(config))
    found = {f["what"]: f for f in json.loads(ended.stdout)}
    assert ended.exit_code == (0 if all(f["is_right"] for f in found.values()) else 1)
    assert "written and synced" in found["speed of the pool"]["said"]
    assert {"encryption of the spool", "spool", "destination central"} <= set(found)
    assert "host" not in found, "there is no [host] to warn of"
    assert {"disks", "clock"} <= set(found), "right or wrong, but never silent"


def test_a_secret_that_is_not_there_hides_nothing_else(tmp_path):
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port()).write()
    (tmp_path / "central-password").unlink()
    ended = host("accept", "--gigabytes", "0.01", "-c", str(config))
    assert ended.exit_code == 1
    for line in ("WRONG configuration: The secret's file", "ok   spool: writable", "DICOM port of KSPACE", "speed of"):
        assert line in ended.output


def test_the_drill_ends_in_one_line(tmp_path):
    relay = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port())
    config = replace(relay).write()
    folder = load_config(config).relay.folder / "power-cut"

    class Cut(Exception):
        """The plug."""

    def acknowledge(number: int) -> None:
        if number == 9:
            raise Cut

    with pytest.raises(Cut):
        write_until_cut(folder, acknowledge=acknowledge)
    lost = host("accept", "--after-power-cut", "12", "-c", str(config))
    assert lost.exit_code == 1
    assert "3 of 12 acknowledged records are lost, from 10 on" in lost.output
    kept = host("accept", "--after-power-cut", "8", "-c", str(config))
    assert kept.exit_code == 0
    assert "all 8 acknowledged records are there" in kept.output
    assert not folder.exists()


@pytest.mark.parametrize(
    ("sink", "rule"),
    [
        ('kind = "syslog"\ntransport = "udp"\nhost = "10.1.2.25"', "ip daddr 10.1.2.25 udp dport 514 accept"),
        (f'{_MAIL}host = "10.1.2.25"', "ip daddr 10.1.2.25 tcp dport 587 accept"),
        (f'{_MAIL}host = "mail.example"\nsecurity = "tls"', "ip saddr 10.1.2.9 tcp dport 465 accept"),
    ],
)
def test_alerts_get_out(sink, rule, tmp_path):
    (tmp_path / "relay.toml").write_text(f'{_without_sinks()}\n[[sink]]\nname = "out"\n{sink}\n')
    shown = host("show", "nftables.conf", "-c", str(tmp_path / "relay.toml"))
    assert rule in shown.output


def _without_sinks() -> str:
    document = EXAMPLE.read_text()
    return document[: document.index("[[sink]]")] if "[[sink]]" in document else document
