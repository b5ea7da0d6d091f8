"""Archives that do something else with a session than they were asked to, and people in them who take their time."""

import httpx
import pydicom
import pytest

from dicom.inbox import Caller
from kspace.errors import BadInput
from tests.integration.images.conftest import QUIET_S, STUDY, changed, images
from transfer.catalog import studies
from transfer.catalog.commitments import open_request, record_request
from transfer.catalog.committed import judge
from transfer.feeds.sweep import sweep_images


def test_where_scripts_change_uids_number_count_and_pixels_prove(start, tmp_path):
    lane = start(project="REMAP")
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2))
    lane.run()
    row = lane.delivery()
    assert row["state"] == "verified"
    assert row["reason"] == "4 images verified; 4 of them under other UIDs, by series number, count and pixels."
    lane.receive(*images(tmp_path, number=3))
    lane.run()
    assert lane.held() == {"visit/1": 2, "visit/2": 2, "visit/3": 2}
    assert lane.stands()[0] == "verified"


def test_equal_images_are_counted_one_by_one(start, tmp_path):
    lane = start(project="REMAP")
    paths = images(tmp_path, count=3)
    pixels = pydicom.dcmread(paths[0]).PixelData
    lane.receive(*(changed(p, PixelData=pixels) for p in paths))
    lane.run()
    assert lane.stands()[0] == "verified"
    with lane.archive() as admin:
        experiment = lane.delivery()["experiment"]
        base = f"/data/experiments/{experiment}/scans/1/resources/DICOM/files"
        row = admin.get(base, params={"format": "json"}).json()["ResultSet"]["Result"][0]
        assert admin.delete(row["URI"]).status_code == 200
    lane.receive(*images(tmp_path, number=2, count=1))
    lane.run()
    assert lane.held()["visit/1"] == 3, "what was lost there was sent again"
    assert lane.stands()[0] == "verified"


def test_a_series_that_the_archive_filters_is_named_and_kept_and_the_rest_goes(start, tmp_path):
    lane = start(project="FILTER")
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, protocol="noise"))
    lane.run()
    assert lane.held() == {"visit/1": 2}
    state, _, reason = lane.stands()
    assert state == "verified"
    assert reason == "2 images verified; 2 images refused by the archive's own filter and kept here."
    (alert,) = lane.alerts()
    assert "refused 1 series" in alert


def test_a_study_of_filtered_series_alone_is_never_called_done(start, tmp_path):
    lane = start(project="FILTER")
    lane.receive(*images(tmp_path, protocol="noise"))
    lane.run()
    assert lane.stands()[:2] == ("held", "filtered")


def test_images_that_a_script_rejects_are_sent_twice_and_then_held(start, tmp_path):
    lane = start(project="LOSES")
    first, second = images(tmp_path)
    lane.receive(first, changed(second, SeriesDescription="lost"))
    lane.run()
    state, code, reason = lane.stands()
    assert (state, code) == ("held", "rejected")
    assert "1 image of series 1, which were sent twice" in reason


def test_a_person_may_take_a_session_without_what_its_archive_rejects_and_nothing_of_it_counts_as_held(start, tmp_path):
    lane = start(project="LOSES")
    first, second = images(tmp_path)
    lane.receive(first, changed(second, SeriesDescription="lost"))
    with pytest.raises(BadInput, match="nothing to take as it is"):
        lane.retry(as_is=True)
    lane.run()
    lane.retry(as_is=True)
    lane.run(after_s=1)
    said = "1 image verified; 1 image not shown there as received, which a person knows, and kept here."
    assert lane.stands() == ("verified", None, said)
    keep = {"machine": "box", "keep_s": 0.0}
    assert sweep_images(database=lane.box.database, clock=lane.clock, keep_filtered_s=0.0, **keep) == 1
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert lane.stands()[0] == "verified", "later images go on without another word"
    with lane.box.database.read() as connection:
        shown = studies.study(connection, "t1")["series"]
    assert [(s["archived"]["central"], s["lacking"]["central"]) for s in shown] == [(1, 1), (2, 0)]
    wanted = [(one.SOPClassUID, one.SOPInstanceUID) for one in map(pydicom.dcmread, (first, second))]
    caller = Caller("MR", "KSPACE", "here")
    database, at = lane.box.database, lane.clock.now()
    record_request(database, "1.2.3", wanted, caller, machine="box", at=at)
    asked = open_request(database, "1.2.3", caller)
    assert judge(database, asked, here=False, is_late=False) is None
    told = judge(database, asked, here=False, is_late=True)
    assert [uid for _, uid in told.kept] == [wanted[0][1]]
    lane.retry()
    lane.run(after_s=1)
    assert lane.stands()[:2] == ("held", "rejected"), "it was tried again, and is asked about again"


