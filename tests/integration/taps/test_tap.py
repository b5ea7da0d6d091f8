"""The tap is a border: two scanners with the same addresses at once, and no packet from one network into another."""

import json
import os
import subprocess
import sys
from itertools import product

import pytest

from kspace import sources
from kspace.errors import SourceError
from kspace.sources.smb import Smb
from tests.integration.relay import wait_until
from tests.integration.taps import wires
from tests.integration.taps.wires import ADMIN, BOX, BOX_ADMIN, HOST, PORTS, SCANNER, TAP, USER, hospital, run
from transfer.config import load_config, settings_of

_LIVES = {
    "box": (BOX, BOX_ADMIN),
    "lan": (SCANNER, USER),
    "adm": (ADMIN,),
    "a": (HOST,),
    "b": (HOST,),
    "tap a": (TAP,),
    "tap b": (TAP,),
}
"""Who has which addresses."""


@pytest.fixture(scope="module")
def built(requires, tmp_path_factory):
    if os.geteuid():
        pytest.skip("Network namespaces are made by root alone.")
    for program in ("ip", "nft", "arping", "smbd", "systemd-socket-activate"):
        requires(program)
    folder = tmp_path_factory.mktemp("hospital")
    with hospital(folder, requires, "abcde") as made:
        run("ip", "-n", made.name("c"), "address", "add", f"{TAP}/24", "dev", "wire")
        run("ip", "-n", made.name("d"), "link", "set", "wire", "down")
        coming = {which: made.tap(which, "up") for which in "abcde"}
        said = {which: (process.communicate(timeout=60)[1], process.returncode) for which, process in coming.items()}
        (folder / "said.json").write_text(json.dumps(said))
        yield made


@pytest.fixture(scope="module")
def said(built) -> dict:
    return json.loads((built.folder / "said.json").read_text())


@pytest.fixture(scope="module")
def everybody_listens(built, said):
    assert [said["a"], said["b"]] == [["", 0]] * 2
    listening = []
    for part in _LIVES:
        command = [*built.inside(part), sys.executable, str(wires._CALLS), "listen", *map(str, PORTS)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        listening.append(process)
        assert process.stdout.readline() == "ready\n"
    yield
    for process in listening:
        process.terminate()
        process.wait(10)


def test_two_scanners_with_the_same_address_are_read_at_once(built, said, monkeypatch):
    monkeypatch.setenv("SCANNER_PASSWORD", "secret")
    config = load_config(built.folder / "relay.toml")
    given = dict(zip("ab", (scanner.source[0] for scanner in config.scanner), strict=False))
    shares = {which: Smb(settings_of(sources, source)) for which, source in given.items()}
    with built.carrier("a"), built.carrier("b"), wires.within(built.name("box")):
        wait_until(lambda: all(map(_is_listed, shares.values())), within_s=30)
        with shares["a"].open("a.dat") as of_a, shares["b"].open("b.dat") as of_b:
            assert of_a.read(0, 99) == b"raw data of scanner a"
            assert of_b.read(0, 99) == b"raw data of scanner b"


def _is_listed(share: Smb) -> bool:
    try:
        return bool(list(share.find()))
    except SourceError:
        return False  # what carries it is not there yet


def test_only_what_is_configured_is_reached_and_no_packet_passes_on(built, everybody_listens):
    asked = {
        part: [
            (source, target, port)
            for source, other, port in product(_LIVES[part], _LIVES, (*PORTS, 445))
            for target in _LIVES[other]
            if target not in _LIVES[part]
        ]
        for part in _LIVES
    }
    called = {part: built.calls(part, places) for part, places in asked.items()}
    reached = {
        part: {tuple(p) for p in json.loads(process.communicate(timeout=60)[0])} for part, process in called.items()
    }
    assert reached == {
        "box": {(BOX, SCANNER, 443), (BOX, USER, 443)},
        "lan": {(SCANNER, BOX, 11112), (USER, BOX, 8443)},
        "adm": {(ADMIN, BOX_ADMIN, 22)},
        "a": set(),
        "b": set(),
        "tap a": {(TAP, HOST, 445)},
        "tap b": {(TAP, HOST, 445)},
    }
    networks = ("lan", "adm", "a", "b")
    assert {part: built.foreign_packets(part) for part in networks} == dict.fromkeys(networks, 0)


def test_the_count_of_foreign_packets_can_rise(built, everybody_listens):
    """A careless box, without a firewall and with forwarding: then even this passes, but never through a tap."""
    box = built.inside("box")
    try:
        run(*box, "nft", "flush", "ruleset")
        run(*box, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        answers = built.calls("adm", [(ADMIN, SCANNER, 443), (ADMIN, HOST, 443), (ADMIN, TAP, 443)])
        assert json.loads(answers.communicate(timeout=60)[0]) == [[ADMIN, SCANNER, 443]]
        assert built.foreign_packets("lan") > 0
        assert built.foreign_packets("a") == built.foreign_packets("b") == 0
    finally:
        run(*box, "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
        run(*box, "nft", "-f", built.file("etc/nftables.conf"))


def test_a_tap_has_one_address_no_way_out_and_no_listener(built, said):
    tap = built.inside("tap a")
    assert [a["local"] for card in json.loads(run(*tap, "ip", "-j", "address")) for a in card["addr_info"]] == [TAP]
    assert [route["dst"] for route in json.loads(run(*tap, "ip", "-j", "route"))] == ["192.168.2.0/24"]
    names = ("all.forwarding", "all.rp_filter", "all.arp_ignore", "all.arp_announce", "all.accept_redirects")
    keys = [f"net.ipv4.conf.{name}" for name in names] + ["net.ipv6.conf.all.disable_ipv6"]
    assert run(*tap, "sysctl", "-n", *keys).split() == ["0", "1", "2", "2", "0", "1"]


def test_an_address_that_somebody_has_is_not_taken(built, said):
    text, code = said["c"]
    assert code == 1
    assert f"somebody has {TAP} already" in text
    assert built.name("tap c") not in run("ip", "netns")


def test_a_dead_cable_proves_no_address_free(built, said):
    text, code = said["d"]
    assert code == 1
    assert "no carrier" in text
    assert built.name("tap d") not in run("ip", "netns")


def test_a_tap_that_is_up_comes_up_again(built, said):
    assert built.tap("a", "up").wait(60) == 0
    assert TAP in run(*built.inside("tap a"), "ip", "address")


def test_a_cable_that_was_out_is_probed_again_and_a_stranger_there_keeps_the_tap_down(built, said):
    """The address is given back with the carrier, taken again after a probe, and never beside somebody who has it."""
    scanner, tap, watching = built.name("e"), built.inside("tap e"), built.tap("e", "watch")

    def has_address() -> bool:
        return TAP in run(*tap, "ip", "address")

    assert has_address()
    run("ip", "-n", scanner, "link", "set", "wire", "down")
    wait_until(lambda: not has_address(), within_s=10)
    run("ip", "-n", scanner, "link", "set", "wire", "up")
    wait_until(has_address, within_s=15)
    run("ip", "-n", scanner, "address", "add", f"{TAP}/24", "dev", "wire")
    run("ip", "-n", scanner, "link", "set", "wire", "down")
    run("ip", "-n", scanner, "link", "set", "wire", "up")
    assert f"somebody has {TAP} already" in watching.communicate(timeout=60)[1]
    assert watching.returncode == 1
    assert built.name("tap e") not in run("ip", "netns")
