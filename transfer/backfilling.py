"""Rules that changed make files that nobody wanted, and that are still on the scanner, available for capture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from kspace.clock import Clock
from kspace.errors import NotFound
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.dependencies import needed_by
from transfer.catalog.inventory import look_again
from transfer.catalog.latest import is_image
from transfer.selection import choose_capture
from transfer.states import CaptureState
from transfer.wishes import Rule

_AT_ONCE = 200
"""Files in one transaction: others write meanwhile."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that was skipped and that a rule wants now."""

    capture_id: int
    scanner: str
    path: str
    size: int
    is_gone: bool
    """It is on the scanner no more."""
    why: str


def backfill(  # noqa: PLR0913 -- the facts of the act
    database: Database,
    *,
    rules: Sequence[Rule],
    since: datetime,
    project: str | None,
    actor: str,
    clock: Clock,
    is_dry: bool = False,
    only: Select[Any] | None = None,
) -> list[Wanted]:
    """Let skipped files be looked at again that were first seen since then and that a rule wants now; return those.

    With ``project`` the rules of that one count alone, with ``only`` the captures that it selects. Files that are gone
    are returned too, and stay as they are. What the wanted ones need for their reconstruction follows by itself once
    they are looked at.

    Raises:
        NotFound: no rule is of this project.
    """
    asked = [rule for rule in rules if project in {None, rule.project}]
    if project is not None and not asked:
        raise NotFound(f"No rule is of project {project}; give it some with `kspace rules`. Nothing was changed.")
    found = _wanted(database, asked, since, only)
    if is_dry:
        return found
    there = [one for one in found if not one.is_gone]
    moved = set()
    for start in range(0, len(there), _AT_ONCE):
        moved |= _reopen(database, there[start : start + _AT_ONCE], actor=actor, at=clock.now())
    return [one for one in found if one.is_gone or one.capture_id in moved]


def _wanted(database: Database, rules: Sequence[Rule], since: datetime, only: Select[Any] | None) -> list[Wanted]:
    c, f, m = tables.capture.c, tables.source_file.c, tables.measurement.c
    query = (
        select(c.id, f.scanner, f.path, f.size, f.gone_at, m.document)
        .join(tables.source_file)
        .outerjoin(tables.measurement, (m.capture_id == c.id) & is_image())
        .where(c.state == CaptureState.SKIPPED, c.sha256.is_(None), f.first_seen_at >= since)
        .order_by(c.id)
    )
    if only is not None:
        query = query.where(c.id.in_(only))
    with database.read() as connection:
        rows = connection.execute(query).all()
    found = []
    for row in rows:
        image = documents.to_measurement(row.document) if row.document else None
        choice = choose_capture(rules, image, scanner=row.scanner)
        if image and choice.rule is None and any(rule.dependencies for rule in rules):
            choice = choose_capture(rules, image, scanner=row.scanner, needed_by=needed_by(database, image))
        if choice.is_wanted:
            is_gone = row.gone_at is not None
            found.append(Wanted(row.id, row.scanner, row.path, row.size, is_gone, choice.reason))
    return found


def _reopen(database: Database, some: Sequence[Wanted], *, actor: str, at: datetime) -> set[int]:
    """Re-open those that are still skipped, and return them."""
    c = tables.capture.c
    with database.write() as connection:
        ids = c.id.in_([one.capture_id for one in some])
        still = select(c.id).where(ids, c.state == CaptureState.SKIPPED).with_for_update()
        moved = set(connection.execute(still).scalars())
        for one in some:
            if one.capture_id in moved:
                look_again(connection, one.capture_id, why=f"backfill: {one.why}", at=at, actor=actor)
    return moved
