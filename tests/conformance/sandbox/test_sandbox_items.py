"""Projects, subjects, sessions, scans."""

import csv
import io
from xml.etree import ElementTree as ET

import pytest

MR = {"xsiType": "xnat:mrSessionData"}


def test_lists_hold_text_only(relay, experiment, rows):
    """JSONTableRepresentation, XFTTable#toJSON; default columns of each list."""
    answer = relay.get("/data/projects/P/experiments")
    assert answer.json()["ResultSet"]["totalRecords"] == "1"
    (row,) = rows(answer)
    assert row == {
        "ID": "XNAT_E00001", "project": "P", "date": "", "xsiType": "xnat:mrSessionData", "label": "E",
        "insert_date": row["insert_date"], "subject_ID": "XNAT_S00001", "subject_label": "S", "URI": experiment,
    }  # fmt: skip
    assert [row["ID"] for row in rows(relay.get("/data/projects"))] == ["P", "AUTO", "OVER"]
    (row,) = rows(relay.get("/data/projects/P/subjects"))
    assert list(row) == ["ID", "project", "label", "insert_date", "insert_user", "URI"]
    (row,) = rows(relay.get(f"{experiment}/scans"))
    assert (row["ID"], row["xsiType"], row["URI"]) == ("1", "xnat:mrScanData", f"{experiment}/scans/1")


def test_columns_filters_order_and_pages(relay, rows):
    """QueryOrganizerResource, XMLPathShortcuts."""
    for number, day in enumerate(("2024-01-03", "2024-01-01", "2024-01-02")):
        path = f"/data/projects/P/subjects/S/experiments/E{number}"
        relay.put(path, params={**MR, "date": day, "xnat:mrSessionData/UID": f"1.2.{number}"})
    listed = "/data/projects/P/experiments"
    assert rows(relay.get(listed, params={"columns": "ID,label,UID,nonsense", "UID": "1.2.1"})) == [
        {"ID": "XNAT_E00002", "label": "E1", "UID": "1.2.1", "URI": "/data/experiments/XNAT_E00002"}
    ]
    for key in ("UID", "studyInstanceUID", "xnat:imageSessionData/UID"):
        assert [row["label"] for row in rows(relay.get("/data/experiments", params={key: "1.2.2"}))] == ["E2"]
    assert rows(relay.get(listed, params={"label": "e1"})) == []
    assert len(rows(relay.get(listed, params={"label": "E*"}))) == 3
    assert len(rows(relay.get(listed, params={"label": "E0,E2"}))) == 2
    by_day = rows(relay.get(listed, params={"sortBy": "date", "sortOrder": "DESC"}))
    assert [row["label"] for row in by_day] == ["E0", "E2", "E1"]
    page = relay.get(listed, params={"limit": "2", "offset": "1"})
    assert [row["label"] for row in rows(page)] == ["E1", "E2"]
    assert "totalRecords" not in page.json()["ResultSet"]
    assert relay.get(listed, params={"limit": "all"}).status_code == 400


def test_formats(relay, experiment):
    """format= beats Accept; an Accept nobody can serve is 406 (Restlet Resource#handleGet)."""
    listed = "/data/projects/P/experiments"
    text = relay.get(listed, params={"format": "csv"}, headers={"accept": "application/json"}).text
    assert next(csv.DictReader(io.StringIO(text)))["label"] == "E"
    assert ET.fromstring(relay.get(listed, params={"format": "xml"}).text).find(".//cell").text == "XNAT_E00001"
    assert relay.get(listed, headers={"accept": "image/png"}).status_code == 406
    assert "<table>" in relay.get(listed, headers={"accept": "text/html"}).text
    assert ET.fromstring(relay.get(experiment).text).get("label") == "E"


def test_an_item_tells_its_scans(relay, experiment):
    relay.put(f"{experiment}/scans/1", params={"series_description": "gre", "xnat:mrScanData/UID": "1.2.3"})
    (item,) = relay.get(experiment, params={"format": "json"}).json()["items"]
    assert (item["meta"]["xsi:type"], item["meta"]["isHistory"]) == ("xnat:mrSessionData", False)
    assert {"ID": "XNAT_E00001", "label": "E", "project": "P"}.items() <= item["data_fields"].items()
    (children,) = item["children"]
    assert children["field"] == "scans/scan"
    (scan,) = children["items"]
    assert {"ID": "1", "series_description": "gre", "UID": "1.2.3"}.items() <= scan["data_fields"].items()


def test_a_session_answers_to_its_label_in_its_project_only(relay, experiment):
    """XNATTemplate."""
    for path in ("/data/projects/P/experiments/E", "/data/projects/P/subjects/S/experiments/XNAT_E00001", experiment):
        for prefix in ("/data", "/data/archive", "/REST"):
            assert relay.get(path.replace("/data", prefix, 1), params={"format": "json"}).status_code == 200
    assert relay.get("/data/experiments/E").status_code == 404
    assert relay.get("/data/projects/AUTO/experiments/XNAT_E00001").status_code == 404
    assert relay.get("/data/projects/P/experiments/e").status_code == 404


def test_scan_resources_have_no_route_below_project_and_session(relay, files):
    """XNATApplication#addRoutes."""
    assert relay.get("/data/projects/P/experiments/E/scans/1/resources/KSPACE/files").status_code == 404
    assert relay.get("/data/projects/P/subjects/S/experiments/E/scans/1/resources/KSPACE/files").status_code == 200


