"""Received images on their way into a sandbox, run step by step under one clock that a test moves."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import EncapsulatedPDFStorage
from sqlalchemy import select

from dicom.headers import describe
from dicom.synthetic import SyntheticSeries, write_session
from kspace.errors import KspaceError
from transfer import operations
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.catalog.arrivals import Arrival, record_arrivals
from transfer.config import load_config
from transfer.routing import targets
from transfer.sandbox import Project, Sandbox, SandboxSettings, User

STUDY = "1.3.12.2.1107.5.2.50.210000.30000026010508300000000000001"
QUIET_S = 300.0
_CONFIG = """\
[relay]
name = "box"
folder = "{folder}/relay"
[dicom]
quiet_s = {quiet_s}
[[destination]]
name = "central"
kind = "xnat"
url = "{url}"
user = "relay"
password = {{ file = "{folder}/password" }}
timeout_s = 20
{destination}
[[route]]
destinations = ["central"]
{route}
"""
PROJECTS = (
    Project(id="P"),
    Project(id="REMAP", remaps_uids=True),
    Project(id="FILTER", rejects=("^noise",)),
    Project(id="LOSES", loses=("^lost",)),
    Project(id="RENAME", renames="{label}_final"),
    Project(id="PEOPLE", person_after_s=21 * 86_400.0),
    Project(id="OTHER"),
)
"""One project for each way in which an archive does something else with a session than it was asked to."""


class SetClock:
    """One clock for the relay and its archive, moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def images(folder: Path, *, number: int = 1, count: int = 2, **more: Any) -> list[Path]:
    """Write one series of the study and return its files."""
    told = {"baseline": "VB", "serial": "35000", "lprotid": number, "frame_of_reference": "1.2.3", "study_uid": STUDY}
    told |= {"protocol": f"gre_{number}", "ticks": tuple(12_000_000 + number * 1000 + n for n in range(count))}
    return list(write_session(folder / f"images-{number}", SyntheticSeries(**(told | {"number": number} | more))))


