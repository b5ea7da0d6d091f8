"""The readers understand what the real tools print, raise what a person must know, and say once what is missing."""

import contextlib
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from hardware import readings
from hardware.judgement import judge
from hardware.readings import NoAnswer, NotHere, ReaderSettings
from hardware.readings.tool import output_of
from hardware.records import Severity
from kspace.registry import plugins

DATA = Path(__file__).parent / "data"


def build(kind, port=None, **settings):
    """Return a reader with its port in the place of the machine's."""
    plugin = plugins(readings)[kind]
    name = {"raid": "mdstat", "temperature": "sensors", "network": "counters", "certificates": "clock"}.get(kind, "run")
    return plugin.build(plugin.settings(**settings), **{name: port})


def printed(*names):
    """Return the port of a tool that prints these recorded outputs in turn, the last again and again."""
    left = [(DATA / name).read_text() for name in names]
    return lambda *_: left.pop(0) if len(left) > 1 else left[0]


def findings(reader):
    return {finding.key: finding for finding in judge(reader.read(), reader.limits, was={})}


def values(reader):
    return {(reading.what, reading.of): reading.value for reading in reader.read()}


@pytest.mark.parametrize(
    ("recorded", "missing", "found"),
    [
        ("clean", {"md0": 0, "md1": 0}, {}),
        ("resync", {"md0": 0, "md1": 0}, {}),
        ("failed", {"md0": 1, "md1": 1}, {"raid:md0": "failed: loop1", "raid:md1": "failed: loop3"}),
        ("removed", {"md0": 1, "md1": 1}, {"raid:md0": "lacks 1 of its disks. ", "raid:md1": "failed: loop3"}),
        ("rebuild", {"md0": 1, "md1": 1}, {"raid:md0": "recovery at 3.1 %", "raid:md1": "failed: loop3"}),
        (
            "dead",
            {"md0": 1, "md1": 3},
            {"raid:md0": "recovery", "raid:md1": "loop4, loop3, loop2", "raid_down:md1": "does not run"},
        ),
        ("rebuilt", {"md0": 0, "md1": 3}, {"raid:md1": "lacks 3", "raid_down:md1": "does not run"}),
    ],
)
def test_an_array_is_read_through_every_trouble(recorded, missing, found):
    reader = build("raid", printed(f"mdstat-{recorded}.txt"))
    assert {of: value for (what, of), value in values(reader).items() if what == "raid_missing_members"} == missing
    told = findings(reader)
    assert set(told) == set(found)
    assert all(words in told[key].text for key, words in found.items())
    assert {finding.severity for finding in told.values()} <= {Severity.CRITICAL}


@pytest.mark.parametrize(
    ("recorded", "bad", "errors", "words"),
    [
        ("degraded", 1, 0, "DEGRADED (not whole: c1t1d0)"),
        ("unavailable", 1, 5, "UNAVAIL (not whole: c1t1d0)"),
        ("spare", 1, 1, "DEGRADED (not whole: 16876260487220383698)"),
    ],
)
def test_a_zfs_pool_that_is_not_whole_is_critical(recorded, bad, errors, words):
    reader = build("zfs", printed(f"zpool-status-{recorded}.txt"))
    (name,) = {of for _, of in values(reader)}
    assert values(reader) == {("zfs_bad_devices", name): bad, ("zfs_errors", name): errors}
    told = findings(reader)
    assert set(told) == {f"zfs:{name}"} | {f"zfs_errors:{name}" for _ in range(bool(errors))}
    assert words in told[f"zfs:{name}"].text


def test_a_box_without_zfs_pools_has_no_readings():
    assert list(build("zfs", lambda _: "no pools available\n").read()) == []


SCAN = json.dumps({"smartctl": {"exit_status": 0}, "devices": [{"name": "/dev/sdc", "type": "sat"}]})


def disk(recorded):
    said = [SCAN, (DATA / f"smartctl-{recorded}.json").read_text()]
    return build("smart", lambda command: said["--scan-open" not in command])


def test_a_failing_disk_says_so():
    told = findings(disk("failing"))
    assert {key: finding.severity for key, finding in told.items()} == {
        "disk_health:sdc": Severity.CRITICAL,
        "disk_pending:sdc": Severity.WARNING,
        "disk_reallocated:sdc": Severity.WARNING,
    }
    assert "1975 replaced sectors" in told["disk_reallocated:sdc"].text


@pytest.mark.parametrize(("recorded", "celsius"), [("nvme", 35), ("ssd", 47)])
def test_a_good_disk_tells_health_warmth_and_wear(recorded, celsius):
    found = values(disk(recorded))
    assert found["disk_is_healthy", "sdc"] == 1
    assert found["disk_temperature_celsius", "sdc"] == celsius
    assert found["disk_wear_percent", "sdc"] == 0
    assert findings(disk(recorded)) == {}


def test_disks_that_may_not_be_read_are_no_answer():
    with pytest.raises(NoAnswer, match="none of 1 disks"):
        list(disk("unknown").read())
    with pytest.raises(NoAnswer, match="no JSON"):
        list(build("smart", lambda _: "smartctl 6.6").read())


