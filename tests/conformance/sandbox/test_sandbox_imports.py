"""Import, prearchive, archive."""

import io
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pydicom
import pytest
from pydicom.uid import generate_uid

ENTRY = "{http://nrg.wustl.edu/catalog}entry"


def commit(client, answer, **params):
    return client.post(answer.text.strip(), params={"action": "commit", **params})


def item(client, path):
    answer = client.get(path, params={"format": "json"})
    assert answer.status_code == 200
    return answer.json()["items"][0]


def test_two_zips_of_a_study_go_to_the_same_place(relay, send, dicoms, rows):
    """TestImport 20; the answer is a text/uri-list that ends CRLF; joined by Study Instance UID and project."""
    first = send(dicoms.zip())
    assert first.headers["content-type"].startswith("text/uri-list")
    assert first.text.startswith("/data/prearchive/projects/P/20240131_1011")
    assert first.text.endswith("/SES\r\n")
    dicoms.series = generate_uid()
    assert send(dicoms.zip()).text == first.text
    (row,) = rows(relay.get("/data/prearchive/projects/P"))
    assert (row["status"], row["tag"], row["subject"], row["name"]) == ("RECEIVING", dicoms.study, "SUB", "SES")
    assert "/data" + row["url"] == first.text.strip()
    assert rows(relay.get(first.text.strip())) == [row]


def test_parameters_may_be_form_fields(relay, dicoms):
    """Importer reads query and form alike."""
    fields = {"import-handler": "DICOM-zip", "PROJECT_ID": "P", "SUBJECT_ID": "SUB", "EXPT_LABEL": "SES"}
    answer = relay.post("/data/services/import", data=fields, files={"f": ("series.zip", dicoms.zip())})
    assert answer.text.endswith("/SES\r\n")
    two = relay.post("/data/services/import", data=fields, files=[("f", ("a.zip", b"")), ("g", ("b.zip", b""))])
    assert two.status_code == 400
    assert relay.get("/data/services/import").status_code == 405
    assert relay.post("/data/services/import?import-handler=NOPE", files={"f": ("a.zip", b"")}).status_code == 404


def test_commit_without_archiving_keeps_the_uri(relay, send, dicoms, rows):
    """TestImport 21, PrearcSessionResource."""
    answer = send(dicoms.zip())
    done = commit(relay, answer)
    assert (done.status_code, done.text) == (200, answer.text.strip())
    (row,) = rows(relay.get("/data/prearchive/projects/P"))
    assert row["status"] == "READY"
    assert relay.get(answer.text.strip(), params={"format": "xml"}).status_code == 200


@pytest.mark.parametrize(("project", "params"), [("P", {"AA": "true"}), ("AUTO", {}), ("OVER", {})])
def test_commit_that_archives_is_301_with_the_uri_as_body(relay, send, *, dicoms, rows, project, params):
    """TestImport 21: by request, or by the project's prearchive code 4 or 5."""
    answer = send(dicoms.zip(), project=project)
    done = commit(relay, answer, **params)
    assert (done.status_code, done.text) == (301, f"/data/archive/projects/{project}/subjects/SUB/experiments/SES")
    assert done.headers["location"] == done.text
    assert rows(relay.get("/data/prearchive/projects")) == []
    assert commit(relay, answer).status_code == 404
    found = item(relay, done.text)
    assert found["meta"]["xsi:type"] == "xnat:mrSessionData"
    about = {"UID": dicoms.study, "date": "2024-01-31", "label": "SES", "modality": "MR"}
    assert about.items() <= found["data_fields"].items()
    (row,) = rows(relay.get("/data/experiments", params={"UID": dicoms.study, "columns": "ID,label,project"}))
    assert (row["label"], row["project"]) == ("SES", project)


def test_a_scan_per_series(relay, send, dicoms, rows):
    """Scan ID = SeriesNumber, with a suffix when it is taken; UID = SeriesInstanceUID; DCMCatalog."""
    first, content = dicoms.series, dicoms.one()
    send(dicoms.zip(content))
    dicoms.series = generate_uid()
    done = commit(relay, send(dicoms.zip(dicoms.one(SeriesDescription="gre"), dicoms.one())), AA="true")
    scans = {s["data_fields"]["ID"]: s for s in item(relay, done.text)["children"][0]["items"]}
    assert set(scans) == {"3", "3-MR1"}
    fields = scans["3-MR1"]["data_fields"]
    assert (fields["UID"], fields["type"], fields["series_description"]) == (dicoms.series, "gre", "gre")
    resource = f"{done.text}/scans/3/resources/DICOM"
    root = ET.fromstring(relay.get(resource).text)
    assert (root.tag, root.get("UID")) == ("{http://nrg.wustl.edu/catalog}DCMCatalog", first)
    (entry,) = root.iter(ENTRY)
    assert entry.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "cat:dcmEntry"
    sent = pydicom.dcmread(io.BytesIO(content))
    assert entry.get("UID") == sent.SOPInstanceUID
    (row,) = rows(relay.get(f"{resource}/files"))
    stored = relay.get(row["URI"]).content
    assert stored != content
    assert pydicom.dcmread(io.BytesIO(stored)) == sent


