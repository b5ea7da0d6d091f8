"""Images into an archive, with everything an archive may do to them: nothing is called safe that was not seen there."""

import re
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.integration.images.conftest import QUIET_S, changed, images, report

_CODE = Path(__file__).parents[3] / "transfer"


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
    assert lane.stands() == ("verified", None, "6 images verified.")


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
    assert lane.stands()[0] == "verified"


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
    assert lane.stands()[0] == "verified"
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
    assert lane.stands()[0] == "verified"


def test_large_series_go_in_several_zips_and_smaller_ones_where_a_proxy_wants_that(start, tmp_path):
    lane = start(destination="part_bytes = 65536")
    lane.receive(*images(tmp_path, count=9))
    size = images(tmp_path, count=9)[0].stat().st_size
    httpx.put(f"{lane.url}/sandbox/faults", json={"body_limit_bytes": size * 3}).raise_for_status()
    lane.run()
    assert lane.held() == {"visit/1": 9}
    assert lane.stands()[0] == "verified"


def test_an_image_no_proxy_lets_through_waits_for_a_person(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    httpx.put(f"{lane.url}/sandbox/faults", json={"body_limit_bytes": 2000}).raise_for_status()
    lane.run()
    assert lane.stands()[:2] == ("held", "too_large")


def test_objects_without_pixels_are_verified_too(start, tmp_path):
    lane = start()
    lane.receive(*(report(p) for p in images(tmp_path)))
    lane.run()
    assert lane.stands()[0] == "verified"


@pytest.mark.parametrize("when", ["before it is sent", "before it is proved"])
def test_an_image_that_the_disk_altered_is_never_verified_and_sending_it_again_mends_that(start, tmp_path, when):
    lane = start()
    paths = images(tmp_path)
    lane.receive(*paths)
    lane.clock.sleep(QUIET_S + 1)
    if when == "before it is proved":
        assert [lane.step(), lane.step()] == ["forward", "forward"]
    victim = min((tmp_path / "relay/spool/dicom").iterdir())
    changed(victim, PixelData=bytes(len(pydicom.dcmread(victim).PixelData)))
    lane.run()
    assert lane.stands()[:2] == ("held", "spool_damaged")
    assert not any("destination" in alert.lower() for alert in lane.alerts())
    lane.receive(*paths)
    lane.retry()
    lane.run()
    assert lane.stands()[0] == "verified"


def test_a_profile_that_is_not_there_sends_nothing(start, tmp_path):
    lane = start(route='deidentify = "strict"')
    lane.receive(*images(tmp_path))
    lane.run()
    assert lane.stands()[:2] == ("held", "no_profile")
    assert not [a for a in lane.asked() if a.startswith("POST")]
