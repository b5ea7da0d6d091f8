"""The rules of projects: a project's newest saved version decides; where it has none, the relay's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, desc, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kspace.errors import BadInput, NotFound
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import note
from transfer.catalog.rule_tables import rule_version
from transfer.states import CaptureState
from transfer.wishes import Rule, SavedRule, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The rules of one project, as they were saved at one time. Version 0 is what the configuration says."""

    project: str
    version: int
    wishes: tuple[Wish, ...]
    comment: str = ""
    same_as: int | None = None
    actor: str = ""
    at: datetime | None = None


class Rulebook:
    """Answers which rules are in force at this moment, of all projects; it reads anew what was saved since."""

    def __init__(self, database: Database, *, configured: Sequence[Rule]) -> None:
        self._database = database
        self._configured = tuple(configured)
        self._known: tuple[int, tuple[Rule, ...]] = (0, self._configured)

    def __call__(self) -> tuple[Rule, ...]:
        """Return the rules in force, each project's in their order."""
        v = rule_version.c
        with self._database.read() as connection:
            number: int = connection.execute(select(func.count(v.id))).scalar_one()
            if number == self._known[0]:  # none is ever changed or taken away
                return self._known[1]
            last = select(func.max(v.id)).group_by(v.project)
            rows = connection.execute(select(v.project, v.version, v.rules).where(v.id.in_(last)).order_by(v.id)).all()
        theirs = {row.project for row in rows}
        saved = [
            SavedRule.model_validate({**wish, "project": row.project, "number": row.version})
            for row in rows
            for wish in row.rules
        ]
        found = (*saved, *(rule for rule in self._configured if rule.project not in theirs))
        self._known = number, found
        return found

    def projects(self, connection: Connection) -> dict[str, Version]:
        """Return the version in force of each project that has rules, or had some."""
        v = rule_version.c
        last = select(func.max(v.id)).group_by(v.project)
        saved = connection.execute(select(rule_version).where(v.id.in_(last))).all()
        in_file = groupby(sorted(self._configured, key=lambda rule: rule.project), key=lambda rule: rule.project)
        return {name: _seed(name, list(rules)) for name, rules in in_file} | {r.project: _version(r) for r in saved}

    def versions(self, connection: Connection, project: str) -> list[Version]:
        """Return every version of a project's rules, the one in force first, the configuration's last."""
        v = rule_version.c
        rows = connection.execute(select(rule_version).where(v.project == project).order_by(desc(v.version))).all()
        seed = _seed(project, [rule for rule in self._configured if rule.project == project])
        return [*(_version(row) for row in rows), seed]

    def version(self, connection: Connection, project: str, number: int | None = None) -> Version:
        """Return one version of a project's rules; without a number the one in force.

        Raises:
            NotFound: the project has no such version.
        """
        found = self.versions(connection, project)
        wanted = [one for one in found if number in {None, one.version}]
        if not wanted:
            raise NotFound(f"Project {project} has no version {number} of its rules; the newest is {found[0].version}.")
        return wanted[0]

    def save(  # noqa: PLR0913 -- the facts of the act
        self, project: str, wishes: Sequence[Wish], *, after: int, comment: str, actor: str, at: datetime
    ) -> int:
        """Write the version after the one that the person saw, and return its number; it decides from the next look on.

        What is captured already, and waits to be released since the project did not want it, is asked about at once.

        Raises:
            BadInput: somebody saved another version meanwhile.
        """
        version = Version(project=project, version=after + 1, wishes=tuple(wishes), comment=comment, actor=actor, at=at)
        return self._write(version, verb="rules.saved", at=at)

    def go_back(self, project: str, number: int, *, after: int, actor: str, at: datetime) -> int:
        """Write a version equal to an older one, and return its number.

        Raises:
            NotFound: the project has no such version.
            BadInput: it is in force, or somebody saved another version meanwhile.
        """
        if number == after:
            raise BadInput(f"Version {number} of the rules of {project} is in force already. Nothing was changed.")
        with self._database.read() as connection:
            older = self.version(connection, project, number)
        said = f"As version {number} again."
        again = replace(older, version=after + 1, comment=said, same_as=number, actor=actor, at=at)
        return self._write(again, verb="rules.restored", at=at)

    def _write(self, new: Version, *, verb: str, at: datetime) -> int:
        v = rule_version.c
        last = select(func.coalesce(func.max(v.version), 0)).where(v.project == new.project)
        values = {name: getattr(new, name) for name in ("project", "version", "comment", "same_as", "actor", "at")}
        values["rules"] = [wish.model_dump(mode="json") for wish in new.wishes]
        with self._database.write() as connection:
            if connection.execute(last).scalar_one() != new.version - 1:
                raise _overtaken(new.project)
            try:
                row_id = connection.execute(insert(rule_version).values(values).returning(v.id)).scalar_one()
            except IntegrityError as error:
                raise _overtaken(new.project) from error
            said = {"subject": "rules", "subject_id": row_id, "detail": f"version {new.version} of {new.project}"}
            note(connection, at=at, actor=new.actor, verb=verb, **said)
            _ask_again(connection, new.project, at)
        return new.version


def _overtaken(project: str) -> BadInput:
    return BadInput(
        f"Somebody saved other rules of {project} meanwhile. Nothing was changed: look at them, then say yours again."
    )


def _ask_again(connection: Connection, project: str, at: datetime) -> None:
    """Make due what is captured, and waits for its release since the project did not want it."""
    c, m, d, t = tables.capture.c, tables.match.c, tables.delivery.c, tables.target.c
    sent = select(d.study_id).where(d.kind == "dicom", d.project == project)
    studies = sent.union(select(t.study_id).where(t.project == project))
    captures = select(m.capture_id).where(m.undone_at.is_(None), m.study_id.in_(studies))
    waits = (c.state == CaptureState.MATCHED) & (c.due_at > at) & c.id.in_(captures)
    connection.execute(update(tables.capture).where(waits).values(due_at=at))


def _seed(project: str, rules: Sequence[Rule]) -> Version:
    wishes = tuple(Wish.model_validate({name: getattr(rule, name) for name in Wish.model_fields}) for rule in rules)
    return Version(project=project, version=0, wishes=wishes)


def _version(row: Row[Any]) -> Version:
    told = {name: getattr(row, name) for name in ("project", "version", "comment", "same_as", "actor", "at")}
    return Version(**told, wishes=tuple(Wish.model_validate(given) for given in row.rules))
