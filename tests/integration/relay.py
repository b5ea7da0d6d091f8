"""A whole relay for tests: its configuration, raw files with matching DICOM, a sender that does not give up."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE

from dicom.synthetic import SyntheticSeries, write_session
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.catalog.database import Database
from transfer.config import load_config

_TICK_8_AM = 8 * 3600 * 400
_SHORT_S = 0.05
_AGAIN_S = 0.3
_SLOW = 3
"""How much slower a machine may be that has other work too: limits of time are there to end what never comes."""
_RELAY = """\
[relay]
name = "box"
folder = "{folder}/relay"
backoff_s = {backoff_s}
keep_s = {keep_s}
no_series_after_s = {no_series_after_s}
chunk_bytes = {chunk_bytes}

[dicom]
port = {port}
quiet_s = 0.5
"""
_SCANNER = """
[[scanner]]
name = "{name}"
practice = true
poll_s = 0.3
quiet_s = 0.6
patience_s = 3.0
limit_mbit_per_s = {limit}

  [[scanner.source]]
  kind = "share"
  path = "{folder}/{name}"
"""
_DESTINATION = """
[[destination]]
name = "{name}"
kind = "xnat"
url = "{url}"
user = "relay"
password = {{ file = "{folder}/{name}-password" }}
part_bytes = {part_bytes}
timeout_s = {timeout_s}
{more}
"""
_WAY = """
[[route]]
destinations = {destinations}
project = "{project}"

[[rule]]
name = "all gradient echoes"
project = "{project}"
protocols = ["gre_*"]
{identified}
"""


def wait_until(is_so: Callable[[], Any], *, within_s: float, told: Callable[[], object] = str) -> None:
    """Wait until something is so, or fail with what ``told`` says then. What is not there yet is not so."""
    until, never = time.monotonic() + within_s * _SLOW, threading.Event()
    while not _holds(is_so):
        assert time.monotonic() < until, f"not so within {within_s * _SLOW} s: {told()}"
        never.wait(_SHORT_S)


def _holds(is_so: Callable[[], Any]) -> bool:
    try:
        return bool(is_so())
    except KeyError:  # such as a capture of a file that was not listed yet
        return False


def measurement(number: int, *, baseline: str = "XA", study: int = 1, **more: Any) -> Synthetic:
    """Return the measurement of a number: no two share MID, protocol, ticks or samples; a study is one visit."""
    is_vb = baseline == "VB"
    given = {
        "baseline": baseline,
        "mid": number,
        "fid": 40_000 + number,
        "serial": "35000" if is_vb else "210000",
        "protocol": f"gre_{number}",
        "lprotid": -number if is_vb else number,
        "stamp": f"2026010507{study:02}00000",
        "study_uid": None if is_vb else f"1.3.12.2.1107.5.2.50.210000.3000002601050830000000{study:04}",
        "first_tick": _TICK_8_AM + number * 4000,
        "readouts": 96,
        "seed": number,
    }
    return Synthetic(**(given | more))


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw file on a share and the images that were made of it."""

    path: Path
    sha256: str
    images: tuple[Path, ...]


