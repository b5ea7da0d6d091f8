"""What was refused is remembered and told, across a restart, until exactly that has arrived."""

import socket
from datetime import timedelta

import pydicom
import pytest
from dicom_callers import associate, run, send, send_raw
from hostile import conversation
from relay_here import Clock
from sqlalchemy import select, text

from dicom.listener import Listener
from dicom.settings import ListenerSettings
from kspace.clock import SystemClock
from transfer.catalog import lists, tables
from transfer.catalog.database import Database
from transfer.feeds.returned import returned
from transfer.inbox import CatalogInbox


class Site:
    """A listener with a catalog, whose pool can be full."""

    def __init__(self, folder) -> None:
        self.folder, self.is_full = folder, False
        self.database = Database(f"sqlite:///{folder / 'catalog.sqlite'}")
        self.database.migrate()
        self.inbox = CatalogInbox(
            self.database, notes=folder / "refused.jsonl", routes=[], clock=SystemClock(),
            machine="box", quiet_s=1.0,
        )  # fmt: skip
        settings = ListenerSettings(port=0, processes=1, allowed_ae=("TEST", "STORESCU"))
        self.listener = Listener(
            settings,
            inbox=self.inbox,
            folder=folder / "incoming",
            shelf=folder / "dicom",
            is_open=lambda: not self.is_full,
        )
        self.listener.start()

    @property
    def port(self) -> int:
        return self.listener.port

    def critical(self) -> list[str]:
        return self.alerts("critical")

    def alerts(self, severity: str, clock=None) -> list[str]:
        if clock is not None:
            returned(database=self.database, clock=clock, notes=self.folder / "refused.jsonl")
        with self.database.read() as connection:
            return [a["text"] for a in lists.alerts(connection) if a["severity"] == severity]

    def kept(self) -> int:
        with self.database.read() as connection:
            paths = connection.execute(select(tables.instance.c.path)).scalars().all()
        on_disk = {str(path) for path in self.folder.glob("dicom/*/*.dcm")}
        assert set(paths) == on_disk
        return len(paths)

    def close(self) -> None:
        self.listener.stop(grace_s=5)
        self.database.close()


@pytest.fixture
def site(tmp_path):
    opened = []

    def _site() -> Site:
        if opened:
            opened[-1].close()
        opened.append(Site(tmp_path))
        return opened[-1]

    yield _site
    opened[-1].close()


def test_a_full_pool_names_what_must_be_sent_again_until_all_of_it_is_here(site, images):
    at = site()
    at.is_full = True
    assert {send(at.port, image) for image in images[:2]} == {0xA700}
    assert send(at.port, images[0]) == 0xA700  # as a scanner tries again
    study = pydicom.dcmread(images[0], specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"])
    [said] = at.critical()
    assert said.startswith("2 DICOM objects that TEST sent")
    assert f"study {study.StudyInstanceUID}, series {study.SeriesInstanceUID} (number 3, 2 images)" in said
    at = site()
    assert len(at.critical()) == 1
    assert run("storescu", at.port, images[2]).returncode == 0  # another series ends nothing
    assert send(at.port, images[0]) == 0
    assert at.critical()[0].startswith("1 DICOM objects")
    assert run("storescu", at.port, images[1]).returncode == 0  # whoever sends it
    assert at.critical() == []
    assert at.kept() == 3


def test_nothing_of_a_patient_is_in_the_alert(site, images):
    at = site()
    at.is_full = True
    dataset = pydicom.dcmread(images[0])
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Geheim^Gerda", "ID-777", "19600229"
    association = associate(at.port)
    assert association.send_c_store(dataset).Status == 0xA700
    association.release()
    assert not any(word in at.critical()[0] for word in ("Geheim", "Gerda", "777", "19600229"))


def test_what_nobody_can_read_is_remembered_by_who_sent_it(site):
    at = site()
    association = associate(at.port)
    assert send_raw(association, b"\xff" * 5000, offset=0) == 0xC000
    association.release()
    assert "that TEST sent were refused" in at.critical()[0]
    assert "study unknown" in at.critical()[0]


def test_a_catalog_that_is_down_refuses_and_remembers_once_it_is_back(site, images):
    at = site()
    with at.database.write() as connection:
        connection.execute(text("ALTER TABLE study RENAME TO elsewhere"))
        connection.execute(text("ALTER TABLE refusal RENAME TO nowhere"))
    assert send(at.port, images[0]) == 0xA700
    with at.folder.joinpath("refused.jsonl").open("ab") as notes:
        notes.write(b'{"sop_uid": "cut by a power')
    at = site()  # nothing of it lives in memory alone
    with at.database.write() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO study"))
        connection.execute(text("ALTER TABLE nowhere RENAME TO refusal"))
    assert send(at.port, images[1]) == 0
    assert at.critical()[0].startswith("1 DICOM objects")
    assert send(at.port, images[0]) == 0
    assert at.critical() == []
    assert at.kept() == 2


def test_an_object_without_a_name_is_missing_until_its_sender_brings_more_of_its_series(site, images):
    at = site()
    at.is_full = True
    dataset = pydicom.dcmread(images[0])
    with socket.create_connection(("127.0.0.1", at.port), timeout=30) as caller:
        content = images[0].read_bytes()
        pdus = conversation(content[144 + int.from_bytes(content[140:144], "little") :], "", calling="TEST")
        caller.sendall(b"".join(pdus))
        while caller.recv(1 << 16):
            pass
    assert f"study {dataset.StudyInstanceUID}" in at.critical()[0]
    at.is_full = False
    assert run("storescu", at.port, images[2]).returncode == 0
    assert len(at.critical()) == 1, "another series, of another sender"
    assert send(at.port, images[0]) == 0
    assert at.critical() == []


def test_refused_callers_are_told_with_their_number_for_a_day(site):
    at = site()
    for _ in range(5):
        assert associate(at.port, calling="STRANGER").is_rejected
    assert associate(at.port, called="OTHER").is_rejected
    said = sorted(at.alerts("warning"))
    assert said[0].startswith("1 associations or more from 127.0.0.1 were refused: it called by another AE title")
    assert said[1].startswith("4 associations or more from 127.0.0.1 were refused: its AE title is none of allowed_ae.")
    assert "STRANGER calling KSPACE" in said[1]
    clock = Clock()
    clock.at = SystemClock().now() + timedelta(days=1, minutes=1)
    assert at.alerts("warning", clock) == []
