"""Where a study goes: hints, conditions, templates and labels as XNAT writes them."""

import re
from dataclasses import asdict, replace

import pytest
from pydantic import ValidationError

from dicom.expressions import completed
from dicom.records import Series, Study
from transfer.routing import Route, route_of, target_to, targets

STUDY = Study(
    study_uid="1.2.3.4", date="20260105", time="093000.123", patient_id="Doe^J 1/2", accession="A.7",
    comments=("Project:heart Subject:s01 Session:s01_a",),
)  # fmt: skip
ANY = Route(destinations=("central",), project="brain")


SILENT = replace(STUDY, comments=())


def _routed(*routes: Route, study: Study = SILENT, called="KSPACE", calling="MR1"):
    return targets(routes, study, called_ae=called, calling_ae=calling)


def _why(*routes: Route, study: Study = SILENT, called="KSPACE", calling="MR1"):
    return route_of(routes, study, called_ae=called, calling_ae=calling)[1]


def test_a_study_without_hints_gets_the_routes_project_and_templates():
    (target,) = _routed(ANY)
    assert (target.destination, target.project, target.subject) == ("central", "brain", "Doe_J_1_2")
    assert re.fullmatch(r"20260105_[0-9a-f]{12}", target.session)


def test_the_hints_in_the_comments_win():
    (target,) = _routed(ANY, study=STUDY)
    assert (target.project, target.subject, target.session) == ("heart", "s01", "s01_a")


def test_hints_are_left_alone_where_the_route_says_so():
    quiet = Route(destinations=("central",), project="brain", use_hints=False)
    assert _routed(quiet, study=STUDY)[0].project == "brain"


def test_a_route_without_a_project_takes_only_studies_that_name_one():
    named_only = Route(destinations=("central",))
    assert _routed(named_only) == ()
    assert _routed(named_only, study=STUDY)[0].project == "heart"
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
    study = Study(study_uid="1.2", patient_id=said, patient_name=said, description=said)
    by_name = Route(destinations=("c",), fall_backs=True, projects=(said,))
    for route in (ANY, by_name):
        (target,) = _routed(route, study=study)
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


@pytest.mark.parametrize(
    ("where", "goes"),
    [
        ({"StudyDescription": "fmri*"}, True),
        ({"StudyDescription": ["x", "*heart"]}, True),
        ({"StudyDescription": "fmri"}, False),
        ({"StudyDescription": "!*phantom*"}, True),
        ({"StudyDescription": ["fmri*", "!*HEART"]}, False),
        ({"StudyDescription": "fmri*", "StationName": "MR2"}, False),
        ({"InstitutionName": ""}, True),
        ({"InstitutionName": "?*"}, False),
    ],
)
def test_a_route_may_ask_for_what_the_header_says(where, goes):
    route = Route.model_validate({"destinations": ["c"], "project": "p", "where": where})
    assert bool(_routed(route, study=replace(SILENT, description="FMRI heart", station="MR1"))) is goes


@pytest.mark.parametrize("where", [{"Nothing": "x"}, {"SeriesDescription": "x"}])
def test_a_header_field_that_a_study_does_not_have_is_refused_when_the_configuration_is_read(where):
    with pytest.raises(ValidationError, match="StudyDescription"):
        Route.model_validate({"destinations": ["c"], "where": where})


@pytest.mark.parametrize(
    ("told", "project", "subject", "session"),
    [
        ({"description": "heart"}, "heart", "Doe_J", "Doe_J_1_2"),
        ({"description": "a heart", "accession": "brain"}, "brain", "Doe_J", "Doe_J_1_2"),
        ({"description": "heart", "patient_id": None}, "heart", "Doe_J", "dicom_upload"),
        ({"description": "heart", "comments": ("Subject:s9 session:t9; x",)}, "heart", "s9", "t9"),
    ],
)
def test_xnats_own_fall_backs(told, project, subject, session):
    route = Route(destinations=("c",), fall_backs=True, projects=("heart", "brain"))
    (target,) = _routed(route, study=replace(SILENT, patient_name="Doe^J", **told))
    assert (target.project, target.subject, target.session) == (project, subject, session)


@pytest.mark.parametrize("told", [{}, {"description": "lung"}, {"comments": ("Project:lung",)}])
def test_no_fall_back_leads_to_a_project_that_is_not_named_in_the_route(told):
    assert (
        _routed(Route(destinations=("c",), fall_backs=True, projects=("heart",)), study=replace(SILENT, **told)) == ()
    )


def test_the_comments_say_whether_a_session_may_be_archived():
    (target,) = _routed(ANY, study=replace(SILENT, comments=("AA:false",)))
    assert target.route.archive is False
    assert _routed(ANY)[0].route.archive is None


def test_every_route_looked_at_says_why():
    routes = (
        Route(destinations=("c",), project="a", called_ae="HEART"),
        Route(destinations=("c",), project="b", where={"StudyDescription": ("x",), "StationName": ("y",)}),
        Route(destinations=("c",)),
        ANY,
        Route(destinations=("c",), project="never"),
    )
    assert _why(*routes) == (
        "route 1: is for the called AE title HEART, not KSPACE",
        "route 2: wants another StudyDescription and StationName",
        "route 3: names no project, and neither does the study",
        "route 4: fits, and names the project",
    )
    assert _why() == ("there is no [[route]] at all",)


def test_what_one_series_leaves_out_is_taken_from_the_others_and_what_it_says_stays():
    told = [Study(study_uid="1.2", patient_id="A", comments=("Project:x",)), Study(study_uid="1.2", station="S")]
    told.append(Study(study_uid="1.2", patient_id="B"))
    first, second, third = completed(told)
    assert (first.patient_id, second.patient_id, third.patient_id) == ("A", "A", "B")
    assert {s.comments for s in (first, second, third)} == {("Project:x",)}
    assert {s.station for s in (first, second, third)} == {"S"}


def test_the_first_series_filter_that_fits_decides():
    given = [
        {"action": "include", "where": {"SeriesNumber": "7"}},
        {"action": "exclude", "where": {"SeriesDescription": "*local*", "Modality": "MR"}},
    ]
    route = Route.model_validate({"destinations": ["c"], "project": "p", "series": given})
    scout = Series(series_uid="1", study_uid="1.2.3.4", number=1, description="Localizer", modality="MR")
    assert route.refusal(SILENT, scout) == "excluded by series filter 2 of its route"
    assert route.refusal(SILENT, replace(scout, number=7)) is None
    assert route.refusal(SILENT, replace(scout, modality="SR")) is None
    assert ANY.refusal(SILENT, scout) is None


def test_what_a_person_assigns_keeps_the_filters_and_the_profile_of_the_way_there():
    strict = Route(destinations=("a", "b"), project="heart", deidentify="strict")
    named = Route(destinations=("a",), projects=("brain", "lung"), archive=False)
    assert _way("b", "heart", strict, named) is strict
    assert _way("a", "lung", strict, named) is named
    assert _way("b", "lung", strict, named) == Route(destinations=("b",), project="lung")


def _way(destination, project, *routes):
    return target_to(routes, SILENT, destination=destination, project=project).route


def test_labels_that_a_person_leaves_out_are_as_the_route_there_makes_them():
    routes = (Route(destinations=("a",), project="heart", subject="s_{AccessionNumber}"),)
    target = target_to(routes, STUDY, destination="a", project="heart", session="mine")
    assert (target.subject, target.session) == ("s01", "mine")
    assert target_to(routes, SILENT, destination="a", project="heart").subject == "s_A_7"
