"""Studies as people see them: where they go and why, who said so, what is missing, what waits."""

import json

import pytest
from typer.testing import CliRunner

from kspace.errors import BadInput, NotFound
from tests.integration.images.conftest import STUDY, changed, images
from transfer import assigning
from transfer.app.cli import app
from transfer.catalog import studies
from transfer.feeds.reconcile import Reconciling

_DAY_S = 86_400.0


def _look(lane):
    box = lane.box
    Reconciling(database=box.database, clock=lane.clock, routes=box.config.route, quiet_s=300.0)()
    return sorted(lane.alerts())


def _study(lane, name="t1"):
    with lane.box.database.read() as connection:
        return studies.study(connection, name)


def _told(lane):
    return [event["detail"] for event in _study(lane)["events"]]


def _assign(lane, project="OTHER", study="t1", **labels):
    given = {"subject": None, "session": None, "destination": "central", "project": project, **labels}
    return assigning.assign(
        lane.box.database, study, routes=lane.box.config.route, machine="box",
        actor="somebody", clock=lane.clock, **given,
    )  # fmt: skip


def _run(*arguments):
    said = CliRunner().invoke(app, [str(a) for a in arguments])
    assert said.exit_code == 0, (said.output, said.exception)
    return said.stdout


def test_a_study_that_no_route_fits_waits_with_the_reason_until_a_person_says_where_it_goes(start, tmp_path):
    lane = start(project=None)
    lane.receive(*images(tmp_path))
    assert lane.run() == []
    (alert,) = _look(lane)
    assert "route 1: names no project, and neither does the study" in alert
    assert "kspace assign t1" in alert
    assert _study(lane)["deliveries"] == []
    _assign(lane, "P", subject="s1", session="visit2")
    lane.run()
    assert lane.held() == {"visit2/1": 2}
    assert _look(lane) == []
    story = _study(lane)
    (assigned,) = [e for e in story["events"] if e["verb"] == "delivery.assigned"]
    assert assigned["actor"] == "somebody"
    assert story["deliveries"][0]["assigned_by"] == "somebody"


def test_series_that_name_two_projects_are_sent_nowhere(start, tmp_path):
    lane = start()
    lane.receive(
        *images(tmp_path, number=1, comments="Project:P"), *images(tmp_path, number=2, comments="Project:OTHER")
    )
    lane.run()
    state, code, reason = lane.stands()
    assert (state, code) == ("held", "route")
    assert "do not belong to one place" in reason
    assert not [a for a in lane.asked() if a.startswith("POST")]
    _assign(lane, session="visit")
    lane.run()
    assert lane.stands()[0] == "verified"
    assert lane.held() == {"visit/1": 2, "visit/2": 2}


def test_another_patient_in_one_study_is_sent_nowhere(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, patient_id="PRACTICE-02"))
    lane.run()
    assert lane.stands()[:2] == ("held", "route")


def test_series_sent_to_two_ae_titles_with_routes_of_their_own_are_sent_nowhere(start, tmp_path):
    other = '[[route]]\ndestinations = ["central"]\nproject = "OTHER"\nsession = "visit"'
    lane = start(route=f'called_ae = "KSPACE"\n{other}')
    lane.receive(*images(tmp_path, number=1))
    lane.receive(*images(tmp_path, number=2), called="HEART")
    lane.run()
    assert lane.stands()[:2] == ("held", "route")


def test_a_series_that_says_nothing_follows_the_others_whichever_came_first(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1), *images(tmp_path, number=2, comments="Project:OTHER"))
    assert lane.delivery()["project"] == "P"
    lane.run()
    assert lane.stands()[0] == "verified"
    assert lane.delivery()["project"] == "OTHER"
    assert "Goes to project OTHER: route 1: fits, and the project is named in the comments." in _told(lane)


def test_what_was_sent_never_goes_to_another_project_by_itself(start, tmp_path):
    lane = start()
    lane.receive(*images(tmp_path, number=1))
    lane.run()
    lane = start(project="OTHER")
    lane.receive(*images(tmp_path, number=2))
    lane.run()
    assert lane.stands()[:2] == ("held", "route")
    with pytest.raises(BadInput, match="removes nothing there"):
        _assign(lane, session="visit")
    _assign(lane, "P", subject="PRACTICE-01", session="visit")
    lane.run()
    assert lane.held() == {"visit/1": 2, "visit/2": 2}
    assert lane.stands()[0] == "verified"


