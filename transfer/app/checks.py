"""The checks behind `kspace check`: one generator a subject, one line a finding."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom.settings import ListenerSettings
from hardware.host.encryption import is_encrypted
from hardware.readings import NoAnswer, NotHere
from hardware.readings.clock import ClockReader, ClockSettings
from kspace import sources
from kspace.errors import BadInput, ConfigError, KspaceError
from kspace.sources.settings import Scope
from transfer.app.hosting import warnings_of
from transfer.app.probing import scratch_projects, standing
from transfer.app.wiring import Box
from transfer.catalog.outbox import standing as waiting
from transfer.config import settings_of
from transfer.destinations.imaging import DicomArchive
from transfer.destinations.probing import Advising, Probed
from transfer.destinations.renewing import Renewable

_CLOCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried, whether it is right, and what was seen or is to be done."""

    what: str
    is_right: bool
    said: str
    warns: bool = False
    """It works, and a person should know or change it all the same."""


def run_checks(box: Box, *, destination: str | None = None) -> Iterator[Finding]:
    """Try everything the configuration names, or one destination alone; the scanner's side is only read."""
    if destination is not None:
        yield from _destinations(box, destination)
        return
    for subject in (_spool, _sources, _destinations):
        yield from _however(subject(box))
    for listener in box.config.dicom:
        yield from _listener(listener)
    yield from _however(_sinks(box))
    yield from (Finding("host", is_right=True, said=said, warns=True) for said in warnings_of(box.config))
    yield from _wishes(box)


def _however(found: Iterator[Finding]) -> Iterator[Finding]:
    """Yield what is found; a secret or a file that is not there is a finding too, and hides no other subject."""
    try:
        yield from found
    except ConfigError as error:
        yield Finding("configuration", is_right=False, said=str(error))


def items(box: Box) -> list[str]:
    """Return what can be tried one by one, as `check_item` takes it."""
    config = box.config
    sources_of = [f"{scanner.name}/{n + 1}" for scanner in config.scanner for n in range(len(scanner.source))]
    found = ["spool", "clock", *(f"source {name}" for name in sources_of)]
    found += [f"destination {given['name']}" for given in config.destination]
    found += [f"listener {listener.ae_title}" for listener in config.dicom]
    return [*found, *(f"sink {given['name']}" for given in config.sink)]


def check_item(box: Box, item: str) -> Iterator[Finding]:
    """Try one thing that the configuration names.

    Raises:
        BadInput: it names no such thing.
    """
    kind, _, name = item.partition(" ")
    if item not in items(box):
        raise BadInput(f"The configuration has no {item!r}. Nothing was tried.")
    if kind == "listener":
        yield from _listener(next(given for given in box.config.dicom if given.ae_title == name))
    elif not name:
        yield from {"spool": _spool, "clock": _own_clock}[kind](box)
    else:
        yield from {"source": _sources, "destination": _destinations, "sink": _sinks}[kind](box, name)


def _own_clock(box: Box) -> Iterator[Finding]:
    try:
        told = {r.what: r for r in ClockReader(ClockSettings(**box.config.reading.get("clock", {}))).read()}
    except (NotHere, NoAnswer) as error:
        yield Finding("clock of this machine", is_right=False, said=str(error))
        return
    is_right, offset = told["clock_is_synchronised"].value == 1, told.get("clock_offset_seconds")
    said = "follows a time server" if is_right else "follows no time server; see `chronyc sources`, or `timedatectl`"
    yield Finding("clock of this machine", is_right, said + (f", {offset.value:.3f} s off" if offset else ""))


def _sinks(box: Box, only: str | None = None) -> Iterator[Finding]:
    """Say who would be told, what waits, and whether a mail server answers; that a message is taken only one tells."""
    built = {name: sink for name, (_, sink) in box.sinks().items() if name != "log" and only in {None, name}}
    names = [*built]
    with box.database.read() as connection:
        for sink in waiting(connection, names):
            try:
                there = built[sink["sink"]].answers()
            except KspaceError as error:
                yield Finding(f"sink {sink['sink']}", is_right=False, said=str(error))
                continue
            said = "; ".join(filter(None, (there, "`kspace alerts test` tries it")))
            if sink["failing"]:
                said = f"{sink['waiting']} messages wait. {sink['problem']}"
            yield Finding(f"sink {sink['sink']}", is_right=not sink["failing"], said=said)
    if not names:
        said = "alerts go into the log alone; name a [[sink]] so that somebody hears of them"
        yield Finding("alerts", is_right=True, said=said, warns=True)


