"""A project's rules as people hand them over: TOML, a form or JSON in, checked; TOML and differences out. Pure."""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from glob import escape
from typing import Any
from urllib.parse import quote_plus

from pydantic import TypeAdapter, ValidationError

from kspace.errors import BadInput
from transfer.wishes import Wish, is_wanted

_PICKED, _LEFT_OUT = "picked", "left out"
_RULES, _BYTES = 64, 40_000
_WISHES = TypeAdapter(tuple[Wish, ...])
_WORDS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such setting",
    "too_short": "name at least one",
    "too_long": "name at most {max_length}",
    "string_too_short": "it may not be empty",
    "string_too_long": "it may have at most {max_length} characters",
    "string_type": "it must be text in quotes",
    "literal_error": "it must be {expected}",
}
"""What pydantic means by its kinds of mistakes, for people; its own words for the others."""
_FIELDS = ("action", "scanner", "protocols", "dependencies")


def checked(given: object) -> tuple[Wish, ...]:
    """Return rules that may be saved.

    Raises:
        BadInput: they may not be, with a line for every mistake.
    """
    try:
        wishes = _WISHES.validate_python(given)
    except ValidationError as error:
        places = [one["loc"] for one in error.errors()]
        named = [one for one in error.errors() if not any(place and place[:-1] == one["loc"] for place in places)]
        raise _mistaken([_said(one, given) for one in named]) from error
    names = [wish.name for wish in wishes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _mistaken([f"Two rules are called {', '.join(twice)}: a decision could not be told from another."])
    if len(wishes) > _RULES or len(quote_plus(to_toml(wishes))) > _BYTES:
        raise _mistaken([f"There are more than {_RULES} rules, or more characters than a form holds ({_BYTES:,})."])
    return wishes


def parse(text: str, *, project: str) -> tuple[Wish, ...]:
    """Return the rules that a TOML file holds; a line ``project`` must be the one they are for.

    Raises:
        BadInput: it is no TOML, or its rules may not be saved.
    """
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise _mistaken(["It is no TOML: its lists stand too deep in one another."]) from error
    except ValueError as error:  # a number of thousands of digits is one too
        raise _mistaken([f"It is no TOML: {error}."]) from error
    rows = document.pop("rule", [])
    if document or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _mistaken(['There may be nothing but tables that begin with "[[rule]]".'])
    for row in rows:
        if row.pop("project", project) != project:
            raise _mistaken([f"A rule is of another project than {project}."])
        if "identified_raw" in row:
            raise _mistaken(["Whether raw data that name the patient may leave is said in the relay's configuration."])
    return checked(rows)


def to_toml(wishes: Sequence[Wish], *, heading: str = "") -> str:
    """Return rules as TOML that `parse` reads, each with every setting."""
    tables = [
        "[[rule]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in wish.model_dump(mode="json").items())
        for wish in wishes
    ]
    first = [f"# {line}\n" for line in heading.splitlines()]
    return "".join(first) + "\n".join(["", *tables] if first and tables else tables)


def differences(old: Sequence[Wish], new: Sequence[Wish]) -> list[dict[str, Any]]:
    """Return what became of each rule, told apart by name: the new ones in their order, then those that are gone."""
    before = {wish.name: wish for wish in old}
    after = {wish.name for wish in new}
    stayed = [wish.name for wish in old if wish.name in after]
    now = [wish.name for wish in new if wish.name in before]
    found = []
    for wish in new:
        was = before.get(wish.name)
        fields = [] if was is None else _changed(was, wish)
        moved = was is not None and stayed.index(wish.name) != now.index(wish.name)
        what = "added" if was is None else "changed" if fields else "moved" if moved else "same"
        found.append({"name": wish.name, "what": what, "moved": moved, "fields": fields, "rule": _plain(wish)})
    gone = [wish for wish in old if wish.name not in after]
    return found + [{"name": w.name, "what": "removed", "moved": False, "fields": [], "rule": _plain(w)} for w in gone]


def pick(wishes: Sequence[Wish], *, ticked: Collection[str], shown: Mapping[str, Collection[str]]) -> tuple[Wish, ...]:
    """Return rules that capture, of the protocols that were shown, those that were ticked and no other.

    ``shown`` names the scanners of each; it was shown as ticked where `is_wanted`. Two rules before all others name
    protocols one by one: ``picked``, and ``left out`` where a later rule wants one. What they say of others stays.

    Raises:
        BadInput: these rules may not be saved.
    """
    others = [wish for wish in wishes if wish.name not in {_PICKED, _LEFT_OUT}]
    picked, left_out = _named(wishes, _PICKED), _named(wishes, _LEFT_OUT)
    for protocol, scanners in shown.items():
        pattern, is_ticked = escape(protocol), protocol in ticked
        left_out.pop(pattern.lower(), None)
        if not is_ticked:
            picked.pop(pattern.lower(), None)
        if is_ticked != is_wanted(others, protocol, scanners):
            (picked if is_ticked else left_out)[pattern.lower()] = pattern
    first = [
        {"name": name, "action": action, "protocols": list(patterns.values())}
        for name, action, patterns in ((_LEFT_OUT, "exclude", left_out), (_PICKED, "include", picked))
        if patterns
    ]
    return checked([*first, *(wish.model_dump() for wish in others)])


def _named(wishes: Sequence[Wish], name: str) -> dict[str, str]:
    return {p.lower(): p for wish in wishes if wish.name == name for p in wish.protocols}


def _changed(was: Wish, wish: Wish) -> list[dict[str, Any]]:
    old, new = _plain(was), _plain(wish)
    return [{"field": name, "old": old[name], "new": new[name]} for name in _FIELDS if old[name] != new[name]]


def _plain(wish: Wish) -> dict[str, Any]:
    return wish.model_dump(mode="json")


def _toml(value: Any) -> str:  # noqa: ANN401 -- whatever a rule holds
    """JSON's texts, lists and truth values are TOML's too, where nothing is escaped to surrogates."""
    return json.dumps(value, ensure_ascii=False)


def _said(error: Mapping[str, Any], given: object) -> str:
    place = [part for part in error["loc"] if isinstance(part, str)]
    number = next((part for part in error["loc"] if isinstance(part, int)), None)
    if number is None:
        return "Rules are a list."
    row = given[number] if isinstance(given, Sequence) else {}
    name = row.get("name") if isinstance(row, Mapping) else None
    which = f"Rule {number + 1}" + (f" ({name})" if name else "")
    words = _WORDS.get(error["type"])
    said = error["msg"].removeprefix("Value error, ") if words is None else words.format(**error.get("ctx", {}))
    return f"{which}, {place[0] if place else 'all'}: {said}."


def _mistaken(lines: Sequence[str]) -> BadInput:
    said = " ".join(dict.fromkeys(lines)).encode("utf-8", "replace").decode()  # JSON may hold halves of characters
    return BadInput(f"Nothing was changed: these rules cannot be saved as they are. {said}")
