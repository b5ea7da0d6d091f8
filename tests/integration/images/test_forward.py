"""Images into an archive, with everything an archive may do to them: nothing is called safe that was not seen there."""

import re
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.integration.images.conftest import QUIET_S, STUDY, changed, images, report

_CODE = Path(__file__).parents[3] / "transfer"


def _state(lane):
    row = lane.delivery()
    return row["state"], row["held_code"], row["reason"]


def test_a_study_is_followed_from_its_arrival_to_the_archive(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, count=3))
    assert lane.run(after_s=1) == []
    assert lane.run() == ["forward", "forward", "forward", "confirm"]
    assert lane.held() == {"visit/1": 2, "visit/2": 3}
    row = lane.delivery()
    assert (row["state"], row["reason"]) == ("verified", "5 images verified.")
    assert row["place"] == f"/data/experiments/{row['experiment']}"
    assert lane.events() == ["delivery.queued", "delivery.queued", "delivery.sent", "delivery.verified"]
    assert lane.waiting() == []


def test_one_waiting_session_committed_once(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2))
    lane.run()
    asked = lane.asked()
    assert len([a for a in asked if a.startswith("POST /data/services/import")]) == 2
    (commit,) = [a for a in asked if "action=commit" in a]
    assert "overwrite=append" in commit


def test_nothing_is_replaced_in_an_archive():
    """``overwrite=delete`` replaces a whole session: no code of the relay may ask for it."""
    words = re.compile(r"overwrite\W{0,6}delete", re.IGNORECASE)
    guilty = [p for p in _CODE.rglob("*.py") if "sandbox" not in p.parts and words.search(p.read_text())]
    assert guilty == []
    assert words.search('{"overwrite": "delete"}')
    assert words.search("?overwrite=delete")


@pytest.mark.parametrize("state", ["verified", "sent", "held"])
def test_images_that_come_late_are_delivered_too(start, tmp_path, state):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    if state == "verified":
        lane.run()
    else:
        lane.clock.sleep(QUIET_S + 1)
        assert [lane.step(), lane.step()] == ["forward", "forward"]
    assert lane.delivery()["state"] == ("verified" if state == "verified" else "sent")
    if state == "held":
        lane.hold()
    lane.receive(*images(tmp_path, number=2), *images(tmp_path, number=1, count=4)[2:])
    if state == "held":
        assert lane.run() == []
        lane.retry()
    lane.run()
    assert lane.held() == {"visit/1": 4, "visit/2": 2}
    assert _state(lane) == ("verified", None, "6 images verified.")


def test_images_that_come_while_the_study_is_committed_are_not_lost(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.clock.sleep(QUIET_S + 1)
    lane.step()
    claim = lane.store.claim("delivery")
    outcome = lane.stages["forward"](claim.record, lambda: None)
    lane.receive(*images(tmp_path, number=2))
    lane.store.commit(claim, outcome)
    lane.run()
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert _state(lane)[0] == "verified"


def test_a_crash_costs_one_series_and_makes_nothing_double(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2), *images(tmp_path, number=3))
    lane.clock.sleep(QUIET_S + 1)
    lane.step()
    for _ in range(3):  # the import, the last import and the commit are done, and nobody remembers
        claim = lane.store.claim("delivery")
        lane.stages["forward"](claim.record, lambda: None)
        lane.store.free_leases()
        lane.step()
    lane.run()
    assert lane.held() == {"visit/1": 2, "visit/2": 2, "visit/3": 2}
    assert _state(lane)[0] == "verified"
    imports = [a for a in lane.asked() if a.startswith("POST /data/services/import")]
    assert len(imports) == 5


