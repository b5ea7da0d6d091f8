"""What a rule is: the configuration's, or one that a project saved. Which one decides says `transfer.selection`."""

import re
from collections.abc import Collection, Sequence
from datetime import date
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class _IdentifiedRaw(BaseModel):
    """Somebody's word, with the date, that raw data with unblanked patient fields may leave for this project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allowed_by: str = Field(min_length=2)
    on: date


def _pattern(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError('a pattern is text without line breaks, and not empty; "*" fits everything')
    if text.startswith("^") or text.endswith("$") or text == ".*":
        raise ValueError(f'{text!r} is a regular expression; here "*" stands for any characters and "?" for one')
    if text.replace("[[]", "").count("[") > text.count("]"):
        raise ValueError(f'in {text!r} a "[" is not closed; "[[]" stands for the character itself')
    return text


def _name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name is one line of printable characters")
    return text


_Pattern = Annotated[str, Field(max_length=128), AfterValidator(_pattern)]
"""A shell pattern. It is never a regular expression of somebody's: matching takes time in proportion to its length."""


def _matcher(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(translate(pattern.lower())) for pattern in patterns)


class Wish(BaseModel):
    """What a rule says, whichever project's it is. Patterns are shell patterns, compared without regard to case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_name)]
    action: Literal["include", "exclude"] = "include"
    scanner: _Pattern = "*"
    protocols: tuple[_Pattern, ...] = Field(default=("*",), min_length=1, max_length=400)
    dependencies: bool = False
    """Also the adjustments and noise scans that the reconstruction of what this rule wants needs."""

    @cached_property
    def _matchers(self) -> tuple[tuple[re.Pattern[str], ...], ...]:
        return _matcher([self.scanner]), _matcher(self.protocols)

    def fits(self, *, scanner: str, protocol: str) -> bool:
        """Return whether this rule is for the protocol on the scanner."""
        of_scanner, of_protocol = self._matchers
        return all(m.match(scanner.lower()) for m in of_scanner) and any(m.match(protocol.lower()) for m in of_protocol)


class Rule(Wish):
    """One line of a project's wishes, as the relay's configuration has it."""

    project: str = Field(min_length=1, max_length=64)
    identified_raw: _IdentifiedRaw | Literal["hold"] = "hold"

    @property
    def version(self) -> int | None:
        """The version of the project's rules that this one is of; None: the configuration's."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _allow_needs_a_name(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("identified_raw") == "allow":
            raise ValueError(
                "identified_raw needs the name and the date of who allows it: "
                'identified_raw = { allowed_by = "…", on = 2026-01-31 }'
            )
        return given


class SavedRule(Rule):
    """One line of a version that the project itself saved. It never says that identified raw may leave."""

    number: int

    @property
    def version(self) -> int | None:
        """The version of the project's rules that this one is of."""
        return self.number


def first_of(wishes: Sequence[Wish], *, scanner: str, protocol: str) -> Wish | None:
    """Return the rule that decides, the first that fits."""
    return next((wish for wish in wishes if wish.fits(scanner=scanner, protocol=protocol)), None)


def is_wanted(wishes: Sequence[Wish], protocol: str, scanners: Collection[str]) -> bool:
    """Return whether the first rule that fits wants the protocol, on at least one of the scanners."""
    found = (first_of(wishes, scanner=scanner, protocol=protocol) for scanner in scanners)
    return any(rule is not None and rule.action == "include" for rule in found)