def test_dest_archive_archives_at_once_and_a_second_time_conflicts(relay, send, dicoms, rows):
    """TestImport 16 and 18: 400 from DICOM-zip, 409 from SI, duplicates need overwrite_files or delete."""
    content, dest = dicoms.zip(), "/archive/projects/P/subjects/SUB/experiments/SES"
    assert send(content, dest=dest).text == f"/data{dest}\r\n"
    assert relay.get(f"{dest}/scans/3/resources/DICOM".replace("/archive", "/data/archive")).status_code == 200
    assert send(content, dest=dest).status_code == 400
    assert send(content, dest=dest, **{"import-handler": "SI"}).status_code == 409
    assert send(content, dest=dest, overwrite="append").status_code == 400
    assert send(content, dest=dest, overwrite="append", overwrite_files="true").status_code == 200
    relay.put(f"/data{dest}/resources/OWN/files/a", files={"f": ("x", b"data")})
    dicoms.series = generate_uid()
    only = dicoms.one(SeriesNumber=9)
    assert send(dicoms.zip(only), dest=dest, overwrite="delete").status_code == 200
    assert [scan["ID"] for scan in rows(relay.get(f"/data{dest}/scans"))] == ["9"]
    assert relay.get(f"/data{dest}/resources/OWN/files/a").content == b"data"


def test_merging_keeps_what_was_there(relay, send, dicoms, rows):
    """PrearcSessionArchiver; TestImport#testDataProjectExperimentOldRes: date and resources stay."""
    path = "/data/projects/P/subjects/SUB/experiments/SES"
    relay.put(path, params={"xsiType": "xnat:mrSessionData", "date": "2020-02-02"})
    relay.put("/data/projects/P/experiments/SES/resources/OLD/files/a", files={"f": ("x", b"old")})
    done = commit(relay, send(dicoms.zip()), AA="true")
    assert done.status_code == 301
    assert relay.get(f"{done.text}/resources/OLD/files/a").content == b"old"
    assert item(relay, done.text)["data_fields"]["date"] == "2020-02-02"
    assert item(relay, done.text)["data_fields"]["UID"] == dicoms.study
    dicoms.series = generate_uid()
    assert commit(relay, send(dicoms.zip()), AA="true").status_code == 301
    assert len(rows(relay.get(f"{done.text}/scans"))) == 2


@pytest.mark.parametrize(
    "existing",
    [
        "SUB?xsiType=xnat:petSessionData",
        "OTHER?xsiType=xnat:mrSessionData",
        "SUB?xsiType=xnat:mrSessionData&xnat:mrSessionData/UID=1.2.3",
    ],
    ids=["other type", "other subject", "other study"],
)
def test_what_does_not_merge_is_a_conflict(relay, send, dicoms, rows, existing):
    """PrearcSessionArchiver#checkForConflicts."""
    subject, _, query = existing.partition("?")
    relay.put(f"/data/projects/P/subjects/{subject}/experiments/SES?{query}")
    answer = send(dicoms.zip())
    assert commit(relay, answer, AA="true").status_code == 500
    (row,) = rows(relay.get("/data/prearchive/projects/P"))
    assert row["status"] == "CONFLICT"
    source = {"src": row["url"], "overwrite": "append"}
    assert relay.post("/data/services/archive", params=source).status_code == 409


def test_the_archive_service(sandbox, login, relay, send, dicoms):
    """POST /data/services/archive?src=..: 200 with the URI and CRLF; 404 missing; 403 without the right."""
    answer = send(dicoms.zip())
    src = answer.text.strip().removeprefix("/data")
    assert login(sandbox, "reader").post("/data/services/archive", params={"src": src}).status_code == 403
    done = relay.post("/data/services/archive", params={"src": src})
    assert (done.status_code, done.text) == (200, "/data/archive/projects/P/subjects/SUB/experiments/SES\r\n")
    assert relay.post("/data/services/archive", params={"src": src}).status_code == 404
    assert relay.post("/data/services/archive").status_code == 400


