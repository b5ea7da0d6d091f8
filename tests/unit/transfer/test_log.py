"""Logs hold ids only: keys that could carry a patient's data are refused whatever the style."""

import io
import json
import sys
from contextlib import redirect_stderr

import pytest
import structlog

from transfer.app.log import set_up_logs

SECRET = "Doe^Jane"


@pytest.fixture
def logged():
    """Return a function that logs one event and returns what was written."""
    before = structlog.get_config()

    def run(style: str, *, is_quiet: bool = False, level: str = "info", **fields: object) -> str:
        with redirect_stderr(io.StringIO()) as out:
            set_up_logs(style, is_quiet=is_quiet)
            getattr(structlog.get_logger(), level)("capture.packed", **fields)
        return out.getvalue()

    yield run
    structlog.configure(**before)


REFUSED = ["patient", "patient_id", "patient_name", "birth_date", "path", "file_name", "subject_label"]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("key", REFUSED)
def test_what_could_name_a_patient_is_not_written(logged, style, key):
    text = logged(style, capture=7, **{key: SECRET})
    assert SECRET not in text
    assert "(not logged)" in text


@pytest.mark.parametrize("key", ["PatientName", "PatientID", "patients_name", "patient_birth_date", "session_label"])
def test_other_spellings_are_not_written_either(logged, key):
    assert SECRET not in logged("json", capture=7, **{key: SECRET})


@pytest.mark.parametrize("style", ["text", "json"])
def test_ids_are_written(logged, style):
    text = logged(style, capture=4711, destination="central")
    assert "4711" in text
    assert "central" in text
    assert "capture.packed" in text


def test_json_is_one_object_a_line_with_level_and_time(logged):
    (line,) = logged("json", capture=7).splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["capture"]) == ("capture.packed", "info", 7)
    assert said["timestamp"].endswith("Z")


def test_quiet_says_nothing_and_debug_is_never_written(logged):
    assert logged("json", is_quiet=True, level="error", capture=7) == ""
    assert logged("json", level="debug", capture=7) == ""


def test_everything_goes_to_standard_error(logged, capsys):
    logged("text", capture=7)
    assert capsys.readouterr().out == ""
    assert sys.stdout is not sys.stderr


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_failure_is_written_by_its_place_without_its_words(logged, style):
    def fails() -> None:
        raise ValueError(f"No such study of {SECRET}.")

    try:
        fails()
    except ValueError:
        text = logged(style, level="exception", capture=7)
    assert "fails" in text
    assert SECRET not in text