def _spool(box: Box) -> Iterator[Finding]:
    spool = box.config.relay.spool
    try:
        with tempfile.TemporaryFile(dir=spool) as probe:
            probe.write(b"probe")
            os.fsync(probe.fileno())
        usage = psutil.disk_usage(str(spool))
        yield Finding("spool", usage.percent < 90, f"writable, {usage.free / 1e9:.1f} GB free ({usage.percent} % full)")
    except OSError as error:
        yield Finding(
            "spool", is_right=False, said=f"not writable ({error.strerror}); give the relay's account the folder"
        )
        return
    yield _secrecy(spool)


def _secrecy(spool: Path) -> Finding:
    """Warn of a disk that could be read by whoever gets it."""
    what = "encryption of the spool"
    try:
        is_secret = is_encrypted(spool.resolve())
    except (KspaceError, OSError) as error:
        return Finding(what, is_right=True, said=f"unknown: {error}", warns=True)
    if is_secret:
        return Finding(what, is_right=True, said="LUKS or ZFS: a disk that is sent back cannot be read")
    said = "no LUKS or ZFS encryption is seen: a disk that is sent back could be read; see hardware/README.md"
    return Finding(what, is_right=True, said=said, warns=True)


def _sources(box: Box, only: str | None = None) -> Iterator[Finding]:
    given = [settings_of(sources, one) for scanner in box.config.scanner for one in scanner.source]
    for (name, (_, source)), settings in zip(box.sources().items(), given, strict=True):
        if only not in {None, name}:
            continue
        if settings.warning:
            yield Finding(f"way to {name}", is_right=True, said=settings.warning, warns=True)
        try:
            number = sum(1 for _ in source.find())
            shows = "all that the scanner has" if settings.scope is Scope.STORE else "only what somebody exported"
            yield Finding(f"source {name}", is_right=True, said=f"readable, {number} raw files; it shows {shows}")
        except KspaceError as error:
            yield Finding(f"source {name}", is_right=False, said=str(error))


def _destinations(box: Box, only: str | None = None) -> Iterator[Finding]:
    archives = box.archives()
    if only is not None and only not in archives:
        raise BadInput(f"No destination is called {only!r}; see [[destination]] in the configuration.")
    for name, archive in archives.items():
        if only not in {None, name}:
            continue
        try:
            yield Finding(f"destination {name}", is_right=True, said=archive.check())
            yield _clock(name, archive.server_date())
            yield from _privacy(box, name, archive)
            if isinstance(archive, Renewable) and (term := archive.term()) is not None:
                warns = term.hindrance is not None
                yield Finding(f"credentials of {name}", is_right=True, said=term.told(), warns=warns)
            if isinstance(archive, Advising):
                for said in archive.advice():
                    yield Finding(f"advice on {name}", is_right=True, said=said, warns=True)
            if isinstance(archive, Probed):
                is_known, said = standing(box, name, archive.server())
                yield Finding(f"probe of {name}", is_right=True, said=said, warns=not is_known)
                yield from _powers(box, name, archive)
        except KspaceError as error:
            yield Finding(f"destination {name}", is_right=False, said=str(error))


def _privacy(box: Box, name: str, archive: Any) -> Iterator[Finding]:  # noqa: ANN401 -- any kind of archive
    """Show what the rules let through of raw data beside what the archive does to images: it never touches raw data."""
    for project in sorted({r.project for r in box.config.route if r.project and name in r.destinations}):
        allowed = [
            f"rule {rule.name!r}: allowed by {rule.identified_raw.allowed_by} on {rule.identified_raw.on}"
            for rule in box.config.rule
            if rule.project == project and not isinstance(rule.identified_raw, str)
        ]
        said = "raw data that name the patient " + (f"leave ({'; '.join(allowed)})" if allowed else "are held")
        if isinstance(archive, DicomArchive):
            site, own = ("on" if is_on else "off" for is_on in archive.scripts(project))
            said += f"; the archive's scripts, which touch images only: site {site}, project {own}"
        yield Finding(f"privacy of {project} in {name}", is_right=True, said=said)