def test_archiving_takes_its_time(start, login, *, send, dicoms, rows, clock):
    """Between the commit and the archive the session is in neither place for a reader, and locked."""
    client = login(start(archive_delay_s=30))
    answer = send(dicoms.zip(), client)
    done = commit(client, answer, AA="true")
    assert done.status_code == 301
    assert client.get(done.text).status_code == 404
    (row,) = rows(client.get("/data/prearchive/projects/P"))
    assert row["status"] == "ARCHIVING"
    assert commit(client, answer).status_code == 409
    assert client.delete(answer.text.strip()).status_code == 409
    assert send(dicoms.zip(), client).status_code == 400
    clock.advance(31)
    assert client.get(done.text).status_code == 200
    assert rows(client.get("/data/prearchive/projects/P")) == []


def test_a_session_left_alone_is_built_and_archived_where_the_project_says_so(relay, send, dicoms, rows, clock):
    """The session rebuilder: sessionXmlRebuilderInterval, prearchive code; prevent_auto_commit holds it back."""
    send(dicoms.zip(), project="P")
    send(dicoms.zip(), project="AUTO")
    send(dicoms.zip(), project="OVER", prevent_auto_commit="true")
    clock.advance(301)
    found = {row["project"]: row["status"] for row in rows(relay.get("/data/prearchive/projects"))}
    assert found == {"P": "READY", "OVER": "RECEIVING"}
    assert [row["label"] for row in rows(relay.get("/data/projects/AUTO/experiments"))] == ["SES"]


def test_routing_by_what_the_object_says(sandbox, login, relay, send, dicoms):
    """Xnat15DicomProjectIdentifier, ClassicDicomObjectIdentifier; explicit parameters win."""
    nothing = {"project": "", "subject": "", "session": ""}
    said = dicoms.one(PatientComments="project:P; Subject:S1,SESSION:E1 AA:true")
    answer = send(dicoms.zip(said), **nothing)
    assert answer.text.endswith("/E1\r\n")
    assert commit(relay, answer).text.endswith("/projects/P/subjects/S1/experiments/E1")
    dicoms.study = generate_uid()
    by_study = send(dicoms.zip(dicoms.one(StudyDescription="AUTO", PatientID="A^B.1")), **nothing)
    assert "/projects/AUTO/" in by_study.text
    assert by_study.text.endswith("/A_B_1\r\n")
    dicoms.study = generate_uid()
    assert "/projects/Unassigned/" in send(dicoms.zip(), **nothing).text
    assert relay.get("/data/prearchive/projects/Unassigned").status_code == 403
    assert login(sandbox, "admin").get("/data/prearchive/projects/Unassigned").status_code == 200


def test_who_may_see_the_prearchive(sandbox, login, *, relay, send, dicoms, rows):
    """PrearcSessionListResource: tag is for administrators, a project for its readers."""
    answer = send(dicoms.zip())
    tag = {"tag": dicoms.study}
    assert relay.get("/data/prearchive/projects", params=tag).status_code == 403
    assert len(rows(login(sandbox, "admin").get("/data/prearchive/projects", params=tag))) == 1
    stranger = login(sandbox, "stranger")
    assert rows(stranger.get("/data/prearchive/projects")) == []
    assert stranger.get("/data/prearchive/projects/P").status_code == 403
    assert stranger.get(answer.text.strip()).status_code == 403
    assert send(dicoms.zip(), stranger).status_code == 404
    assert send(dicoms.zip(), login(sandbox, "reader")).status_code == 403


def test_actions_and_deletion(relay, send, dicoms, rows):
    """TestImport 22, TestPrearchiveMgmt."""
    place = send(dicoms.zip()).text.strip()
    assert relay.post(place, params={"action": "build"}).status_code == 200
    assert relay.post(place, params={"action": "dance"}).status_code == 400
    moved = relay.post(place, params={"action": "move", "newProject": "AUTO"})
    assert (moved.status_code, moved.text) == (301, place.replace("/P/", "/AUTO/"))
    assert relay.delete(moved.text).status_code == 200
    assert rows(relay.get("/data/prearchive/projects")) == []
    assert relay.delete(moved.text).status_code == 404


def test_an_explicit_place_in_the_prearchive(relay, send, dicoms, rows):
    """TestPrearchiveMgmt 29; another study does not go there (TestImport 23)."""
    dest = "/prearchive/projects/P/20000101_050505/FOLDER"
    asked = {"project": "", "session": "", "dest": dest}
    assert send(dicoms.zip(), **asked).text == f"/data{dest}\r\n"
    assert rows(relay.get(f"/data{dest}"))[0]["status"] == "READY"
    dicoms.study = generate_uid()
    assert send(dicoms.zip(), **asked).status_code == 400


