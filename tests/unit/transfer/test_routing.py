"""Where a study goes: hints, conditions, templates and labels as XNAT writes them."""

import re
from dataclasses import asdict

import pytest
from pydantic import ValidationError

from dicom.headers import route_hints
from dicom.records import Study
from transfer.routing import Route, targets

STUDY = Study(
    study_uid="1.2.3.4", date="20260105", time="093000.123", patient_id="Doe^J 1/2", accession="A.7",
    comments=("Project:heart Subject:s01 Session:s01_a",),
)  # fmt: skip
ANY = Route(destinations=("central",), project="brain")


def _routed(*routes: Route, study: Study = STUDY, hints=None, called="KSPACE", calling="MR1"):
    return targets(routes, study, hints=hints or {}, called_ae=called, calling_ae=calling)


def test_a_study_without_hints_gets_the_routes_project_and_templates():
    (target,) = _routed(ANY)
    assert (target.destination, target.project, target.subject) == ("central", "brain", "Doe_J_1_2")
    assert re.fullmatch(r"20260105_[0-9a-f]{12}", target.session)


def test_the_hints_in_the_comments_win():
    (target,) = _routed(ANY, hints=route_hints(STUDY))
    assert (target.project, target.subject, target.session) == ("heart", "s01", "s01_a")


def test_hints_are_left_alone_where_the_route_says_so():
    quiet = Route(destinations=("central",), project="brain", use_hints=False)
    assert _routed(quiet, hints=route_hints(STUDY))[0].project == "brain"


def test_a_route_without_a_project_takes_only_studies_that_name_one():
    named_only = Route(destinations=("central",))
    assert _routed(named_only) == ()
    assert _routed(named_only, hints={"project": "heart"})[0].project == "heart"
    assert _routed(named_only, ANY)[0].project == "brain"


@pytest.mark.parametrize(
    ("called", "calling", "project"),
    [("HEART", "MR1", "heart"), ("HEART_2", "MR1", "heart"), ("KSPACE", "MR2", "two"), ("KSPACE", "MR1", "rest")],
)
def test_the_first_route_whose_conditions_fit_is_taken(called, calling, project):
    routes = (
        Route(destinations=("c",), project="heart", called_ae="HEART*"),
        Route(destinations=("c",), project="two", calling_ae="MR2"),
        Route(destinations=("c",), project="rest"),
    )
    assert _routed(*routes, called=called, calling=calling)[0].project == project


def test_no_route_is_nowhere():
    assert _routed() == ()
    assert _routed(Route(destinations=("c",), project="p", called_ae="OTHER")) == ()


def test_every_destination_of_the_route_gets_the_same_labels():
    both = _routed(Route(destinations=("a", "b"), project="p"))
    assert [t.destination for t in both] == ["a", "b"]
    assert len({tuple((asdict(t) | {"destination": ""}).items()) for t in both}) == 1


def test_templates_know_their_fields():
    route = Route(
        destinations=("c",), project="p", subject="s_{AccessionNumber}", session="{StudyDate}-{StudyTime}-{PatientID}"
    )
    (target,) = _routed(route)
    assert (target.subject, target.session) == ("s_A_7", "20260105-093000-Doe_J_1_2")


@pytest.mark.parametrize("said", ["müller jr.", "../../x", "a%2Fb", "O'Neil\n", "日本", "a b\tc", "x" * 300])
def test_labels_hold_only_what_xnat_takes(said):
    study = Study(study_uid="1.2", patient_id=said)
    for hints in ({}, {"project": said, "subject": said, "session": said}):
        (target,) = _routed(ANY, study=study, hints=hints)
        for label in (target.project, target.subject, target.session):
            assert re.fullmatch(r"[A-Za-z0-9_-]+", label)


def test_a_study_that_says_nothing_still_gets_labels_of_its_own():
    (one,) = _routed(ANY, study=Study(study_uid="1.2"))
    (other,) = _routed(ANY, study=Study(study_uid="1.3"))
    assert one.subject.startswith("unknown_")
    assert one.session.startswith("undated_")
    assert (one.subject, one.session) != (other.subject, other.session)
    assert _routed(ANY, study=Study(study_uid="1.2")) == (one,)


def test_templates_that_come_out_empty_never_make_two_studies_one():
    route = Route(destinations=("c",), project="p", session="{AccessionNumber}")
    labels = {_routed(route, study=Study(study_uid=uid))[0].session for uid in ("1.2", "1.3")}
    assert len(labels) == 2
    assert "" not in labels


@pytest.mark.parametrize("template", ["{Nothing}", "{PatientID.__class__}", "{", "{0}", "{PatientID!x}"])
@pytest.mark.parametrize("key", ["subject", "session"])
def test_a_template_with_an_unknown_field_is_refused_when_the_configuration_is_read(key, template):
    with pytest.raises(ValidationError, match=key):
        Route.model_validate({"destinations": ["c"], "project": "p", key: template})


def test_a_route_needs_a_destination():
    with pytest.raises(ValidationError, match="destinations"):
        Route.model_validate({"destinations": []})