def test_a_lost_answer_to_the_commit_is_no_loss(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    lane.clock.sleep(QUIET_S + 1)
    lane.step()
    faults = {"drop_after": 1, "only": "action=commit|POST /data/prearchive", "limit": 1}
    httpx.put(f"{lane.url}/sandbox/faults", json=faults).raise_for_status()
    lane.run(after_s=0)
    lane.run(after_s=3600)
    lane.run(after_s=3600)
    assert lane.held() == {"visit/1": 2}
    assert _state(lane)[0] == "verified"


def test_large_series_go_in_several_zips_and_smaller_ones_where_a_proxy_wants_that(start, tmp_path):
    lane = start(destination="part_bytes = 65536")
    lane.receive(*images(tmp_path, count=9))
    size = images(tmp_path, count=9)[0].stat().st_size
    httpx.put(f"{lane.url}/sandbox/faults", json={"body_limit_bytes": size * 3}).raise_for_status()
    lane.run()
    assert lane.held() == {"visit/1": 9}
    assert _state(lane)[0] == "verified"


def test_an_image_no_proxy_lets_through_waits_for_a_person(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    httpx.put(f"{lane.url}/sandbox/faults", json={"body_limit_bytes": 2000}).raise_for_status()
    lane.run()
    assert _state(lane)[:2] == ("held", "too_large")


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
    assert _state(lane)[0] == "verified"


def test_equal_images_are_counted_one_by_one(start, tmp_path):
    lane = start(project="REMAP")
    paths = images(tmp_path, count=3)
    pixels = pydicom.dcmread(paths[0]).PixelData
    lane.receive(*(changed(p, PixelData=pixels) for p in paths))
    lane.run()
    assert _state(lane)[0] == "verified"
    with lane.archive() as admin:
        experiment = lane.delivery()["experiment"]
        base = f"/data/experiments/{experiment}/scans/1/resources/DICOM/files"
        row = admin.get(base, params={"format": "json"}).json()["ResultSet"]["Result"][0]
        assert admin.delete(row["URI"]).status_code == 200
    lane.receive(*images(tmp_path, number=2, count=1))
    lane.run()
    assert lane.held()["visit/1"] == 3, "what was lost there was sent again"
    assert _state(lane)[0] == "verified"


def test_objects_without_pixels_are_verified_too(start, tmp_path):
    lane = start()
    lane.receive(*(report(p) for p in images(tmp_path)))
    lane.run()
    assert _state(lane)[0] == "verified"


def test_a_series_that_the_archive_filters_is_named_and_kept_and_the_rest_goes(start, tmp_path):
    lane = start(project="FILTER")
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, protocol="noise"))
    lane.run()
    assert lane.held() == {"visit/1": 2}
    state, _, reason = _state(lane)
    assert state == "verified"
    assert reason == "2 images verified; 2 images refused by the archive's own filter and kept here."
    (alert,) = lane.alerts()
    assert "refused 1 series" in alert


def test_a_study_of_filtered_series_alone_is_never_called_done(start, tmp_path):
    lane = start(project="FILTER")
    lane.receive(*images(tmp_path, protocol="noise"))
    lane.run()
    assert _state(lane)[:2] == ("held", "filtered")


def test_images_that_a_script_rejects_are_sent_twice_and_then_held(start, tmp_path):
    lane = start(project="LOSES")
    first, second = images(tmp_path)
    lane.receive(first, changed(second, SeriesDescription="lost"))
    lane.run()
    state, code, reason = _state(lane)
    assert (state, code) == ("held", "rejected")
    assert "1 image of series 1, which were sent twice" in reason


def test_a_session_that_the_archive_renames_is_found_and_later_images_follow(start, tmp_path):
    lane = start(project="RENAME")
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    assert lane.held() == {"visit_final/1": 2}
    assert _state(lane)[0] == "verified"


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
    assert _state(lane)[0] == "verified"


def test_a_session_waits_three_weeks_for_a_person_and_says_so(start, tmp_path):
    lane = start(project="PEOPLE", route="archive = false")
    lane.receive(*images(tmp_path))
    lane.run()
    assert _state(lane)[0] == "waiting"
    lane.run(after_s=5 * 86_400)
    assert _state(lane)[2] == "The session waits in the prearchive for a person there, for 5 days."
    lane.run(after_s=17 * 86_400)
    assert _state(lane)[0] == "verified"
    assert lane.held() == {"visit/1": 2}


def test_what_comes_while_a_session_waits_for_a_person_joins_it(start, tmp_path):
    lane = start(project="PEOPLE", route="archive = false")
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert len(lane.waiting()) == 1
    assert _state(lane)[0] == "waiting"
    lane.run(after_s=22 * 86_400)
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert _state(lane)[0] == "verified"