def test_a_session_that_the_archive_renames_is_found_and_later_images_follow(start, tmp_path):
    lane = start(project="RENAME")
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    assert lane.held() == {"visit_final/1": 2}
    assert lane.stands()[0] == "verified"


def test_a_session_that_a_person_renamed_gets_what_comes_later(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    with lane.archive() as admin:
        path = f"/data/projects/P/subjects/PRACTICE-01/experiments/{lane.delivery()['experiment']}"
        assert admin.put(path, params={"label": "renamed"}).status_code == 200
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert lane.held() == {"renamed/1": 2, "renamed/2": 2}
    assert lane.stands()[0] == "verified"


def test_a_session_waits_three_weeks_for_a_person_and_says_so(start, tmp_path):
    lane = start(project="PEOPLE", route="archive = false")
    lane.receive(*images(tmp_path))
    lane.run()
    assert lane.stands()[0] == "waiting"
    lane.run(after_s=5 * 86_400)
    assert lane.stands()[2] == "The session waits in the prearchive for a person there, for 5 days."
    lane.run(after_s=17 * 86_400)
    assert lane.stands()[0] == "verified"
    assert lane.held() == {"visit/1": 2}


def test_what_comes_while_a_session_waits_for_a_person_joins_it(start, tmp_path):
    lane = start(project="PEOPLE", route="archive = false")
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert len(lane.waiting()) == 1
    assert lane.stands()[0] == "waiting"
    lane.run(after_s=22 * 86_400)
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert lane.stands()[0] == "verified"


def test_a_waiting_session_that_was_thrown_away_is_held_and_sent_again_on_a_person_s_word(start, tmp_path):
    lane = start(project="P", route="archive = false")
    lane.receive(*images(tmp_path))
    lane.run()
    (row,) = lane.waiting()
    with lane.archive() as admin:
        assert admin.delete(f"/data{row['url']}").status_code == 200
    lane.run(after_s=60)
    lane.run(after_s=600)
    assert lane.stands()[:2] == ("held", "gone")
    lane.retry()
    lane.run()
    assert lane.stands()[0] == "waiting"
    assert len(lane.waiting()) == 1


def test_a_waiting_session_that_vanishes_halfway_is_begun_anew(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2))
    lane.clock.sleep(QUIET_S + 1)
    lane.step()
    (row,) = lane.waiting()
    with lane.archive() as admin:
        assert admin.delete(f"/data{row['url']}").status_code == 200
    lane.run(after_s=1)
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert lane.stands()[0] == "verified"


def test_a_label_that_another_study_has_is_a_conflict_and_not_a_merge(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, study_uid=STUDY + "9"))
    lane.run()
    with lane.box.database.write() as connection:
        connection.exec_driver_sql("UPDATE delivery SET due_at = '2099-01-01'")
    lane.receive(*images(tmp_path / "other", number=3, count=3, serial="35001"))
    lane.run()
    with lane.box.database.read() as connection:
        query = "SELECT state, held_code FROM delivery ORDER BY id"
        assert [tuple(r) for r in connection.exec_driver_sql(query)] == [("verified", None), ("held", "conflict")]
    assert lane.held() == {"visit/1": 2}


