"""How long images stay on the relay, and what lets them go."""

import pytest
from typer.testing import CliRunner

from kspace.errors import BadInput, SpoolError
from tests.integration.images.conftest import changed, images
from transfer import assigning
from transfer.app.cli import app
from transfer.catalog import studies
from transfer.feeds.sweep import sweep_images

_DAY_S = 86_400.0


def _study(lane, name="t1"):
    with lane.box.database.read() as connection:
        return studies.study(connection, name)


def _run(*arguments):
    said = CliRunner().invoke(app, [str(a) for a in arguments])
    assert said.exit_code == 0, (said.output, said.exception)
    return said.stdout


def test_series_that_a_filter_leaves_out_are_told_and_kept(start, tmp_path):
    lane = start(route='series = [{ action = "exclude", where = { SeriesDescription = "gre_2" } }]')
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2))
    lane.run()
    assert lane.held() == {"visit/1": 2}
    assert lane.stands()[2] == "2 images verified; 2 images left out by the route's filters and kept here."
    assert [s["archived"]["central"] for s in _study(lane)["series"]] == [2, 0]
    assert [s["filtered"]["central"] for s in _study(lane)["series"]] == [0, 2]
    assert "2 left out on the way to central by its route's filters" in _run(
        "study", "t1", "-c", tmp_path / "relay.toml"
    )
    lane.clock.sleep(365 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 2
    lane = start()
    lane.receive(*images(tmp_path, number=3))
    lane.run()
    assert lane.held() == {"visit/1": 2, "visit/2": 2, "visit/3": 2}


def _swept(lane, keep_s=30 * _DAY_S, **more):
    return sweep_images(database=lane.box.database, clock=lane.clock, machine="box", keep_s=keep_s, **more)


def _looked_and_swept(lane):
    assert _swept(lane) == 0, "not before the archive was looked at once more"
    assert lane.run() == ["confirm"]
    return _swept(lane)


def test_images_stay_until_so_long_after_the_proof_and_going_is_told(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    lane.clock.sleep(40 * _DAY_S)
    assert _swept(lane) == 0
    lane.run()
    lane.clock.sleep(29 * _DAY_S)
    assert _swept(lane) == 0
    lane.clock.sleep(2 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    assert _swept(lane) == 0
    assert list((tmp_path / "relay/spool/dicom").iterdir()) == []
    story = _study(lane)
    assert story["events"][-1]["verb"] == "study.freed"
    assert story["events"][-1]["detail"].startswith("2 images, ")
    assert "verified in central since 2026-04-10" in story["events"][-1]["detail"]
    assert story["series"][0]["freed"] == 2
    assert "2 freed after the proof" in _run("status", "-c", tmp_path / "relay.toml")


def test_what_a_filter_left_out_goes_on_a_persons_word_or_after_a_time_that_the_site_set(start, tmp_path):
    lane = start(route='series = [{ action = "exclude", where = { SeriesDescription = "gre_2" } }]')
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2))
    config = ("-c", tmp_path / "relay.toml")
    with pytest.raises(BadInput, match="not settled"):
        assigning.free(lane.box.database, "t1", reason="none", actor="dr.who", clock=lane.clock)
    lane.run()
    assert _study(lane)["unwanted"]["images"] == 2
    assert "2 images that no archive takes lie here: 0.00 GB" in _run("study", "t1", *config)
    lane.clock.sleep(50 * _DAY_S)
    assert _swept(lane, 90 * _DAY_S, keep_filtered_s=60 * _DAY_S) == 0
    assert "Freed 2 images" in _run("free", "t1", "--reason", "localizers", *config)
    assert _study(lane)["events"][-1]["detail"].endswith("localizers")
    assert _study(lane)["unwanted"]["images"] == 0
    with pytest.raises(BadInput, match="no images here"):
        assigning.free(lane.box.database, "t1", reason="none", actor="dr.who", clock=lane.clock)
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    lane.clock.sleep(61 * _DAY_S)
    assert _swept(lane, 90 * _DAY_S, keep_filtered_s=60 * _DAY_S) == 2
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 2, "what the archive is to have stays"


def test_an_archive_that_lost_the_session_before_the_images_were_freed_frees_nothing(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path))
    lane.run()
    lane.clock.sleep(31 * _DAY_S)
    with lane.archive() as admin:
        assert admin.delete(f"/data/experiments/{lane.delivery()['experiment']}").status_code == 200
    assert _swept(lane) == 0
    lane.run()
    assert _swept(lane) == 0
    assert lane.stands()[:2] == ("held", "gone")
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 2


def test_what_comes_after_the_rest_was_freed_is_delivered_and_the_rest_is_not_missed(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    lane.receive(*images(tmp_path, number=2))
    assert _swept(lane) == 0
    lane.run()
    assert lane.stands() == ("verified", None, "2 images verified.")
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert [s["archived"]["central"] for s in _study(lane)["series"]] == [2, 2]


def test_a_freed_image_that_comes_again_is_looked_for_again_before_it_goes(start, tmp_path):
    lane = start()
    paths = images(tmp_path)
    lane.receive(*paths)
    lane.run()
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    lane.receive(*paths)
    assert _swept(lane) == 0
    assert lane.run() == ["forward", "confirm"]
    assert lane.stands()[0] == "verified"
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2


def test_an_image_that_is_freed_the_moment_it_comes_again_is_not_accepted(start, tmp_path):
    lane = start()
    paths = images(tmp_path)
    lane.receive(*paths)
    lane.run()
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    with pytest.raises(SpoolError, match="Send it once more"):
        lane.receive(*paths, is_lost=True)


def test_of_two_images_under_one_uid_the_one_that_was_not_delivered_stays(start, tmp_path):
    lane = start()
    first, second = images(tmp_path)
    lane.receive(first, second)
    lane.receive(changed(second, ImageComments="another"))
    lane.run()
    assert _study(lane)["series"][0]["other_bytes"] == 1
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 1
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert lane.stands()[0] == "verified"
    assert _swept(lane, 90 * _DAY_S, keep_filtered_s=0.0) == 0
    assert _study(lane)["unwanted"]["images"] == 1
    said = {"reason": "the first is right", "actor": "dr.who", "clock": lane.clock}
    assert assigning.free(lane.box.database, "t1", **said)[0] == 1
    assert _study(lane)["unwanted"]["images"] == 0
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 2, "what was proved has its own time"


def test_what_an_archive_refused_is_kept_and_offered_again_on_a_person_s_word(start, tmp_path):
    lane = start(project="FILTER")
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, protocol="noise"))
    lane.run()
    assert [s["refused"]["central"] for s in _study(lane)["series"]] == [0, 2]
    lane.clock.sleep(31 * _DAY_S)
    assert _looked_and_swept(lane) == 2
    assert len(list((tmp_path / "relay/spool/dicom").iterdir())) == 2
    before = len([a for a in lane.asked() if "services/import" in a])
    lane.retry()
    lane.run()
    assert len([a for a in lane.asked() if "services/import" in a]) == before + 1
