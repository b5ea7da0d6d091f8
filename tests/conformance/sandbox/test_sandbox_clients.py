"""Stock xnatpy and pyxnat, unmodified, against the sandbox."""

import zipfile
from pathlib import Path

import pytest
import xnat

DATA = bytes(range(256)) * 100


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "part-00001.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def session(sandbox):
    with xnat.connect(sandbox.url, user="owner", password="o", loglevel="ERROR") as session:
        yield session


def made(session):
    subject = session.classes.SubjectData(parent=session.projects["P"], label="S")
    experiment = session.classes.MrSessionData(parent=subject, label="E")
    session.classes.MrScanData(parent=experiment, id="4", type="gre", series_description="gre")
    session.clearcache()
    return session.projects["P"].experiments["E"]


def test_xnatpy_creates_and_lists(session):
    experiment = made(session)
    assert session.xnat_version == "1.8.11"
    assert session.logged_in_user == "owner"
    assert sorted(project.id for project in session.projects.values()) == ["AUTO", "OVER", "P"]
    assert (experiment.label, experiment.id, experiment.subject.label) == ("E", "XNAT_E00001", "S")
    assert [(scan.id, scan.series_description) for scan in experiment.scans.values()] == [("4", "gre")]
    experiment.note = "seen"
    session.clearcache()
    assert session.experiments["XNAT_E00001"].note == "seen"


def test_xnatpy_uploads_and_downloads(session, source, tmp_path):
    resource = made(session).scans["4"].create_resource("KSPACE", format="TWIX")
    resource.upload(source, "capture/part-00001.bin")
    resource.files.clearcache()
    file = resource.files["capture/part-00001.bin"]
    assert (file.size, resource.file_count, resource.format) == (str(len(DATA)), 1, "TWIX")
    file.download(str(tmp_path / "back"), verbose=False)
    assert (tmp_path / "back").read_bytes() == DATA
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("text")
    resource.upload_dir(folder, overwrite=True)
    resource.download_dir(str(tmp_path / "down"), verbose=False)
    assert {p.name for p in (tmp_path / "down").rglob("*") if p.is_file()} == {"part-00001.bin", "a.txt"}
    resource.refresh_catalog()
    resource.files["sub/a.txt"].delete()
    resource.files.clearcache()
    assert [found.path for found in resource.files.values()] == ["capture/part-00001.bin"]


def test_xnatpy_deletes(session):
    experiment = made(session)
    experiment.create_resource("R").delete()
    experiment.resources.clearcache()
    assert list(experiment.resources) == []
    experiment.delete()
    session.clearcache()
    assert list(session.projects["P"].experiments) == []


def test_xnatpy_imports_and_archives(session, dicoms, tmp_path):
    path = tmp_path / "series.zip"
    path.write_bytes(dicoms.zip())
    waiting = session.services.import_(path, project="P", subject="SUB", experiment="SES", destination="/prearchive")
    assert (waiting.status, waiting.label, waiting.project) == ("READY", "SES", "P")
    archived = waiting.archive()
    assert archived.label == "SES"
    (scan,) = archived.scans.values()
    assert (scan.id, scan.type, scan.uid) == ("3", "localizer", dicoms.series)
    assert scan.read_dicom().StudyInstanceUID == dicoms.study


def test_xnatpy_is_refused(sandbox):
    with pytest.raises(xnat.exceptions.XNATLoginFailedError, match="Login attempt failed"):
        xnat.connect(sandbox.url, user="owner", password="wrong", loglevel="CRITICAL")


def test_xnatpy_comes_with_an_alias_token(sandbox, relay):
    token = relay.get("/data/services/tokens/issue").json()
    with xnat.connect(sandbox.url, user=token["alias"], password=token["secret"], loglevel="ERROR") as session:
        assert session.logged_in_user == "relay"


def test_pyxnat(sandbox, pyxnat, source, tmp_path):
    interface = pyxnat.Interface(server=sandbox.url, user="owner", password="o")
    assert interface.version()["version"] == "1.8.11"
    assert interface.select.projects().get() == ["P", "AUTO", "OVER"]
    experiment = interface.select("/projects/P/subjects/S/experiments/E")
    assert not experiment.exists()
    experiment.create(experiments="xnat:mrSessionData")
    assert (experiment.exists(), experiment.id(), experiment.label()) == (True, "XNAT_E00001", "E")
    experiment.attrs.set("xnat:mrSessionData/note", "seen")
    assert experiment.attrs.get("note") == "seen"
    scan = experiment.scan("4")
    scan.create(scans="xnat:mrScanData")
    assert experiment.scans().get() == ["4"]
    resource = scan.resource("KSPACE")
    resource.create()
    file = resource.file("part-00001.bin")
    file.put(str(source), format="TWIX", content="RAW", tags="t", overwrite=True)
    assert (file.exists(), file.size(), file.format(), file.content()) == (True, str(len(DATA)), "TWIX", "RAW")
    file.get(str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == DATA
    put_zip(resource, tmp_path)
    file.delete()
    assert sorted(resource.files().get()) == ["a.txt"]
    resource.delete()
    assert not resource.exists()
    experiment.delete()
    assert not experiment.exists()
    interface.disconnect()


def put_zip(resource, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("sub/a.txt", "text")
    resource.put_zip(str(path), extract=True)
    resource.get(str(tmp_path), extract=False)
    with zipfile.ZipFile(tmp_path / "KSPACE.zip") as packed:
        assert {Path(name).name for name in packed.namelist()} == {"part-00001.bin", "a.txt"}