def test_what_is_no_dicom_is_refused_or_skipped(relay, send, dicoms, rows):
    """TestImport 24; what was read before it is kept."""
    content = dicoms.zip(dicoms.one(), b"text, not DICOM")
    answer = send(content)
    assert answer.status_code == 400
    assert "unable to read DICOM object 1.dcm" in answer.text
    assert len(rows(relay.get("/data/prearchive/projects/P"))) == 1
    assert send(content, **{"Ignore-Unparsable": "true"}).status_code == 200
    without_study = dicoms.one(StudyInstanceUID="")
    assert send(dicoms.zip(without_study)).status_code == 400
    assert send(b"junk").status_code == 400


def test_one_import_holds_one_study(relay, send, dicoms):
    """TestImport 23."""
    first = dicoms.one()
    dicoms.study = generate_uid()
    assert send(dicoms.zip(first, dicoms.one())).status_code == 400


def test_the_same_instance_twice_is_one_instance(relay, send, dicoms):
    """Sending a series again after a lost answer changes nothing."""
    content = dicoms.zip()
    assert send(content).text == send(content).text
    done = commit(relay, send(content), AA="true")
    assert len(relay.get(f"{done.text}/scans/3/files").json()["ResultSet"]["Result"]) == 2


@pytest.mark.skipif("KSPACE_TEST_DATA" not in os.environ, reason="KSPACE_TEST_DATA names no folder of real files")
def test_real_objects_keep_their_pixels(relay, send, dicoms, rows):
    """Classic, enhanced and spectroscopy objects of real scanners."""
    found = [p for p in Path(os.environ["KSPACE_TEST_DATA"]).rglob("*") if p.suffix in {".IMA", ".dcm"}]
    assert found
    for number, path in enumerate(found):
        done = commit(relay, send(dicoms.zip(path.read_bytes()), session=f"E{number}"), AA="true")
        assert done.status_code == 301, done.text
        (row,) = rows(relay.get(f"{done.text}/scans/ALL/files"))
        assert pydicom.dcmread(io.BytesIO(relay.get(row["URI"]).content)) == pydicom.dcmread(path)


def test_of_an_import_that_breaks_off_the_first_objects_are_kept(sandbox, relay, dicoms, rows):
    """In-body the zip is read as it comes; nobody is there to be told."""
    whole = dicoms.zip(dicoms.one(), dicoms.one())
    cookie, place = relay.get("/data/JSESSION").text, urlsplit(sandbox.url)
    with socket.create_connection((place.hostname, place.port)) as raw:
        head = f"POST /data/services/import?project=P HTTP/1.1\r\nHost: x\r\nCookie: JSESSIONID={cookie}\r\n"
        head += f"Content-Type: application/zip\r\nContent-Length: {len(whole)}\r\n\r\n"
        raw.sendall(head.encode() + whole[: whole.index(b"1.dcm")])
    for _ in range(500):
        if found := rows(relay.get("/data/prearchive/projects/P")):
            break
    (row,) = found
    assert row["tag"] == dicoms.study


def test_the_prearchive_services(relay, send, dicoms, rows):
    """PrearchiveBatch: delete by src; the series of a waiting session; reset-status."""
    place = send(dicoms.zip()).text.strip()
    (scan,) = rows(relay.get(f"{place}/scans"))
    assert (scan["ID"], scan["xsiType"], scan["series_description"]) == ("3", "xnat:mrScanData", "localizer")
    assert relay.post(place, params={"action": "reset-status"}).status_code == 200
    assert rows(relay.get(place))[0]["status"] == "READY"
    done = relay.post("/data/services/prearchive/delete", data={"src": place.removeprefix("/data")})
    assert rows(done) == []


def test_a_conflict_found_by_the_rebuilder_waits_for_a_person(relay, send, dicoms, rows, clock):
    relay.put("/data/projects/AUTO/subjects/OTHER/experiments/SES", params={"xsiType": "xnat:mrSessionData"})
    send(dicoms.zip(), project="AUTO")
    clock.advance(301)
    (row,) = rows(relay.get("/data/prearchive/projects/AUTO"))
    assert row["status"] == "CONFLICT"


def test_a_project_deleted_while_its_session_is_archived(start, login, *, send, dicoms, rows, clock):
    sandbox = start(archive_delay_s=30)
    client = login(sandbox)
    client.put("/data/projects/GONE")
    commit(client, send(dicoms.zip(), client, project="GONE"), AA="true")
    client.delete("/data/projects/GONE")
    clock.advance(31)
    (row,) = rows(login(sandbox, "admin").get("/data/prearchive/projects"))
    assert row["status"] == "ERROR"
    source = {"src": row["url"]}
    assert login(sandbox, "admin").post("/data/services/archive", params=source).status_code == 409


def test_an_unassigned_session_is_not_archived(sandbox, login, send, dicoms):
    admin = login(sandbox, "admin")
    waiting = send(dicoms.zip(), admin, project="").text.strip()
    answer = admin.post("/data/services/archive", params={"src": waiting})
    assert answer.status_code == 400
