"""Every module of the packages and of the tests keeps the rules; and every rule finds its own breach."""

import ast
from pathlib import Path

import code_rules
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kspace", "dicom", "hardware", "transfer")
IN_PACKAGES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
IN_TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
ALL_RULES = {**code_rules.EVERYWHERE, **code_rules.IN_PACKAGES}

VOCABULARIES = {"errors.py", "records.py", "states.py"}
"""Modules of nothing but words: their names are as many as the field has."""
EXCUSED: dict[tuple[str, str], int] = {
    ("transfer/engine.py", "nothing_is_caught_blindly"): 2,  # a mistake of ours holds its row, and ends no thread
    ("dicom/desk.py", "nothing_is_caught_blindly"): 1,  # a mistake of ours refuses what one asked, and ends no desk
    (
        "dicom/services.py",
        "nothing_is_caught_blindly",
    ): 1,  # a mistake of ours refuses one image, which is remembered, and ends no association: the engine is not here
}
"""How many breaches of a rule a module may have, and why; fewer is a failure too, so that no excuse outlives it."""

KEPT = '''
"""A module that keeps every rule."""
import time
from datetime import UTC, datetime

NAMES = {"a": 1}
NAMES |= {"c": 3}

class Refused(Exception):
    """An error."""

def now(clock):
    """Return the time."""
    found = dict(NAMES)
    found["b"] = 2
    try:
        return datetime.now(UTC), datetime.fromtimestamp(0, tz=UTC), clock.sleep(1), time.monotonic()
    except BaseException:
        found.clear()
        raise
'''


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def breaches(path: Path, rules) -> dict[str, list[str]]:
    tree = parsed(path)
    found = {rule.__name__: list(rule(tree)) for rule in rules}
    if path.name in VOCABULARIES or "migrations" in path.parts:
        found.pop("names_are_few", None)
    if "migrations" in path.parts:  # a schema is one list of columns
        found.pop("functions_are_short", None)
    return {name: said for name, said in found.items() if len(said) != EXCUSED.get((path.as_posix(), name), 0)}


@pytest.mark.parametrize("path", IN_PACKAGES, ids=str)
def test_a_module_keeps_the_rules(path):
    assert breaches(path, ALL_RULES) == {}


@pytest.mark.parametrize("path", IN_TESTS, ids=str)
def test_a_test_module_keeps_its_rules(path):
    assert breaches(path, code_rules.EVERYWHERE) == {}


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_its_breach_and_nothing_else(rule):
    assert list(rule(ast.parse(ALL_RULES[rule])))
    assert list(rule(ast.parse(KEPT))) == []


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        (code_rules.nothing_sleeps, "import time as t\nt.sleep(1)"),
        (code_rules.nothing_sleeps, "import time\nwait = time.sleep"),
        (code_rules.nothing_is_mocked, "import unittest.mock"),
        (code_rules.nothing_is_mocked, "from unittest.mock import patch"),
        (code_rules.nothing_is_mocked, "def test(monkeypatch):\n    monkeypatch.setattr(x, 'y', 1)"),
        (code_rules.nothing_is_caught_blindly, "try:\n    x = 1\nexcept:\n    x = 2"),
        (code_rules.nothing_is_caught_blindly, "with contextlib.suppress(Exception):\n    x = 1"),
        (code_rules.times_are_aware, "import datetime\nat = datetime.datetime.utcnow()"),
        (code_rules.times_are_aware, "at = datetime.fromtimestamp(0)"),
        (code_rules.modules_hold_no_state, "seen: set[str] = set()"),
        (code_rules.modules_hold_no_state, "_cache = threading.Lock()"),
        (code_rules.modules_hold_no_state, "def f():\n    global x\n    x = 1"),
        (code_rules.modules_hold_no_state, "BY_NAME = {}\ndef f(x):\n    BY_NAME[x] = 1"),
        (code_rules.skips_are_seen, "pytest.skip('no', allow_module_level=True)"),
    ],
)
def test_a_rule_finds_the_other_ways_around_it(rule, breach):
    assert list(rule(ast.parse(breach)))


@pytest.mark.parametrize("path", [*IN_PACKAGES, *IN_TESTS], ids=str)
def test_a_file_is_short(path):
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= code_rules.MAX_LINES


def test_nine_functions_of_ten_are_short():
    lengths = sorted(
        code_rules.body_lines(function) for path in IN_PACKAGES for function in code_rules.functions(parsed(path))
    )
    assert lengths[len(lengths) * 9 // 10] <= code_rules.MAX_FUNCTION_P90


def test_a_body_is_counted_without_its_docstring():
    tree = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n\n    return x\n')
    assert [code_rules.body_lines(function) for function in code_rules.functions(tree)] == [3]


def test_an_error_class_is_told_by_its_bases():
    errors = "\n".join(f"class Gone{n}({'SourceError' if n == 0 else f'Gone{n - 1}'}): ..." for n in range(9))
    assert list(code_rules.names_are_few(ast.parse(errors))) == []


def test_a_module_is_named_after_what_it_does():
    vague = {"utils", "util", "common", "helpers", "helper", "misc"}
    named = {
        path: {*path.parts[:-1], path.stem} & vague for path in [*IN_PACKAGES, *IN_TESTS, Path("transfer/utils.py")]
    }
    assert [str(path) for path, found in named.items() if found] == ["transfer/utils.py"]


def test_test_modules_have_names_of_their_own():
    names = [path.name for path in IN_TESTS if path.name not in {"conftest.py", "__init__.py"}]
    assert sorted(names) == sorted(set(names))


CHANGING = {"unlink", "remove", "rename", "renames", "rmdir", "removedirs", "rmtree", "link", "symlink", "truncate"}
CHANGING |= {"write", "pwrite", "mkdir", "makedirs", "chmod", "utime", "touch", "write_bytes", "write_text", "put"}


def changed_by(tree: ast.Module) -> set[str]:
    """Return the calls in a module that could change something at a source."""
    called = {n.func for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return {name for name in (getattr(f, "attr", None) or getattr(f, "id", "") for f in called) if name in CHANGING}


def test_one_file_alone_changes_anything_at_a_source():
    of_sources = [path for path in IN_PACKAGES if path.parts[:2] == ("kspace", "sources")]
    changing = {path.name: changed_by(parsed(path)) for path in of_sources}
    assert {name: acts for name, acts in changing.items() if acts} == {"deleting.py": {"rename", "link", "unlink"}}
    asking = [path for path in IN_PACKAGES if "kspace.sources.deleting" in (ROOT / path).read_text(encoding="utf-8")]
    assert [path.as_posix() for path in asking] == ["transfer/app/deleting.py", "transfer/feeds/delete.py"]
