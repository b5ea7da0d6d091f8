"""A running sandbox, its clients, and DICOM to send it."""

import io
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from transfer.sandbox import Project, Sandbox, SandboxSettings, User

USERS = (
    User(name="admin", password="a", admin=True),
    User(name="owner", password="o", roles={"P": "owner", "AUTO": "owner", "OVER": "owner"}),
    User(name="relay", password="r", roles={"P": "member", "AUTO": "member", "OVER": "member"}),
    User(name="reader", password="c", roles={"P": "collaborator"}),
    User(name="locked", password="l", read_only=True, roles={"P": "owner"}),
    User(name="stranger", password="s"),
)
PROJECTS = (Project(id="P"), Project(id="AUTO", prearchive_code=4), Project(id="OVER", prearchive_code=5))
PASSWORDS = {user.name: user.password for user in USERS}


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self._now = datetime(2024, 1, 31, 10, 11, 12, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def closing() -> Iterator[Callable[[ExitStack], None]]:
    """Stops sandboxes beside the next tests: a server takes a fifth of a second to go."""
    with ThreadPoolExecutor(4) as pool:
        waiting: list[Future[None]] = []
        yield lambda stack: waiting.append(pool.submit(stack.close))
        for stopped in waiting:
            stopped.result()


@pytest.fixture
def start(tmp_path: Path, clock: HandClock, closing: Callable[[ExitStack], None]) -> Iterator[Callable[..., Sandbox]]:
    stack = ExitStack()

    def start(**settings: object) -> Sandbox:
        chosen = SandboxSettings(**{"users": USERS, "projects": PROJECTS, "forgives_delete": True, **settings})  # type: ignore[arg-type]
        return stack.enter_context(Sandbox(tmp_path / "site", chosen, clock=clock))

    yield start
    closing(stack)


@pytest.fixture
def sandbox(start: Callable[..., Sandbox]) -> Sandbox:
    return start()


@pytest.fixture
def login() -> Iterator[Callable[..., httpx.Client]]:
    with ExitStack() as stack:

        def login(sandbox: Sandbox, name: str = "relay", **more: object) -> httpx.Client:
            headers = {"user-agent": "conformance/1", "accept": "*/*"}
            auth = (name, PASSWORDS[name])
            client = httpx.Client(base_url=sandbox.url, auth=auth, headers=headers, timeout=20, **more)  # type: ignore[arg-type]
            return stack.enter_context(client)

        yield login


@pytest.fixture
def relay(sandbox: Sandbox, login: Callable[..., httpx.Client]) -> httpx.Client:
    return login(sandbox)


@pytest.fixture
def experiment(relay: httpx.Client) -> str:
    """The address of a session with a scan 1."""
    made = relay.put("/data/projects/P/subjects/S/experiments/E", params={"xsiType": "xnat:mrSessionData"})
    address = f"/data/experiments/{made.text}"
    assert relay.put(f"{address}/scans/1", params={"xsiType": "xnat:mrScanData"}).status_code == 200
    return address


@pytest.fixture
def files(relay: httpx.Client, experiment: str) -> str:
    """The address of a scan resource's files."""
    resource = f"{experiment}/scans/1/resources/KSPACE"
    assert relay.put(resource).status_code == 200
    return f"{resource}/files"


class Dicoms:
    """Makes objects of one study."""

    def __init__(self) -> None:
        self.study, self.series = generate_uid(), generate_uid()

    def one(self, **elements: object) -> bytes:
        about = {
            "SOPClassUID": MRImageStorage, "SOPInstanceUID": generate_uid(), "StudyInstanceUID": self.study,
            "SeriesInstanceUID": self.series, "SeriesNumber": 3, "SeriesDescription": "localizer", "Modality": "MR",
            "PatientName": "Subject", "PatientID": "Session", "StudyDate": "20240131", "StudyTime": "101112",
            **elements,
        }  # fmt: skip
        found = Dataset()
        found.file_meta = FileMetaDataset()
        found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword, value in about.items():
            setattr(found, keyword, value)
        out = io.BytesIO()
        found.save_as(out, enforce_file_format=True)
        return out.getvalue()

    def zip(self, *objects: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, content in enumerate(objects or (self.one(), self.one())):
                archive.writestr(f"{number}.dcm", content)
        return out.getvalue()


@pytest.fixture
def dicoms() -> Dicoms:
    return Dicoms()


@pytest.fixture
def send(relay: httpx.Client) -> Callable[..., httpx.Response]:
    """Sends a zip to the import service."""

    def send(content: bytes, client: httpx.Client = relay, **params: str) -> httpx.Response:
        asked = {"import-handler": "DICOM-zip", "project": "P", "subject": "SUB", "session": "SES", **params}
        headers = {"content-type": "application/zip"}
        return client.post("/data/services/import", params=asked, content=content, headers=headers)

    return send


@pytest.fixture
def rows() -> Callable[[httpx.Response], list[dict[str, str]]]:
    """Takes the rows out of a list."""

    def rows(answer: httpx.Response) -> list[dict[str, str]]:
        assert answer.status_code == 200, answer.text
        found: list[dict[str, str]] = answer.json()["ResultSet"]["Result"]
        assert all(isinstance(value, str) for row in found for value in row.values())
        return found

    return rows
