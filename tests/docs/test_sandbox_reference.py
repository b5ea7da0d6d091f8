"""The tables of docs/reference name tests and questions that exist."""

import re
from pathlib import Path

from transfer.destinations.xnat.questions import QUESTIONS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_every_trap_and_status_has_a_test_that_exists():
    sandbox = (REFERENCE / "sandbox.md").read_text()
    tables = sandbox[sandbox.index("## The traps") : sandbox.index("## What it answers")]
    named = re.findall(r"`(test_\w+)` \|$", tables, re.MULTILINE)
    rows = re.findall(r"^\| (?!trap |status )", tables, re.MULTILINE)
    assert len(named) == len(rows) > 50
    tests = "".join(path.read_text() for path in (ROOT / "tests/conformance/sandbox").glob("test_*.py"))
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_question_of_the_probe_is_told():
    told = (REFERENCE / "probe.md").read_text()
    assert [q.about for q in QUESTIONS if f"| {q.asked} | {q.normally} | `{q.source}` |" not in told] == []
