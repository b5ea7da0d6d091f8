"""The files of the host: the tools that will read them take them, and they say no more than the configuration."""

import os
import re
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from pydantic import ValidationError

from hardware.host import host_files
from hardware.host.records import Door, Facts, Served
from hardware.host.settings import HostSettings
from hardware.host.units import unit_of
from hardware.readings import NoAnswer
from hardware.readings.smart import SmartReader, SmartSettings
from kspace.errors import ConfigError

_HOSPITAL = {
    "interface": "lan0",
    "mac": "02:00:00:00:00:01",
    "address": "10.1.2.9/24",
    "gateway": "10.1.2.1",
    "name_servers": ["10.1.2.1", "10.1.2.2"],
    "time_servers": ["10.1.2.1"],
    "page_from": ["10.1.0.0/16", "10.1.7.0/24"],
    "also_out": ["10.1.2.25:587"],
}
_ADMIN = {"interface": "adm0", "address": "10.9.0.9/24", "ssh_from": ["10.9.0.0/24"]}
_TAPS = [
    {
        "scanner": "prisma-1",
        "interface": "tap0",
        "address": "192.168.2.50/24",
        "server": [
            {"at": "127.7.1.1:445", "to": "192.168.2.1:445"},
            {"at": "127.7.1.2:22", "to": "192.168.2.2:22"},
        ],
    },
    {
        "scanner": "vida.2",
        "interface": "tap1",
        "address": "192.168.2.50/24",
        "server": [{"at": "127.7.2.2:2049", "to": "192.168.2.2:2049"}],
    },
]
_AT = {"at": "127.7.1.1:445", "to": "192.168.2.1:445"}
_SHARES = [
    {
        "scanner": "prisma-1",
        "server": "127.7.1.1",
        "name": "raw 100% $",
        "path": "/mnt/prisma-1",
        "credentials": "/etc/kspace/prisma-1.smb",
    },
    {"scanner": "vida.2", "server": "127.7.2.2", "kind": "nfs4", "name": "export/raw", "path": "/mnt/vida.2"},
    {"scanner": "skyra", "server": "10.1.2.40", "name": "raw", "path": "/mnt/skyra"},
]
_DOOR = Door(title="KSPACE", host="10.1.2.9", port=104, allowed=("10.1.2.3", "10.1.3.0/24", "10.1.3.7"))
_FACTS = Facts(
    name="relay-1",
    folder=Path("/var/lib/kspace"),
    doors=(_DOOR,),
    out_ports=(443, 8080),
    calls=("10.1.2.3:104", "127.7.1.2:22"),
)


def settings(**more) -> HostSettings:
    return HostSettings.model_validate({"hospital": _HOSPITAL, "admin": _ADMIN, "tap": _TAPS, "share": _SHARES} | more)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return host_files(settings(), _FACTS)


@pytest.fixture(scope="module")
def written(made, tmp_path_factory) -> Path:
    """Lay the files into a folder, with the programs that units name at places that exist."""
    root = tmp_path_factory.mktemp("root")
    for path, text in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(re.sub(r"/(opt/kspace/bin/kspace|usr/local/lib/kspace/(tap-)?\S+)", "/bin/true", text))
    return root


def said(*command: str | Path) -> tuple[int, str]:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("file", ["etc/nftables.conf", "etc/kspace/tap-prisma-1.nft", "etc/kspace/tap-vida.2.nft"])
def test_nft_takes_the_rules(file, written, requires):
    assert said("unshare", "-rn", requires("nft"), "-c", "-f", written / file) == (0, "")


def test_systemd_finds_nothing_to_say_about_the_units(written, requires):
    units = sorted((written / "etc/systemd/system").iterdir())
    assert len(units) == 1 + 2 + 2 + 3 * 2 + 3 * 2
    assert said(requires("systemd-analyze"), "verify", "--man=no", *units) == (0, "")


def test_the_check_of_units_can_fail(written, requires, tmp_path):
    unit = tmp_path / "kspace.service"
    text = (written / "etc/systemd/system/kspace.service").read_text()
    unit.write_text(text.replace("WatchdogSec", "WatchdogSek"))
    assert "WatchdogSek" in said(requires("systemd-analyze"), "verify", "--man=no", unit)[1]


