"""The archives that every test of the RawArchive port runs against, each behind the same few words."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.servers.meddler import CUT, LOSE_ANSWER, meddling
from tests.servers.swift import ACCESS, SECRET, running_swift
from transfer.destinations.s3 import S3
from transfer.destinations.s3.client import S3Settings
from transfer.destinations.xnat import Xnat
from transfer.destinations.xnat.client import XnatSettings
from transfer.sandbox import Faults, Project, Sandbox, SandboxSettings, User

SERIES = "1.2.840.1.5"


@dataclass(frozen=True, kw_only=True)
class Ward:
    """One kind of archive: signed in to, a place in it, and ways to hurt it."""

    archive: object
    place: str
    stranger: Callable[[], object]
    """The same archive to somebody without rights there."""
    impostor: Callable[[], object]
    """The same archive to somebody who does not know the password."""
    nowhere: Callable[[], object]
    """One that nobody answers for."""
    alter: Callable[[str, bytes], None]
    """Change a stored file behind its back."""
    hurt: Callable[[str | None], None]
    """Cut uploads, or lose the answers to them; None: no more."""
    session: str
    secrets: tuple[str, ...]


@pytest.fixture
def sandbox(tmp_path):
    users = (
        User(name="admin", password="admin", admin=True),
        User(name="relay", password="relay", roles={"P": "member"}),
        User(name="reader", password="reader", roles={"P": "collaborator"}),
    )
    settings = SandboxSettings(users=users, projects=(Project(id="P"),))
    with Sandbox(tmp_path / "archive", settings) as running:
        yield running


@pytest.fixture
def session(sandbox):
    """Create a session with one scan, as an import would, and return its id."""
    with httpx.Client(base_url=sandbox.url, auth=("admin", "admin")) as admin:
        path = "/data/projects/P/subjects/S/experiments/E"
        created = admin.put(path, params={"xsiType": "xnat:mrSessionData"})
        scan = {"xsiType": "xnat:mrScanData", "xnat:mrScanData/UID": SERIES}
        admin.put(f"/data/experiments/{created.text}/scans/5", params=scan).raise_for_status()
    return created.text


@pytest.fixture
def connect(sandbox, tmp_path):
    opened = []

    def _connect(user="relay", password="relay", url=None, facts=None):
        secret = tmp_path / f"{user}-{password}-password"
        secret.write_text(password)
        settings = {"name": "central", "url": url or sandbox.url, "user": user, "password": {"file": str(secret)}}
        opened.append(Xnat(XnatSettings.model_validate({**settings, "timeout_s": 10})))
        opened[-1].believe(lambda server: facts if server.startswith("XNAT 1.8.11 at http") else None)
        return opened[-1]

    yield _connect
    for archive in opened:
        archive.close()


@pytest.fixture
def play(sandbox):
    """Set the sandbox's faults at run time."""

    def _play(**faults):
        httpx.put(f"{sandbox.url}/sandbox/faults", json=Faults(**faults).model_dump()).raise_for_status()

    return _play


@pytest.fixture(scope="session")
def swift(tmp_path_factory):
    with running_swift(tmp_path_factory.mktemp("s3") / "swift") as server:
        yield server


@pytest.fixture(scope="session")
def old_swift(tmp_path_factory):
    with running_swift(tmp_path_factory.mktemp("s3") / "swift", is_old=True) as server:
        yield server


@pytest.fixture(scope="session")
def _numbers():
    return itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for a test, the proxy before it, and the relay's client of it."""

    name: str
    stock: object
    meddler: object
    s3: Callable[..., S3]
    keys: dict[str, Path]
    disks: Path


@pytest.fixture
def bucket(swift, tmp_path, _numbers):
    yield from _bucket(swift, tmp_path, next(_numbers))


@pytest.fixture
def old_bucket(old_swift, tmp_path, _numbers):
    yield from _bucket(old_swift, tmp_path, next(_numbers))


def _bucket(server, folder, number):
    name, opened = f"raw-{number}", []
    server.stock.create_bucket(Bucket=name)
    keys = {"access_key": folder / "access", "secret_key": folder / "secret"}
    keys["access_key"].write_text(ACCESS)
    keys["secret_key"].write_text(SECRET)
    with meddling(server.url) as meddler:

        def s3(**more):
            given = {"name": "vault", "endpoint": meddler.url, "bucket": name, "part_bytes": 5 << 20, "timeout_s": 30}
            given |= {key: {"file": str(path)} for key, path in keys.items()}
            opened.append(S3(S3Settings.model_validate(given | more)))
            return opened[-1]

        yield Bucket(name, server.stock, meddler, s3, keys, server.disks)
        for archive in opened:
            archive.close()


@pytest.fixture(params=["xnat", "s3", "s3 of 2022"])
def ward(request, tmp_path):
    """Return each kind of archive in turn."""
    if request.param == "xnat":
        return _xnat(*map(request.getfixturevalue, ("connect", "session", "play")), tmp_path)
    return _s3(request.getfixturevalue("bucket" if request.param == "s3" else "old_bucket"), tmp_path)


def _xnat(connect, session, play, folder):
    def alter(name, data):
        (stored,) = (folder / "archive").rglob(Path(name).name)
        stored.write_bytes(data)

    hurts = {None: {}, CUT: {"drop_within": 1.0, "only": "PUT"}, LOSE_ANSWER: {"drop_after": 1.0, "only": "PUT"}}
    archive = connect()
    return Ward(
        archive=archive,
        place=archive.open_place(project="P", experiment=session, series_uid=SERIES),
        stranger=lambda: connect("reader", "reader"),
        impostor=lambda: connect("relay", "wrong-secret"),
        nowhere=lambda: connect(url="http://127.0.0.1:9"),
        alter=alter,
        hurt=lambda how: play(**hurts[how]),
        session=session,
        secrets=("wrong-secret",),
    )


def _s3(bucket, folder):
    for name, text in {"no-access": "test:reader", "no-secret": "reading", "wrong": "wrong-secret"}.items():
        (folder / name).write_text(text)
    of_stranger = {"access_key": {"file": f"{folder}/no-access"}, "secret_key": {"file": f"{folder}/no-secret"}}

    def hurt(how):
        bucket.meddler.meddle = lambda seen: how if seen.method == "PUT" else None

    archive = bucket.s3()
    place = archive.open_place(project="P", experiment="0123456789ab", series_uid=SERIES)
    return Ward(
        archive=archive,
        place=place,
        stranger=lambda: bucket.s3(**of_stranger),
        impostor=lambda: bucket.s3(secret_key={"file": f"{folder}/wrong"}),
        nowhere=lambda: bucket.s3(endpoint="http://127.0.0.1:9"),
        alter=lambda name, data: bucket.stock.put_object(Bucket=bucket.name, Key=f"{place}/{name}", Body=data),
        hurt=hurt,
        session="0123456789ab",
        secrets=("wrong-secret", ACCESS),
    )