def make(path: Path, twix: Synthetic, *, study: int = 1, comments: str = "", before: Sequence[Synthetic] = ()) -> Raw:
    """Write a raw file, with adjustments before its imaging measurement, and, beside the share, its images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_twix(path, *before, twix)
    middle = twix.first_tick + twix.readouts // 2 * twix.tick_step
    series = SyntheticSeries(
        baseline="VB" if twix.baseline == "VB" else "XA",
        serial=twix.serial,
        number=twix.mid,
        protocol=twix.protocol,
        lprotid=twix.lprotid,
        ticks=(middle, middle + twix.tick_step),
        frame_of_reference=twix.frame_of_reference,
        study_uid=twix.study_uid or f"1.3.12.2.1107.5.2.32.{twix.serial}.3000002601050830000000{study:04}",
        patient_id=f"PRACTICE-{twix.baseline}-{study}",
        comments=comments,
    )
    images = write_session(path.parent.parent / "images" / f"{twix.baseline}-{study}", series)
    return Raw(path, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(images))


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A relay's folder and configuration; started as often and as a whole or in parts as a test likes."""

    folder: Path
    urls: dict[str, str]
    scanners: tuple[str, ...] = ("scanner",)
    project: str = "DEMO"
    password: str = "relay"
    port: int = 0
    limit: int = 1000
    chunk_bytes: int = 65_536
    part_bytes: int = 200_000
    keep_s: int = 0
    no_series_after_s: int = 86_400
    timeout_s: int = 20
    backoff_s: float = 0.1
    identified: str = ""
    tables: str = ""
    """Further tables of the configuration, as TOML."""
    more: dict[str, str] = field(default_factory=dict)
    """Further settings of a destination, as TOML, by its name."""
    parts: dict[str, int] = field(default_factory=dict)
    """Other part sizes, by the destination's name."""
    others: dict[str, str] = field(default_factory=dict)
    """Destinations of other kinds that get everything too: their settings, as TOML, by name."""

    def but(self, **more: Any) -> "Relay":
        """Return the same relay with a changed configuration."""
        return replace(self, **more)

    def write(self) -> Path:
        """Write the configuration, the shares and the passwords, and return the configuration's path."""
        given = vars(self)
        text = _RELAY.format(**given)
        for name in self.scanners:
            (self.folder / name).mkdir(exist_ok=True)
            text += _SCANNER.format(**given, name=name)
        for name, url in self.urls.items():
            (self.folder / f"{name}-password").write_text(self.password)
            text += _DESTINATION.format(
                folder=self.folder,
                name=name,
                url=url,
                part_bytes=self.parts.get(name, self.part_bytes),
                timeout_s=self.timeout_s,
                more=self.more.get(name, ""),
            )
        for name, settings in self.others.items():
            text += f'\n[[destination]]\nname = "{name}"\n{settings}\n'
        text += _WAY.format(**given, destinations=[*self.urls, *self.others])
        path = self.folder / "relay.toml"
        path.write_text(text + self.tables)
        return path

    @contextmanager
    def running(self) -> Iterator["Running"]:
        """Run engine and listener in this process."""
        box = Box(load_config(self.write()))
        [listener], engine = box.listeners(), box.engine()
        listener.start()
        engine.start()
        try:
            yield Running(box, listener.port)
        finally:
            engine.stop()
            listener.stop()
            box.close()


@dataclass(frozen=True, slots=True)
class Running:
    """A relay that runs, and what its catalog says."""

    box: Box
    port: int

    def captures(self) -> dict[str, dict[str, Any]]:
        """Return every capture by its path on the share."""
        return captures_of(self.box.database)

    def stories(self) -> dict[str, dict[str, Any]]:
        """Return everything about every capture, by its path."""
        with self.box.database.read() as connection:
            return {r["path"]: lists.story(connection, r["id"]) for r in lists.captures(connection)}

    def deliveries(self, *, kind: str, to: str) -> list[dict[str, Any]]:
        """Return one destination's deliveries of a kind."""
        with self.box.database.read() as connection:
            return [d for d in lists.deliveries(connection, kind=kind) if d["destination"] == to]

    def alerts(self) -> list[str]:
        """Return the texts of the open alerts."""
        with self.box.database.read() as connection:
            return [a["text"] for a in lists.alerts(connection)]


def captures_of(database: Database) -> dict[str, dict[str, Any]]:
    """Return every capture by its path; two of the same path are an error."""
    with database.read() as connection:
        rows = lists.captures(connection, limit=1000)
    found = {row["path"]: row for row in rows}
    assert len(found) == len(rows), "a file has two captures"
    return found


def send(images: Iterable[Path], port: int) -> list[Path]:
    """Send images over one association (PS3.4, annex B) and return those that were not accepted."""
    left = list(images)
    entity = AE(ae_title="PRACTICE")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    datasets = [(path, pydicom.dcmread(path)) for path in left]
    for sop_class, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for _, d in datasets}:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", port, ae_title="KSPACE")
    for path, dataset in datasets:
        if not association.is_established:
            break
        if association.send_c_store(dataset).get("Status") == 0:
            left.remove(path)
    if association.is_established:
        association.release()
    return left


def send_until_taken(images: Sequence[Path], port: int, *, within_s: float) -> int:
    """Send as a scanner does that does not give up, and return how many associations it took."""
    left, tries, until = list(images), 0, time.monotonic() + within_s * _SLOW
    while left and time.monotonic() < until:
        tries += 1
        left = send(left, port)
        threading.Event().wait(_AGAIN_S if left else 0)
    assert not left, f"{len(left)} images were never taken"
    return tries


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