@pytest.mark.parametrize("name", ["kspace.service", "kspace-tap-prisma-1-1.service"])
def test_a_service_is_hardly_exposed(name, written, requires):
    unit = written / "etc/systemd/system" / name
    code, text = said(requires("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager", unit)
    assert code == 0, text


def test_a_mount_is_called_as_systemd_escapes_its_path(requires):
    for path in ("/mnt/prisma-1", "/mnt/vida.2", "/srv/.raw/a_b", "/mnt/a@b+c/d"):
        assert (
            unit_of(Path(path), "mount")
            == said(requires("systemd-escape"), "--path", "--suffix=mount", path)[1].strip()
        )


@pytest.mark.parametrize("pool", ["mdadm", "zfs"])
def test_the_shell_can_read_the_programs(pool, requires, tmp_path):
    made = host_files(settings(pool=pool), _FACTS)
    programs = {path: text for path, text in made.items() if text.startswith("#!/bin/sh")} | {
        "INSTALL.txt": made["INSTALL.txt"]
    }
    assert len(programs) == 5
    for number, text in enumerate(programs.values()):
        (tmp_path / str(number)).write_text(text)
        assert said("sh", "-n", tmp_path / str(number)) == (0, "")


@pytest.mark.parametrize("pool", ["mdadm", "zfs"])
def test_the_commands_of_the_pool_do_nothing_until_a_person_has_read_them(pool, tmp_path):
    commands = host_files(settings(pool=pool), _FACTS)["POOL.sh"]
    (tmp_path / "POOL.sh").write_text(commands)
    assert said("sh", tmp_path / "POOL.sh") == (1, "Read this file first.\n")
    assert "writeback" not in re.sub(r"^#.*$", "", commands, flags=re.MULTILINE)
    assert ("--cachemode writethrough" in commands) == (pool == "mdadm")
    assert ("luksFormat" in commands) == (pool == "mdadm")
    assert ("encryption=aes-256-gcm" in commands) == (pool == "zfs")


def test_chrony_takes_its_file(written, requires):
    code, text = said(requires("chronyd"), "-p", "-f", written / "etc/chrony/chrony.conf")
    assert code == 0, text
    assert {"server 10.1.2.1 iburst", "port 0", "bindcmdaddress 127.0.0.1"} <= set(text.splitlines())


def test_apt_takes_its_file(written, requires):
    code, text = said(requires("apt-config"), "-c", written / "etc/apt/apt.conf.d/52kspace", "dump")
    assert code == 0
    assert 'APT::Periodic::Unattended-Upgrade "1";' in text


def test_the_firewall_admits_what_is_configured_where_it_is_configured(made):
    came_in = made["etc/nftables.conf"].split("chain forward")[0]
    assert re.findall(r'iifname "(\w+)" ip saddr \{ (.*?) \} ip daddr (\S+) tcp dport (\d+) accept', came_in) == [
        ("lan0", "10.1.2.3/32, 10.1.3.0/24", "10.1.2.9", "104"),
        ("lan0", "10.1.0.0/16", "10.1.2.9", "8443"),
        ("adm0", "10.9.0.0/24", "10.9.0.9", "22"),
    ]
    assert came_in.count("accept") == 3 + 2
    assert made["etc/nftables.conf"].count("policy drop") == 3


def test_the_firewall_lets_out_what_is_configured(made):
    went_out = made["etc/nftables.conf"].split("chain output")[1]
    assert re.findall(r"(?:ip daddr (\S+|\{.*?\}) )?(?:udp|tcp) dport (\d+|\{.*?\})", went_out) == [
        ("{ 10.1.2.1, 10.1.2.2 }", "53"),
        ("{ 10.1.2.1, 10.1.2.2 }", "53"),
        ("{ 10.1.2.1 }", "123"),
        ("", "{ 80, 443, 8080 }"),
        ("10.1.2.25", "587"),
        ("10.1.2.3", "104"),
        ("10.1.2.40", "445"),
    ]
    assert "192.168.2." not in made["etc/nftables.conf"]


def test_a_mount_waits_for_the_tap_that_carries_it(made):
    place = "etc/systemd/system/mnt-"
    tapped, plain = made[place + r"prisma\x2d1.mount"], made[place + "skyra.mount"]
    assert "After=kspace-tap-prisma-1.service" in tapped
    assert "What=//127.7.1.1/raw 100%% $" in tapped
    assert "After=network-online.target" in plain
    assert all("Options=ro," in text for path, text in made.items() if path.endswith(".mount"))


def test_a_port_below_1024_takes_one_right_and_no_other(made):
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in made["etc/systemd/system/kspace.service"]
    high = Facts(name="relay-1", folder=Path("/var/lib/kspace"))
    assert "CAP_" not in host_files(settings(), high)["etc/systemd/system/kspace.service"]


def test_the_plan_tells_who_calls_whom(made):
    plan = made["NETWORK.txt"]
    assert "back end of prisma-1 (tap-prisma-1)  192.168.2.50/24" in plan
    assert "DICOM 104 from 10.1.2.3 10.1.3.0/24 10.1.3.7, page 8443 from 10.1.0.0/16 10.1.7.0/24" in plan
    asked = host_files(settings(), Facts(name="r", folder=Path("/r"), metrics="10.9.0.9:9747"))["NETWORK.txt"]
    assert "SSH 22 from 10.9.0.0/24, metrics 9747" in asked


@pytest.mark.parametrize(
    ("door", "reason"),
    [
        (Door(title="A", host="10.1.2.9", port=104, allowed=()), "admits every address"),
        (Door(title="A", host="0.0.0.0", port=0, allowed=("10.1.2.3",)), "port of its own"),
        (Door(title="A", host="10.1.2.9", port=104, allowed=("fd00::1",)), "IPv4 callers"),
        (Door(title="A", host="10.1.2.8", port=104, allowed=("10.1.2.3",)), "no network of"),
    ],
)
def test_what_a_firewall_cannot_admit_exactly_is_refused(door, reason):
    with pytest.raises(ConfigError, match=reason):
        host_files(settings(), Facts(name="r", folder=Path("/r"), doors=(door,)))


def test_metrics_are_asked_for_from_the_network_where_they_are_told():
    def came_in(place: str, **more) -> str:
        return host_files(settings(**more), Facts(name="r", folder=Path("/r"), metrics=place))["etc/nftables.conf"]

    asked = 'iifname "adm0" ip saddr { 10.9.0.0/24 } ip daddr 10.9.0.9 tcp dport 9747 accept'
    assert asked in came_in("10.9.0.9:9747")
    assert "ip saddr { 10.1.0.0/16 } ip daddr 10.1.2.9 tcp dport 9747" in came_in("10.1.2.9:9747")
    assert "9747" not in came_in("127.0.0.1:9747")
    with pytest.raises(ConfigError, match="Nobody may ask"):
        came_in("10.1.2.9:9747", hospital={k: v for k, v in _HOSPITAL.items() if k != "page_from"})


def test_of_a_name_the_firewall_knows_the_port_alone():
    rules = host_files(settings(), Facts(name="r", folder=Path("/r"), calls=("udp log.example:514",)))[
        "etc/nftables.conf"
    ]
    assert 'oifname "lan0" ip saddr 10.1.2.9 udp dport 514 accept' in rules


@pytest.mark.parametrize("taken", ["192.168.2.1", "192.168.2.2", "192.168.2.3", "192.168.2.0", "192.168.2.255"])
def test_a_tap_never_takes_the_scanner_s_own_addresses(taken):
    with pytest.raises(ValidationError, match="host or reconstructor"):
        settings(tap=[_TAPS[0] | {"address": f"{taken}/24"}])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"tap": [*_TAPS, _TAPS[0] | {"interface": "tap2"}]}, "stands twice"),
        ({"tap": [_TAPS[0], _TAPS[1] | {"interface": "tap0"}]}, "stands twice"),
        ({"tap": _TAPS[:1]}, "no tap carries 127.7.2.2:2049"),
        ({"tap": [_TAPS[0] | {"server": [_AT | {"to": "192.168.3.1:445"}]}]}, "must be other addresses in"),
        ({"tap": [_TAPS[0] | {"server": [_AT | {"at": "10.1.2.9:445"}]}]}, "must begin with 127"),
        ({"tap": [_TAPS[0] | {"server": [_AT, _AT]}]}, "stands twice"),
        ({"tap": [_TAPS[0] | {"server": [_AT | {"at": "127.7.1.1"}]}]}, "address:port"),
        ({"tap": [_TAPS[0] | {"server": [_AT | {"to": "host:445"}]}]}, "Expected 4 octets"),
        ({"tap": [_TAPS[0] | {"server": [_AT | {"to": "192.168.2.50:445"}]}]}, "must be other addresses in"),
        ({"admin": _ADMIN | {"address": "10.1.2.200/24"}}, "overlap"),
        ({"hospital": _HOSPITAL | {"gateway": "10.1.3.1"}}, "gateway"),
        ({"program": "/opt/a b/kspace"}, "letters, digits"),
        ({"program": "/usr/local/kspace"}, "must end in"),
        ({"hospital": _HOSPITAL | {"name_servers": ["127.0.0.53"]}}, "lets nothing out to 127"),
        ({"hospital": _HOSPITAL | {"time_servers": ["10.9.0.1"]}}, "lets nothing out to 10.9.0.1"),
        ({"share": [_SHARES[0] | {"name": 'raw"; reboot'}, _SHARES[1]]}, "string_pattern_mismatch|String should match"),
    ],
)
def test_a_host_that_cannot_be_is_refused(wrong, reason):
    with pytest.raises(ValidationError, match=reason):
        settings(**wrong)


