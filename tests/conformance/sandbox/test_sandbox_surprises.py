"""Projects that surprise a sender: scripts, filters, names, and people who take their time."""

import io
import re
from contextlib import ExitStack

import httpx
import pydicom
import pytest

from transfer.sandbox import Project, Sandbox, SandboxSettings, User


@pytest.fixture
def give(start, login, send):
    """Return a way to send to a project that surprises, and to archive: the client, and the commit's answer."""

    def give(content, *, archive="true", **surprise):
        users = (User(name="admin", password="a", admin=True), User(name="relay", password="r", roles={"X": "member"}))
        client = login(start(projects=(Project(id="X", **surprise),), users=users))
        answer = send(content, client=client, project="X", prevent_auto_commit="true")
        assert answer.status_code == 200
        place = answer.text.strip()
        return client, place and client.post(place, params={"action": "commit", "AA": archive})

    return give


def _files(client, path="/data/projects/X/experiments/SES"):
    experiment = client.get(path, params={"format": "json"}).json()["items"][0]["data_fields"]["ID"]
    rows = client.get(f"/data/experiments/{experiment}/scans/3/resources/DICOM/files", params={"format": "json"})
    return [client.get(row["URI"]).content for row in rows.json()["ResultSet"]["Result"]]


def test_a_project_may_give_uids_anew(give, dicoms):
    one = dicoms.one(StudyDescription="x")
    client, done = give(dicoms.zip(one), remaps_uids=True)
    assert done.status_code == 301
    (stored,) = map(pydicom.dcmread, map(io.BytesIO, _files(client)))
    sent = pydicom.dcmread(io.BytesIO(one))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert stored[keyword].value != sent[keyword].value
    assert stored.file_meta.MediaStorageSOPInstanceUID == stored.SOPInstanceUID
    assert client.get("/data/projects/X/experiments", params={"UID": dicoms.study}).json()["ResultSet"]["Result"] == []


def test_a_project_may_filter_what_it_takes(give, dicoms):
    _, done = give(dicoms.zip(), rejects=("^local",))
    assert done == ""


def test_a_project_may_lose_what_it_took(give, dicoms):
    client, done = give(dicoms.zip(dicoms.one(), dicoms.one(SeriesDescription="lost")), loses=("lost",))
    assert done.status_code == 301
    assert len(_files(client)) == 1


def test_a_project_may_rename_a_session(give, dicoms):
    client, done = give(dicoms.zip(), renames="{label}_x")
    assert done.text.strip().endswith("/experiments/SES_x")
    assert len(_files(client, done.text.strip())) == 2


def test_a_person_may_archive_weeks_later(give, dicoms, clock):
    client, done = give(dicoms.zip(), archive="false", person_after_s=21 * 86_400.0)
    assert done.status_code == 200
    assert client.get(done.text.strip(), params={"format": "json"}).status_code == 200
    clock.advance(22 * 86_400)
    assert client.get(done.text.strip(), params={"format": "json"}).status_code == 404
    assert len(_files(client)) == 2


@pytest.mark.parametrize("where", ["import", "commit"])
def test_the_sandbox_ends_in_an_error_where_a_client_asked_to_replace_a_session(tmp_path, dicoms, where):
    users = (User(name="relay", password="r", roles={"X": "member"}),)
    settings = SandboxSettings(users=users, projects=(Project(id="X"),))
    stack = ExitStack()
    sandbox = stack.enter_context(Sandbox(tmp_path / "site", settings))
    with httpx.Client(base_url=sandbox.url, auth=("relay", "r"), timeout=20) as client:
        asked = {"import-handler": "DICOM-zip", "project": "X", "subject": "S", "session": "E"}
        asked |= {"overwrite": "delete"} if where == "import" else {}
        headers = {"content-type": "application/zip"}
        sent = client.post("/data/services/import", params=asked, content=dicoms.zip(), headers=headers)
        if where == "commit":
            client.post(sent.text.strip(), params={"action": "commit", "AA": "true", "overwrite": "delete"})
    with pytest.raises(AssertionError, match=re.escape("overwrite=delete was asked for")):
        stack.close()