def _powers(box: Box, name: str, archive: Probed) -> Iterator[Finding]:
    """Warn of an account that may do more than it must: what it holds, a thief of its password holds."""
    powers = archive.powers()
    if powers.offices:
        said = f"the account is {' and '.join(powers.offices)} there; the member role in its projects is enough"
        yield Finding(f"account at {name}", is_right=True, said=said, warns=True)
        return
    named = {rule.project for rule in box.rules()} | scratch_projects(box, name)
    if beyond := sorted(powers.projects - named):
        said = f"the account may write to projects that no rule names: {', '.join(beyond)}; take that right away"
        yield Finding(f"account at {name}", is_right=True, said=said, warns=True)


def _clock(name: str, date: str | None) -> Finding:
    if date is None:
        return Finding(f"clock against {name}", is_right=True, said="the server tells no time")
    off_s = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    return Finding(
        f"clock against {name}",
        off_s < _CLOCK_S,
        f"{off_s:.0f} s apart" + ("" if off_s < _CLOCK_S else "; set this machine's clock by NTP"),
    )


def _listener(settings: ListenerSettings) -> Iterator[Finding]:
    what, where = f"DICOM port of {settings.ae_title}", f"{settings.host}:{settings.port}"
    try:
        settings.server_tls()
    except KspaceError as error:
        yield Finding(what, is_right=False, said=str(error))
        return
    yield _openness(settings)
    if settings.port == 0:
        yield Finding(what, is_right=True, said="any free one, told in the log when the listener starts")
        return
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                said = f"{where} cannot be listened on ({error.strerror}); see [dicom] host and port"
                yield Finding(what, is_right=False, said=said)
                return
        else:
            yield Finding(what, is_right=True, said=f"{where} is free; the listener is not running")
            return
    if _echoes(settings):
        yield Finding(what, is_right=True, said=f"{where} answers C-ECHO: the listener is running")
    else:
        said = (
            f"{where} is taken, and no listener answers there that takes this machine; see who holds it, and allowed_ae"
        )
        yield Finding(what, is_right=False, said=said)


def _openness(settings: ListenerSettings) -> Finding:
    """Say who may send, and what a promise to keep is worth."""
    doors = {"allowed_ae": settings.allowed_ae, "allowed_ip": settings.allowed_ip, "tls_ca": settings.tls_ca}
    locks = [name for name, given in doors.items() if given]
    said = f"senders are told apart by {', '.join(locks)}" if locks else "everybody who reaches the port may send"
    is_open = not locks and not ip_address(settings.host).is_loopback
    if is_open:
        said += "; name the scanner in allowed_ae and allowed_ip"
    if settings.commits_here:
        said += "; storage commitment is promised before any archive has the images: see commit_when"
    warns = is_open or settings.commits_here
    return Finding(f"DICOM callers of {settings.ae_title}", is_right=True, said=said, warns=warns)


def _echoes(settings: ListenerSettings) -> bool:
    """Return whether a verification SCP answers (PS3.4, annex A)."""
    entity = AE(ae_title=settings.ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 5
    entity.add_requested_context(Verification)
    tls = settings.client_tls()
    association = entity.associate(
        settings.host,
        settings.port,
        ae_title=settings.ae_title,
        tls_args=(tls, settings.host) if tls else None,
    )
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status) and status.Status == 0


def _wishes(box: Box) -> Iterator[Finding]:
    config = box.config
    if not box.rules():
        yield Finding("rules", is_right=True, said="none: files are inventoried, nothing is captured")
    for number, route in enumerate(config.route, start=1):
        if route.deidentify is not None:
            said = f"wants the de-identification profile {route.deidentify!r}, and there is none: it sends nothing"
            yield Finding(f"route {number}", is_right=False, said=said)
    if not config.route:
        yield Finding("routes", is_right=False, said="none: received DICOM stays in the spool; add a [[route]]")