def test_images_that_others_archived_already_are_a_conflict_and_then_only_watched(start, tmp_path):
    lane = start()
    paths = images(tmp_path)
    lane.carried(paths, "P")
    lane.receive(*paths)
    lane.run()
    state, code, reason = lane.stands()
    assert (state, code) == ("held", "conflict")
    assert 'forward = "observe"' in reason
    with lane.archive() as admin:
        for row in lane.waiting():
            assert admin.delete(f"/data{row['url']}").status_code == 200
    lane = start(route='forward = "observe"')
    lane.receive(*images(tmp_path, number=2))
    lane.carried(images(tmp_path, number=2), "P")
    lane.retry()
    lane.run()
    assert lane.stands()[0] == "verified"


def test_a_merge_that_takes_its_time_is_waited_for(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    httpx.put(f"{lane.url}/sandbox/settings", json={"archive_delay_s": 60}).raise_for_status()
    lane.receive(*images(tmp_path, number=2))
    assert lane.run() == ["forward", "forward", "confirm"]
    assert lane.stands()[0] == "sent"
    lane.receive(*images(tmp_path, number=3))
    lane.run()
    lane.run(after_s=61)
    lane.run(after_s=61)
    assert lane.stands()[0] == "verified"
    assert lane.held() == {"visit/1": 2, "visit/2": 2, "visit/3": 2}
    assert len([a for a in lane.asked() if "services/import" in a]) == 3


def test_a_session_that_is_worked_on_there_is_tried_again(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    httpx.put(f"{lane.url}/sandbox/faults", json={"refuse": 1, "refuse_status": 400, "only": "import", "limit": 2})
    lane.run()
    assert lane.stands()[0] == "queued"
    for _ in range(3):
        lane.run(after_s=3600)
    assert lane.stands()[0] == "verified"
    assert lane.alerts() == []


def test_other_pixels_in_the_archive_are_never_verified(start, tmp_path, sandbox):
    lane = start()
    lane.receive(*images(tmp_path))
    lane.clock.sleep(QUIET_S + 1)
    assert [lane.step(), lane.step()] == ["forward", "forward"]
    victim = next((tmp_path / "archive" / "archive").rglob("*.dcm"))
    changed(victim, PixelData=bytes(len(pydicom.dcmread(victim).PixelData)))
    lane.run()
    assert lane.stands()[:2] == ("held", "pixels")


@pytest.mark.parametrize("project", ["P", "REMAP"])
def test_images_that_another_path_carries_are_only_watched(start, tmp_path, project):
    lane = start(project=project, route='forward = "observe"')
    paths = images(tmp_path, count=3)
    lane.receive(*paths)
    assert lane.run() == ["forward", "observe"]
    assert lane.stands()[0] == "observing"
    assert not [a for a in lane.asked() if a.startswith("POST")]
    lane.carried(paths[:2], project)
    lane.run(after_s=61)
    assert lane.stands()[0] == "observing"
    assert "lists 2 of 3 images" in lane.stands()[2]
    lane.carried(paths[2:], project)
    lane.run(after_s=61)
    assert lane.stands()[0] == "verified"
    assert lane.delivery()["experiment"]


def test_a_line_that_breaks_while_images_are_read_back_costs_one_of_them(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, count=6))
    lane.clock.sleep(QUIET_S + 1)
    assert [lane.step(), lane.step()] == ["forward", "forward"]
    faults = {"drop_before": 0.4, "only": "GET .*/resources/DICOM/files/", "seed": 3}
    httpx.put(f"{lane.url}/sandbox/faults", json=faults).raise_for_status()
    assert lane.step() == "confirm"
    assert lane.stands()[0] == "verified"
    assert 0 in [r["status"] for r in httpx.get(f"{lane.url}/sandbox/log").json()]
