"""Raw data with patient fields, or that nobody could look into, stay until somebody puts a name to letting them go."""

import pytest
from pydantic import ValidationError

from transfer.selection import privacy_hold
from transfer.wishes import Rule

HOLDS = Rule(name="all", project="heart")
ALLOWS = Rule.model_validate(
    {
        "name": "phantoms",
        "project": "heart",
        "protocols": ["qa_*"],
        "identified_raw": {"allowed_by": "Dr Roe", "on": "2026-01-31"},
    }
)


def _hold(measurements, *rules: Rule) -> str | None:
    return privacy_hold(rules or (HOLDS,), measurements, scanner="prisma", project="heart")


def test_blanked_raw_data_may_go(measured):
    assert _hold([measured(), measured()]) is None


def test_an_unblanked_field_holds_and_is_named_without_its_value(measured):
    said = _hold([measured(exposed_fields=("PatientID",))])
    assert said is not None
    assert "PatientID in the raw header is not blanked" in said
    assert "safe in the spool" in said


def test_the_fields_of_every_measurement_count_not_only_the_images(measured):
    said = _hold([measured("adjust", exposed_fields=("tPatientName", "PatientID")), measured()])
    assert "PatientID, tPatientName in the raw header are not blanked" in str(said)


@pytest.mark.parametrize("unread", [("Meas",), ("SoftwareVersions",)])
def test_a_header_nobody_could_read_holds(measured, unread):
    assert "could not be read in full" in str(_hold([measured(unread=unread), measured()]))


def test_a_file_without_any_measurement_holds():
    assert "could not be read in full" in str(_hold([]))


def test_a_name_and_a_date_let_it_go_for_that_rule_only(measured):
    rules = (ALLOWS, HOLDS)
    assert _hold([measured("qa_daily", exposed_fields=("PatientID",))], *rules) is None
    assert _hold([measured("gre", exposed_fields=("PatientID",))], *rules) is not None


def test_a_rule_of_another_project_lets_nothing_go(measured):
    exposed = [measured("qa_daily", exposed_fields=("PatientID",))]
    assert privacy_hold((ALLOWS,), exposed, scanner="prisma", project="brain") is not None
    assert privacy_hold((), exposed, scanner="prisma", project="heart") is not None


def test_the_first_rule_that_fits_speaks_here_too(measured):
    assert _hold([measured("qa_daily", exposed_fields=("PatientID",))], HOLDS, ALLOWS) is not None


@pytest.mark.parametrize(
    "word",
    ["allow", "yes", True, {"allowed_by": "Dr Roe"}, {"on": "2026-01-31"}, {"allowed_by": "", "on": "2026-01-31"}],
)
def test_allowing_needs_a_name_and_a_date(word):
    with pytest.raises(ValidationError):
        Rule.model_validate({"name": "a", "project": "p", "identified_raw": word})


def test_the_plain_word_allow_is_answered_with_what_is_wanted():
    with pytest.raises(ValidationError, match="name and the date of who allows it"):
        Rule.model_validate({"name": "a", "project": "p", "identified_raw": "allow"})


def test_a_damaged_file_may_hold_a_header_nobody_saw(measured):
    facts = {"scanner": "prisma", "project": "heart", "is_read_to_the_end": False}
    assert "damaged" in str(privacy_hold((HOLDS,), [measured("qa_1")], **facts))
    assert privacy_hold((ALLOWS,), [measured("qa_1")], **facts) is None