def test_what_a_person_assigns_cannot_get_round_a_profile(start, tmp_path):
    lane = start(route='deidentify = "strict"')
    lane.receive(*images(tmp_path))
    _assign(lane, "P")
    lane.run()
    assert lane.stands()[:2] == ("held", "no_profile")


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"study": "t7"}, NotFound, "no study t7"),
        ({"study": "x"}, NotFound, "names no study"),
        ({"project": "a b"}, BadInput, "is no label"),
        ({"session": "../x"}, BadInput, "is no label"),
    ],
)
def test_what_cannot_be_assigned_is_one_sentence(start, tmp_path, given, error, why):
    lane = start(project=None)
    lane.receive(*images(tmp_path))
    with pytest.raises(error, match=why):
        _assign(lane, **given)
    assert _study(lane)["deliveries"] == []


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("middle", "series 1 has 3 of 4 images, by highest instance number"),
        ("end", "series 1 has 3 of 4 images, by images in"),
    ],
)
def test_a_series_that_is_short_is_shown_and_alerted_until_it_is_whole(start, tmp_path, missing, told):
    lane = start()
    paths = images(tmp_path, count=4)
    if missing == "end":
        paths = [changed(p, ImagesInAcquisition="4") for p in paths]
    late = paths.pop(1 if missing == "middle" else 3)
    lane.receive(*paths)
    assert _look(lane) == [], "it is still arriving"
    lane.run()
    (alert,) = _look(lane)
    assert told in alert
    assert _study(lane)["short"] == [1]
    assert lane.stands()[0] == "verified", "what came goes on"
    lane.receive(late)
    lane.run()
    assert _look(lane) == []
    assert _study(lane)["short"] == []


def test_a_series_shorter_than_every_earlier_run_is_alerted_for_a_week(start, tmp_path):
    lane = start()
    for run in (1, 2, 3):
        series = {"study_uid": f"{STUDY}.{run}", "protocol": "bold", "number": run, "patient_id": f"P{run}"}
        lane.receive(*images(tmp_path / str(run), **series, count=6 if run < 3 else 5))
    lane.clock.sleep(301)
    (alert,) = _look(lane)
    assert "Study t3" in alert
    assert "series 3 has 5 of 6 images, by earlier runs of this protocol on this scanner" in alert
    lane.clock.sleep(8 * _DAY_S)
    assert _look(lane) == []
    assert _study(lane, "t3")["short"] == [3]


def test_runs_that_always_differ_tell_nothing(start, tmp_path):
    lane = start()
    for run, count in ((1, 6), (2, 7), (3, 5)):
        series = {"study_uid": f"{STUDY}.{run}", "protocol": "bold", "number": run}
        lane.receive(*images(tmp_path / str(run), **series, count=count))
    lane.clock.sleep(301)
    assert _look(lane) == []


@pytest.mark.parametrize("route", ["archive = false", 'forward = "observe"'])
def test_what_waits_for_others_is_told_after_a_day(start, tmp_path, route):
    lane = start(project="P", route=route)
    lane.receive(*images(tmp_path))
    lane.run()
    assert _look(lane) == []
    lane.clock.sleep(4 * _DAY_S)
    assert [a for a in _look(lane) if "for 4 days" in a]
    lane.clock.sleep(8 * _DAY_S)
    (alert,) = _look(lane)
    assert "for 12 days" in alert
    lane.hold()
    assert not [a for a in _look(lane) if "for 12 days" in a]


def test_a_rehearsal_says_where_images_would_go_and_why_and_sends_nothing(start, tmp_path):
    lane = start(
        route='where = { StationName = "PRACTICE" }\nseries = [{ action = "exclude", where = { SeriesNumber = "2" } }]'
    )
    config = tmp_path / "relay.toml"
    folder = images(tmp_path, number=1)[0].parent
    images(folder, number=2, count=3)
    (folder / "notes.txt").write_text("no image")
    said = _run("route", folder, "-c", config)
    assert "goes to central/P/PRACTICE-01/visit" in said
    assert "route 1: fits, and names the project" in said
    assert "series 2 gre_2: 3 images; not to central: excluded by series filter 1 of its route" in said
    assert "1 files are no DICOM images" in said
    elsewhere = changed(images(tmp_path / "b", number=1)[0], StationName="ELSE")
    told = json.loads(_run("route", elsewhere, "-c", config, "--json"))["studies"][0]
    assert told["targets"] == []
    assert told["why"] == ["route 1: wants another StationName"]
    images(folder, number=3, patient_id="ANOTHER")
    assert "do not belong to one place" in _run("route", folder, "-c", config)
    assert lane.asked() == []


def test_the_command_line_shows_and_assigns(start, tmp_path):
    lane = start(project=None)
    config = tmp_path / "relay.toml"
    assert "No study was received yet" in _run("study", "-c", config)
    lane.receive(*images(tmp_path, number=1, count=3)[::2], *images(tmp_path, number=2))
    assert "nowhere" in _run("study", "-c", config)
    said = _run("assign", "t1", "--project", "P", "--session", "visit", "-c", config)
    assert "central/P/PRACTICE-01/visit" in said
    lane.clock.at = lane.clock.at.replace(year=2030)
    lane.run()
    shown = _run("study", "t1", "-c", config)
    assert "1 short, by highest instance number (0020,0013)" in " ".join(shown.split())
    assert "delivery.verified by relay" in shown
    assert json.loads(_run("study", "t1", "-c", config, "--json"))["received"] == 4