def test_the_address_of_a_tap_may_be_any_other():
    assert settings(tap=[_TAPS[0] | {"address": "192.168.2.4/24"}], share=_SHARES[:1]).tap[0].address == IPv4Interface(
        "192.168.2.4/24"
    )


_SMARTCTL = """#!/bin/sh
case "$*" in
    "--scan-open") echo "/dev/sda -d sat # /dev/sda [SAT], ATA device" ;;
    *--scan-open) echo '{"smartctl": {"exit_status": 0}, "devices": [{"name": "/dev/sda", "type": "sat"}]}' ;;
    *"-d sat /dev/sda") cat "$RECORDED"; exit 4 ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def left(made, tmp_path) -> Path:
    """What root's timer leaves of a disk whose words are recorded."""
    for name, text in {"smartctl": _SMARTCTL, "smart": made["usr/local/lib/kspace/smart"]}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "left").mkdir()
    recorded = Path(__file__).parent / "data/smartctl-ssd.json"
    path = f"{tmp_path}:{os.environ['PATH']}"
    given = {"RUNTIME_DIRECTORY": str(tmp_path / "left"), "RECORDED": str(recorded), "PATH": path}
    subprocess.run([tmp_path / "smart"], check=True, env=given, timeout=60)
    return tmp_path / "left"