def changed(path: Path, **elements: Any) -> Path:
    """Change elements of a file in place."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        if keyword == "SOPInstanceUID":
            dataset.file_meta.MediaStorageSOPInstanceUID = value
    dataset.save_as(path)
    return path


def report(path: Path) -> Path:
    """Make a file into an object without pixels."""
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.save_as(path)
    return path


@dataclass(kw_only=True)
class Lane:
    """A relay without threads: what it received, and its deliveries' next steps one at a time."""

    box: Box
    clock: SetClock
    url: str
    folder: Path
    stages: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.store, self.stages = self.box.store(), self.box.stages({})

    def receive(self, *paths: Path, called: str = "KSPACE", is_lost: bool = False) -> None:
        """Take over files as the listener does; ``is_lost``: somebody removes each before its row is written."""
        for path in paths:
            study, series, instance = describe(path)
            spooled = self.folder / "relay/spool/dicom" / f"{instance.sop_uid}-{path.stat().st_mtime_ns}.dcm"
            if not is_lost:
                copyfile(path, spooled)
            arrival = Arrival(
                study=study, series=series, instance=instance, path=spooled, size=path.stat().st_size,
                sha256=sha256(path.read_bytes()).hexdigest(), called_ae=called, calling_ae="MR",
            )  # fmt: skip
            found = targets(self.box.config.route, study, called_ae=called, calling_ae="MR")
            record_arrivals(self.box.database, [(arrival, found)], machine="box", clock=self.clock, quiet_s=QUIET_S)

    def step(self) -> str | None:
        """Do what is due next and return the stage, None where nothing is due."""
        claim = self.store.claim("delivery")
        if claim is None:
            return None
        try:
            self.store.commit(claim, self.stages[claim.stage](claim.record, lambda: None))
        except KspaceError as error:
            self.store.fail(claim, error)
        return claim.stage

    def run(self, *, after_s: float = QUIET_S + 1) -> list[str]:
        """Let time pass and do all that is due then; return the stages."""
        self.clock.sleep(after_s)
        done: list[str] = []
        while (stage := self.step()) is not None:
            done.append(stage)
            assert len(done) < 60, "no end"
        return done

    def hold(self) -> None:
        """Hold the delivery as a person does."""
        operations.hold(self.box.database, "d1", reason="test", actor="somebody", clock=self.clock)

    def retry(self, *, as_is: bool = False) -> None:
        """Retry it."""
        operations.retry(self.box.database, "d1", actor="somebody", clock=self.clock, as_is=as_is)

    def delivery(self) -> dict[str, Any]:
        """Return the row of the one delivery."""
        with self.box.database.read() as connection:
            return dict(connection.execute(select(tables.delivery)).mappings().one())

    def stands(self) -> tuple[str, str | None, str | None]:
        """Return its state, why it is held in one word, and the reason in a sentence."""
        row = self.delivery()
        return row["state"], row["held_code"], row["reason"]

    def carried(self, paths: list[Path], project: str) -> None:
        """Bring images into the archive as somebody else does."""
        with self.archive() as admin:
            for path in paths:
                params = {"import-handler": "gradual-DICOM", "project": project, "subject": "S", "session": "visit"}
                headers = {"content-type": "application/dicom"}
                sent = admin.post("/data/services/import", params=params, content=path.read_bytes(), headers=headers)
                assert sent.status_code == 200
            assert admin.post(sent.text.strip(), params={"action": "commit", "AA": "true"}).status_code == 301

    def events(self) -> list[str]:
        """Return what happened to it, in order."""
        with self.box.database.read() as connection:
            v = tables.event.c
            return list(connection.execute(select(v.verb).where(v.subject == "delivery").order_by(v.id)).scalars())

    def alerts(self) -> list[str]:
        """Return the texts of the open alerts."""
        with self.box.database.read() as connection:
            a = tables.alert.c
            return list(connection.execute(select(a.text).where(a.cleared_at.is_(None))).scalars())

    def archive(self) -> httpx.Client:
        """Return a client of the archive's administrator."""
        return httpx.Client(base_url=self.url, auth=("admin", "admin"), timeout=20)

    def held(self) -> dict[str, int]:
        """Return how many files each scan of the archive's sessions has, by ``label/scan``."""
        with self.archive() as admin:
            found = {}
            for row in _rows(admin, "/data/experiments"):
                for scan in _rows(admin, f"/data/experiments/{row['ID']}/scans"):
                    path = f"/data/experiments/{row['ID']}/scans/{scan['ID']}/resources/DICOM/files"
                    found[f"{row['label']}/{scan['ID']}"] = len(_rows(admin, path))
            return found

    def waiting(self) -> list[dict[str, str]]:
        """Return the sessions in the archive's prearchive."""
        with self.archive() as admin:
            return _rows(admin, "/data/prearchive/projects")

    def asked(self) -> list[str]:
        """Return every request so far as ``METHOD path query``."""
        log = httpx.get(f"{self.url}/sandbox/log").json()
        return [f"{r['method']} {r['path']} {r['query']}" for r in log]


def _rows(client: httpx.Client, path: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = client.get(path, params={"format": "json"}).json()["ResultSet"]["Result"]
    return rows


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def sandbox(tmp_path, clock):
    names = [p.id for p in PROJECTS]
    users = (
        User(name="admin", password="admin", admin=True),
        User(name="relay", password="relay", roles=dict.fromkeys(names, "member")),
    )
    with Sandbox(tmp_path / "archive", SandboxSettings(users=users, projects=PROJECTS), clock=clock) as running:
        yield running


@pytest.fixture
def start(tmp_path, sandbox, clock):
    """Return a way to start a lane, as often as a test likes, over the same folder."""
    opened: list[Box] = []
    (tmp_path / "password").write_text("relay")

    def start(*, project: str | None = "P", route: str = "", destination: str = "") -> Lane:
        way = (f'project = "{project}"\n' if project else "") + f'session = "visit"\n{route}'
        given = {"folder": tmp_path, "quiet_s": QUIET_S, "url": sandbox.url, "route": way, "destination": destination}
        path = tmp_path / "relay.toml"
        path.write_text(_CONFIG.format(**given))
        opened.append(Box(load_config(path), clock=clock))
        return Lane(box=opened[-1], clock=clock, url=sandbox.url, folder=tmp_path)

    yield start
    for box in opened:
        box.close()