def test_the_clock_is_told_by_chrony_and_else_by_systemd():
    together = build("clock", printed("chronyc-synchronised.txt"))
    assert values(together) == {
        ("clock_is_synchronised", "relay"): 1,
        ("clock_offset_seconds", "relay"): pytest.approx(0.000000562),
    }
    assert findings(together) == {}
    assert set(findings(build("clock", printed("chronyc-alone.txt")))) == {"clock_sync:relay"}

    def systemd_alone(command):
        if command[0] == "chronyc":
            raise NotHere("chronyc is not installed.")
        return "NTPSynchronized=yes\n"

    assert values(build("clock", systemd_alone)) == {("clock_is_synchronised", "relay"): 1}


def test_a_ups_on_battery_is_critical_and_mains_are_not():
    assert findings(build("ups", printed("upsc-mains.txt"), address="ups@localhost")) == {}
    told = findings(build("ups", printed("upsc-empty.txt"), address="ups@localhost"))
    assert set(told) == {"ups:ups"}
    assert "(1 % left)" in told["ups:ups"].text
    assert values(build("ups", printed("upsc-empty.txt"), address="logic"))["ups_battery_is_low", "logic"] == 1
    assert list(build("ups", printed("upsc-empty.txt")).read()) == [], "none is named"


def sensor(label, current):
    return SimpleNamespace(label=label, current=current)


def test_a_hot_machine_is_told_and_one_without_sensors_is_a_fact():
    chips = {"coretemp": [sensor("Package id 0", 90.0), sensor("", 40.0)], "nvme": [sensor("Composite", 99.0)]}
    told = findings(build("temperature", lambda: chips))
    assert set(told) == {"hot:coretemp/Package id 0"}, "disks have limits of their own"
    with pytest.raises(NotHere):
        list(build("temperature", dict).read())


def interface(*, up=True, speed=1000, flags="up,broadcast,running"):
    return SimpleNamespace(isup=up, speed=speed, flags=flags)


def counted(good=0, bad=0):
    return SimpleNamespace(
        bytes_recv=0, bytes_sent=0, packets_recv=good, packets_sent=0, errin=bad, errout=0, dropin=0, dropout=0
    )


def test_an_interface_is_down_slow_or_loses_packets():
    looks = [
        ({"eth0": interface(), "lo": interface(flags="up,loopback")}, {"eth0": counted(), "lo": counted()}),
        ({"eth0": interface(speed=100)}, {"eth0": counted(good=9_900, bad=100)}),
        ({"eth0": interface(up=False)}, {"eth0": counted(good=10, bad=0)}),
    ]
    reader = build("network", lambda: looks.pop(0), interfaces=("eth0",))
    assert findings(reader) == {}
    told = findings(reader)
    assert set(told) == {"network_slow:eth0", "network_bad:eth0"}
    assert "1.00 % of the packets" in told["network_bad:eth0"].text
    assert set(findings(reader)) == {"network_down:eth0"}, "counters that began anew are no errors"


def test_the_machines_own_interfaces_can_be_read():
    plugin = plugins(readings)["network"]
    assert all(reading.value >= 0 for reading in plugin.build(plugin.settings()).read())


class At:
    """A clock that stands."""

    def __init__(self, at):
        self._at = at

    def now(self):
        return self._at


def test_a_certificate_that_ends_soon_is_told_and_one_that_cannot_be_read_too(tmp_path, certificate):
    ends_at = datetime(2026, 6, 1, tzinfo=UTC)
    file = certificate(tmp_path / "relay.pem", ends_at=ends_at)
    for days, severity in {40: None, 20: Severity.WARNING, 1: Severity.CRITICAL, -1: Severity.CRITICAL}.items():
        reader = build("certificates", At(ends_at - timedelta(days=days)), files=(file,))
        assert [finding.severity for finding in findings(reader).values()] == [severity] * (severity is not None)
    reader, seen = build("certificates", At(ends_at), files=(file, tmp_path / "gone.pem")), []
    with pytest.raises(NoAnswer, match=r"certificate of gone\.pem cannot be read"):
        seen.extend(reader.read())
    assert len(seen) == 1, "what can be read was"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Make a program of the system out of a shell script."""

    def make(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_a_tool_that_is_missing_fails_or_hangs_is_told_apart(tool):
    with pytest.raises(NotHere, match="never-made is not installed"):
        output_of(["never-made"], timeout_s=5)
    tool("broken", "exit 3")
    with pytest.raises(NoAnswer, match="exit code 3"):
        output_of(["broken"], timeout_s=5)
    assert output_of(["broken"], timeout_s=5, takes=(0, 3)) == ""
    tool("hung", "exec /bin/sleep 60")
    with pytest.raises(NoAnswer, match="did not end within 0 s"):
        output_of(["hung"], timeout_s=0.2)
    tool("binary", "printf '\\377\\376'")
    with pytest.raises(NoAnswer, match="no text"):
        output_of(["binary"], timeout_s=5)


@pytest.mark.parametrize("kind", sorted(plugins(readings)))
def test_every_reader_keeps_the_port(kind):
    plugin = plugins(readings)[kind]
    assert issubclass(plugin.settings, ReaderSettings)
    reader = plugin.build(plugin.settings())
    assert all(limit.text.format(of="x", value=1.0, said="y") for limit in reader.limits)
    seen = []
    with contextlib.suppress(NotHere, NoAnswer):  # whatever this machine has
        seen.extend(reader.read())
    assert all(reading.of and reading.what.islower() for reading in seen)