def test_the_relay_reads_what_root_s_timer_left_of_the_disks(left):
    read = list(SmartReader(SmartSettings(left_in=left)).read())
    assert {reading.of for reading in read} == {"sda"}
    assert "disk_is_healthy" in {reading.what for reading in read}


def test_old_words_of_the_disks_are_no_answer(left):
    os.utime(left / "scan.json", (0, 0))
    with pytest.raises(NoAnswer, match="h old"):
        list(SmartReader(SmartSettings(left_in=left)).read())
    (left / "scan.json").unlink()
    with pytest.raises(NoAnswer, match="there is none"):
        list(SmartReader(SmartSettings(left_in=left)).read())


def test_zfs_is_asked_from_inside_the_unit():
    unit = host_files(settings(pool="zfs"), _FACTS)["etc/systemd/system/kspace.service"]
    assert "DeviceAllow=/dev/zfs rw" in unit
    assert "PrivateDevices" not in unit


_SERVED = Served(
    scanner="skyra",
    share="skyra",
    path=Path("/var/lib/kspace/exports/skyra"),
    address=IPv4Address("10.1.2.3"),
    user="skyra",
    quota_gb=200,
)


@pytest.mark.parametrize("pool", ["mdadm", "zfs"])
def test_a_served_folder_has_its_share_its_door_its_unit_and_its_quota(pool, requires, tmp_path):
    made = host_files(settings(pool=pool), replace(_FACTS, served=(_SERVED,)))
    assert "ip saddr 10.1.2.3 ip daddr 10.1.2.9 tcp dport 445 accept" in made["etc/nftables.conf"]
    assert "exports (SMB 445) from 10.1.2.3" in made["NETWORK.txt"]
    assert ("bhard=195312500k" if pool == "mdadm" else "quota=195312500K") in made["INSTALL.txt"]
    assert "kspace-exports.service" in made["INSTALL.txt"]
    (tmp_path / "exports.conf").write_text(made["etc/kspace/exports.conf"])
    _, text = said(requires("testparm"), "-s", tmp_path / "exports.conf")  # its folders are not on this machine
    assert {"worm:grace_period = 0", "vfs objects = worm", "hosts allow = 10.1.2.3"} <= {
        *map(str.strip, text.split("\n"))
    }
    assert not re.search("unknown|ignoring", text, re.IGNORECASE), text
    unit = tmp_path / "kspace-exports.service"
    unit.write_text(made[f"etc/systemd/system/{unit.name}"])
    assert said(requires("systemd-analyze"), "verify", "--man=no", unit) == (0, "")
    exposed = said(requires("systemd-analyze"), "security", "--offline=yes", "--threshold=30", "--no-pager", unit)
    assert exposed[0] == 0, exposed[1]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"path": Path("/srv/exports")}, "must lie below /var/lib/kspace"),
        ({"address": IPv4Address("192.168.2.1")}, "network of tap0, from where nothing may call in"),
        ({"address": IPv4Address("10.9.0.7")}, "network of adm0"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused(wrong, reason):
    with pytest.raises(ConfigError, match=reason):
        host_files(settings(), replace(_FACTS, served=(replace(_SERVED, **wrong),)))


def test_without_a_served_folder_there_is_no_samba(made):
    assert not [name for name in made if "exports" in name]
    assert "samba" not in made["INSTALL.txt"]
    assert "dport 445 accept comment" not in made["etc/nftables.conf"]
