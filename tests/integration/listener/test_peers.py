"""Peers others wrote: Orthanc, with storage commitment; dcmtk, eight at once; and files others made."""

import json
import os
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pydicom
import pytest
from dicom_callers import run, wait_for
from hostile import conversation
from relay_here import Clock, Site

from dicom.commands import Command
from dicom.pdus import PduType
from dicom.synthetic import SyntheticSeries, write_session
from tests.integration.relay import free_port

PYDICOM_FILES = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


class Orthanc:
    """An Orthanc that sends, asks for commitment and takes reports."""

    def __init__(self, folder: Path, http: int, dicom: int, relay: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{http}", auth=("orthanc", "orthanc"), timeout=30)
        folder.mkdir()
        modality = {"AET": "KSPACE", "Host": "127.0.0.1", "Port": relay, "AllowStorageCommitment": True}
        settings = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": http,
            "RegisteredUsers": {"orthanc": "orthanc"},
            "DicomPort": dicom,
            "DicomAet": "ORTHANC",
            "DicomModalities": {"relay": modality},
            "Plugins": [],
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.command = ["Orthanc", str(folder / "orthanc.json")]

    def is_up(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.client.get("/system").is_success
        return False

    def sends(self, *images: Path) -> str:
        """Store images at the relay, ask for commitment, and return the transaction."""
        ids = [self.client.post("/instances", content=i.read_bytes()).raise_for_status().json()["ID"] for i in images]
        asked = {"Resources": ids, "StorageCommitment": True, "Synchronous": True}
        answer = self.client.post("/modalities/relay/store", json=asked).raise_for_status().json()
        return answer["StorageCommitmentTransactionUID"]

    def report(self, transaction: str) -> dict:
        return self.client.get(f"/storage-commitment/{transaction}").raise_for_status().json()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def orthanc(requires, tmp_path, clock):
    """Start an Orthanc and a relay that know each other."""
    requires("Orthanc")
    http, dicom = free_port(), free_port()
    with Site(tmp_path / "relay", clock, report_to={"ORTHANC": f"127.0.0.1:{dicom}"}).open() as site:
        started = Orthanc(tmp_path / "orthanc", http, dicom, site.listener.port)
        env = {**os.environ, "TCP_NODELAY": "1"}
        with subprocess.Popen(started.command, env=env, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(started.is_up)
                yield started, site
            finally:
                process.terminate()


@pytest.fixture
def site(tmp_path, clock):
    with Site(tmp_path / "relay", clock).open() as opened:
        yield opened


def test_orthanc_stores_and_is_told_once_the_archive_has_it(orthanc, clock, images):
    sender, site = orthanc
    transaction = sender.sends(*images)
    assert site.uids() == {pydicom.dcmread(image).SOPInstanceUID for image in images}
    assert site.report() == 0
    assert sender.report(transaction)["Status"] == "Pending"
    site.archive()
    clock.passes(minutes=2)
    assert site.report() == 1
    told = sender.report(transaction)
    assert told["Status"] == "Success"
    assert {one["SOPInstanceUID"] for one in told["Success"]} == site.uids()


def test_orthanc_is_told_what_failed(orthanc, clock, images):
    sender, site = orthanc
    transaction = sender.sends(*images)
    site.archive(but=pydicom.dcmread(images[2]).SeriesInstanceUID)
    clock.passes(days=4)
    assert site.report() == 1
    told = sender.report(transaction)
    assert told["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in told["Failures"]] == [pydicom.dcmread(images[2]).SOPInstanceUID]


def test_eight_senders_at_once(site, tmp_path):
    folders = []
    for number in range(8):
        series = SyntheticSeries(
            baseline="VB", serial="35000", number=10 + number, protocol="gre", lprotid=-number,
            ticks=tuple(range(14_400_000, 14_400_040, 4)),
            frame_of_reference="1.3.12.2.1107.5.2.32.35000.1.20260105083000000.0.0.0",
        )  # fmt: skip
        folders.append(write_session(tmp_path / str(number), series))
    with ThreadPoolExecutor(8) as senders:
        ended = list(senders.map(lambda images: run("storescu", site.listener.port, *images).returncode, folders))
    assert ended == [0] * 8
    assert len(site.uids()) == sum(map(len, folders)) == 80


def test_an_association_that_is_aborted_keeps_what_was_accepted(site, images):
    assert run("storescu", site.listener.port, "--abort", *images).returncode == 0
    assert len(site.uids()) == 3
    assert run("echoscu", site.listener.port, "--abort").returncode == 0
    assert run("storescu", site.listener.port, *images).returncode == 0
    assert run("storescu", site.listener.port, images[0], called="WRONG").returncode != 0


def test_real_images_are_kept_bit_by_bit(site, data_folder):
    images = [p for p in sorted((data_folder / "twix").rglob("*")) if p.suffix in {".dcm", ".IMA"}]
    assert images
    for image in images:
        assert store(site.listener.port, image) == 0
        [kept] = site.kept(pydicom.dcmread(image, stop_before_pixels=True).SOPInstanceUID)
        assert data_set_of(kept) == data_set_of(image)


def test_files_of_pydicoms_own_tests(site):
    """Every transfer syntax and class there is: kept bit by bit, or refused because it lacks its identity."""
    taken, syntaxes = 0, set()
    for path in PYDICOM_FILES:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
        if path.read_bytes()[128:132] != b"DICM" or not syntax:
            continue
        names = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        is_whole = all(dataset.get(name) for name in names)
        assert store(site.listener.port, path) == (0 if is_whole else 0xC000), path.name
        if is_whole:
            taken, syntaxes = taken + 1, syntaxes | {syntax}
            assert data_set_of(path) in {data_set_of(kept) for kept in site.kept(dataset.SOPInstanceUID)}
    assert taken > 30
    assert len(syntaxes) > 8


def data_set_of(path: Path) -> bytes:
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def store(port: int, path: Path) -> int:
    """Send a file's data set as it is, under its own class and transfer syntax, and return the status."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    meta = dataset.file_meta
    asked = {
        "sop_class": str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")),
        "syntax": str(meta.get("TransferSyntaxUID")),
    }
    pdus = conversation(data_set_of(path), str(dataset.get("SOPInstanceUID") or "1.2.3"), **asked)
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
        caller.sendall(b"".join(pdus))
        while piece := caller.recv(1 << 16):
            said += piece
    while said:
        kind, length = struct.unpack(">BxL", said[:6])
        if kind == PduType.DATA:
            return Command.parse(said[12 : 6 + length]).status
        said = said[6 + length :]
    raise AssertionError("no answer")
