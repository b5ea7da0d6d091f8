"""The acceptance test of a box: what must be true before it goes beside a scanner, a line each."""

import os
import pwd
from collections.abc import Iterator
from typing import Any

from hardware import readings
from hardware.host.drill import clear, last_kept
from hardware.host.selftests import passed_self_tests
from hardware.host.speed import measure
from hardware.judgement import judge
from hardware.readings import NotHere
from kspace.errors import KspaceError
from kspace.registry import plugins
from transfer.app.checks import Finding
from transfer.app.wiring import Box
from transfer.config import Config, settings_of

_READ = {"smart": "disks", "raid": "RAID", "zfs": "ZFS", "network": "network", "clock": "clock"}


def accept_machine(config: Config) -> Iterator[Finding]:
    """Judge what the machine says of itself: disks and their self-tests, mirrors, links, clock. As root."""
    here = {}
    for kind, what in _READ.items():
        found = list(_judged(config, kind, what))
        here[kind] = bool(found)
        yield from found
    if not here["raid"] and not here["zfs"]:
        said = "none, so one dead disk loses what is not sent yet; see hardware/README.md"
        yield Finding("mirror", is_right=False, said=said)
    yield from _self_tests()


def accept_pool(box: Box, *, gigabytes: float) -> Finding:
    """Measure the spool's disk, written and synced, then read, against what all scanners may send together."""
    wanted = sum(scanner.limit_mbit_per_s for scanner in box.config.scanner) * 1e6 / 8
    try:
        written, read = measure(box.config.relay.spool / "accept.speed", size=int(gigabytes * 1e9))
    except OSError as error:
        return Finding("speed of the pool", is_right=False, said=f"it cannot be measured ({error.strerror})")
    said = f"{written / 1e6:,.0f} MB/s written and synced, {read / 1e6:,.0f} MB/s read; wanted: {wanted / 1e6:,.0f}"
    return Finding("speed of the pool", min(written, read) >= wanted, said)


def after_power_cut(config: Config, *, acknowledged: int) -> Finding:
    """Judge what a power cut left of the drill, whose last number a person saw on another screen.

    The records are removed where all is there; otherwise they stay, for whoever looks into it.
    """
    folder = config.relay.folder / "power-cut"
    kept = last_kept(folder)
    if kept >= acknowledged:
        clear(folder)
        said = f"all {acknowledged} acknowledged records are there, and {kept - acknowledged} behind them"
        return Finding("power cut", is_right=True, said=said)
    said = (
        f"{acknowledged - kept} of {acknowledged} acknowledged records are lost, from {kept + 1} on: a disk or its "
        "controller says synced too early. Switch its write cache off (hdparm -W0) or take another, and drill again"
    )
    return Finding("power cut", is_right=False, said=said)


def become_account(config: Config) -> None:
    """Go on as the account that the relay's folder belongs to, so that root leaves no file of its own there."""
    owner = config.relay.folder.stat() if config.relay.folder.exists() else None
    if os.geteuid() == 0 and owner is not None and owner.st_uid:
        os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _judged(config: Config, kind: str, what: str) -> Iterator[Finding]:
    given: dict[str, Any] = dict(config.reading.get(kind, {}))
    if kind == "network" and config.host:
        given["interfaces"] = [network.interface for network in config.host.networks]
    reader = plugins(readings)[kind].build(settings_of(readings, {"kind": kind, **given}))
    try:
        read = list(reader.read())
    except NotHere as error:
        if kind not in {"raid", "zfs"}:
            yield Finding(what, is_right=False, said=str(error))
        return
    except KspaceError as error:
        yield Finding(what, is_right=False, said=str(error))
        return
    found = list(judge(read, reader.limits, was={}))
    for finding in found:
        yield Finding(what, is_right=False, said=finding.text)
    if kind == "smart" and not read:
        said = "smartctl finds none, so nobody would hear of one that dies; see `smartctl --scan-open` as root"
        yield Finding(what, is_right=False, said=said)
    if read and not found:
        told = ", ".join(sorted({reading.of for reading in read}))
        yield Finding(what, is_right=True, said=f"nothing is wrong with {told}")


def _self_tests() -> Iterator[Finding]:
    try:
        tests = list(passed_self_tests())
    except KspaceError:
        return  # the reader of disks has said so
    for disk, has_passed in tests:
        if has_passed is None:
            said = f"none behind it; run smartctl -t long /dev/{disk}, and look again when it has ended"
        else:
            said = "passed" if has_passed else "failed: send the disk back"
        yield Finding(f"self-test of {disk}", has_passed is True, said)