def test_a_waiting_session_that_was_thrown_away_is_held_and_sent_again_on_a_person_s_word(start, tmp_path):
    lane = start(project="P", route="archive = false")
    lane.receive(*images(tmp_path))
    lane.run()
    (row,) = lane.waiting()
    with lane.archive() as admin:
        assert admin.delete(f"/data{row['url']}").status_code == 200
    lane.run(after_s=60)
    lane.run(after_s=600)
    assert _state(lane)[:2] == ("held", "gone")
    lane.retry()
    lane.run()
    assert _state(lane)[0] == "waiting"
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
    assert _state(lane)[0] == "verified"


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
    _carried(lane, paths, "P")
    lane.receive(*paths)
    lane.run()
    state, code, reason = _state(lane)
    assert (state, code) == ("held", "conflict")
    assert 'forward = "observe"' in reason
    with lane.archive() as admin:
        for row in lane.waiting():
            assert admin.delete(f"/data{row['url']}").status_code == 200
    lane = start(route='forward = "observe"')
    lane.receive(*images(tmp_path, number=2))
    _carried(lane, images(tmp_path, number=2), "P")
    lane.retry()
    lane.run()
    assert _state(lane)[0] == "verified"


def test_a_merge_that_takes_its_time_is_waited_for(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    httpx.put(f"{lane.url}/sandbox/settings", json={"archive_delay_s": 60}).raise_for_status()
    lane.receive(*images(tmp_path, number=2))
    assert lane.run() == ["forward", "forward", "confirm"]
    assert _state(lane)[0] == "sent"
    lane.receive(*images(tmp_path, number=3))
    lane.run()
    lane.run(after_s=61)
    lane.run(after_s=61)
    assert _state(lane)[0] == "verified"
    assert lane.held() == {"visit/1": 2, "visit/2": 2, "visit/3": 2}
    assert len([a for a in lane.asked() if "services/import" in a]) == 3


def test_a_session_that_is_worked_on_there_is_tried_again(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    httpx.put(f"{lane.url}/sandbox/faults", json={"refuse": 1, "refuse_status": 400, "only": "import", "limit": 2})
    lane.run()
    assert _state(lane)[0] == "queued"
    for _ in range(3):
        lane.run(after_s=3600)
    assert _state(lane)[0] == "verified"
    assert lane.alerts() == []


def test_other_pixels_in_the_archive_are_never_verified(start, tmp_path, sandbox):
    lane = start()
    lane.receive(*images(tmp_path))
    lane.clock.sleep(QUIET_S + 1)
    assert [lane.step(), lane.step()] == ["forward", "forward"]
    victim = next((tmp_path / "archive" / "archive").rglob("*.dcm"))
    changed(victim, PixelData=bytes(len(pydicom.dcmread(victim).PixelData)))
    lane.run()
    assert _state(lane)[:2] == ("held", "pixels")


@pytest.mark.parametrize("project", ["P", "REMAP"])
def test_images_that_another_path_carries_are_only_watched(start, tmp_path, project):
    lane = start(project=project, route='forward = "observe"')
    paths = images(tmp_path, count=3)
    lane.receive(*paths)
    assert lane.run() == ["forward", "observe"]
    assert _state(lane)[0] == "observing"
    assert not [a for a in lane.asked() if a.startswith("POST")]
    _carried(lane, paths[:2], project)
    lane.run(after_s=61)
    assert _state(lane)[0] == "observing"
    assert "lists 2 of 3 images" in _state(lane)[2]
    _carried(lane, paths[2:], project)
    lane.run(after_s=61)
    assert _state(lane)[0] == "verified"
    assert lane.delivery()["experiment"]


def _carried(lane, paths, project):
    """Bring images into the archive as somebody else does."""
    with lane.archive() as admin:
        for path in paths:
            params = {"import-handler": "gradual-DICOM", "project": project, "subject": "S", "session": "visit"}
            headers = {"content-type": "application/dicom"}
            sent = admin.post("/data/services/import", params=params, content=path.read_bytes(), headers=headers)
            assert sent.status_code == 200
        place = sent.text.strip()
        assert admin.post(place, params={"action": "commit", "AA": "true"}).status_code == 301


def test_a_profile_that_is_not_there_sends_nothing(start, tmp_path):
    lane = start(route='deidentify = "strict"')
    lane.receive(*images(tmp_path))
    lane.run()
    assert _state(lane)[:2] == ("held", "no_profile")
    assert not [a for a in lane.asked() if a.startswith("POST")]