def test_creating_a_session(relay):
    """SubjAssessmentResource#handlePut: 201 new, 200 existing, the accession id as body."""
    path = "/data/projects/P/subjects/NEW/experiments/E"
    assert relay.put(path).status_code == 417
    answer = relay.put(path, params=MR)
    assert (answer.status_code, answer.text) == (201, "XNAT_E00001")
    answer = relay.put(path, params=MR)
    assert (answer.status_code, answer.text) == (200, "XNAT_E00001")
    assert relay.put(path, params={"xsiType": "xnat:petSessionData"}).status_code == 409
    assert relay.put(path, params={"date": "yesterday"}).status_code == 400
    assert relay.put("/data/projects/P/subjects/NEW/experiments/E%20F", params=MR).status_code == 417
    assert relay.put("/data/projects/P/subjects/A", params={"group": "g"}).status_code == 201
    assert relay.put("/data/projects/P/subjects/A").status_code == 200
    assert relay.put("/data/projects/NOPE/subjects/A").status_code == 404


def test_a_session_is_renamed_but_never_onto_another(relay, experiment):
    """TestRename."""
    relay.put("/data/projects/P/subjects/S/experiments/OTHER", params=MR)
    assert relay.put(experiment, params={"label": "OTHER"}).status_code == 409
    assert relay.put(experiment, params={"label": "NEWNAME"}).status_code == 200
    assert relay.get("/data/projects/P/experiments/NEWNAME").status_code == 200
    assert relay.get("/data/projects/P/experiments/E").status_code == 404


@pytest.mark.parametrize(("xsi", "status"), [("xnat:mrScanData", 200), ("xnat:petScanData", 409)])
def test_a_scan_keeps_its_type(relay, experiment, xsi, status):
    """ScanResource: 200 with an empty body for new and existing, 409 for another type."""
    answer = relay.put(f"{experiment}/scans/1", params={"xsiType": xsi})
    assert answer.status_code == status
    assert (answer.content == b"") == (status == 200)
    (item,) = relay.get(f"{experiment}/scans/1", params={"format": "json"}).json()["items"]
    assert item["meta"]["xsi:type"] == "xnat:mrScanData"


def test_scans_that_cannot_be(relay, experiment):
    """ScanResource."""
    assert relay.put(f"{experiment}/scans/2", params={"xsiType": "xnat:imageScanData"}).status_code == 400
    assert relay.put("/data/experiments/NOPE/scans/2", params={"xsiType": "xnat:mrScanData"}).status_code == 404


def test_assessors_are_created_with_201(relay, experiment):
    """TestFileUpload#testManQCUpload."""
    path = f"{experiment}/assessors/QC"
    assert relay.put(path, params={"xsiType": "xnat:qcManualAssessorData"}).status_code == 201
    assert relay.put(f"{path}/resources/R").status_code == 200


def test_post_to_a_list(relay, experiment):
    """ProjSubExptList: 200 with the new URL, 409 where it exists."""
    listed = "/data/projects/P/subjects/S/experiments"
    answer = relay.post(listed, params={**MR, "label": "POSTED"})
    assert (answer.status_code, answer.text) == (200, answer.headers["location"])
    assert relay.get(answer.text).status_code == 200
    assert relay.post(listed, params={**MR, "label": "POSTED"}).status_code == 409


def test_projects(sandbox, login, relay, rows):
    """ProjectResource; TestProjectValidation."""
    assert relay.put("/data/projects/MINE", params={"name": "Mine"}).status_code == 200
    assert relay.put("/data/projects/mine").status_code == 403
    assert relay.put("/data/projects/NO%20PE").status_code == 417
    assert relay.put("/data/projects/P").status_code == 403
    assert relay.get("/data/projects/MINE/prearchive_code").text == "0"
    assert relay.put("/data/projects/MINE/prearchive_code/4").status_code == 200
    assert relay.get("/data/projects/MINE/prearchive_code").text == "4"
    reader = login(sandbox, "reader")
    assert [row["ID"] for row in rows(reader.get("/data/projects"))] == ["P"]
    assert rows(reader.get("/data/projects", params={"permissions": "edit"})) == []
    assert [row["ID"] for row in rows(relay.get("/data/projects", params={"permissions": "delete"}))] == ["MINE"]
    assert relay.delete("/data/projects/MINE").status_code == 200


def test_deleting_one_session_never_touches_its_neighbour(sandbox, login, relay, rows, tmp_path):
    """TestDeletionAccuracy; without removeFiles the files stay on disk."""
    for label in ("E", "E1", "E11"):
        relay.put(f"/data/projects/P/subjects/S/experiments/{label}", params=MR)
        upload = {"f": ("x", label.encode())}
        assert relay.put(f"/data/projects/P/experiments/{label}/resources/R/files/a", files=upload).status_code == 200
    owner = login(sandbox, "owner")
    assert owner.delete("/data/projects/P/experiments/E1").status_code == 200
    assert owner.delete("/data/projects/P/experiments/E", params={"removeFiles": "true"}).status_code == 200
    assert [row["label"] for row in rows(relay.get("/data/projects/P/experiments"))] == ["E11"]
    assert relay.get("/data/projects/P/experiments/E11/resources/R/files/a").content == b"E11"
    assert sorted(p.read_text() for p in (tmp_path / "site" / "archive").rglob("a")) == ["E1", "E11"]
