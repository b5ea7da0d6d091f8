"""The audit: what people did, and on wish the relay, out of the events; the newest first, by cursor."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, desc, select

from transfer.catalog import tables
from transfer.catalog.web_tables import BY_PEOPLE

Row = dict[str, Any]
SUBJECTS = ("alert", "capture", "delivery", "destination", "rules", "scanner", "study", "token", "web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """Which acts are asked for; nobody named: those of all people."""

    actor: str = ""
    subject: str = ""
    number: int | None = None
    """Of the subject."""
    since: datetime | None = None
    until: datetime | None = None


def acts(connection: Connection, wanted: Acts, *, after: int | None = None, limit: int = 50) -> list[Row]:
    """Return events, the newest first."""
    e = tables.event.c
    # Written out, as the index of people's own events has it: a value in its place would not use that.
    conditions: list[ColumnElement[bool] | Any] = [e.actor == wanted.actor if wanted.actor else BY_PEOPLE]
    if wanted.actor and wanted.actor != "relay":
        conditions.append(BY_PEOPLE)
    if wanted.subject:
        conditions.append(e.subject == wanted.subject)
    if wanted.number is not None:
        conditions.append(e.subject_id == wanted.number)
    if wanted.since:
        conditions.append(e.at >= wanted.since)
    if wanted.until:
        conditions.append(e.at < wanted.until)
    if after is not None:
        conditions.append(e.id < after)
    columns = (e.id, e.at, e.actor, e.subject, e.subject_id, e.verb, e.before, e.after, e.detail)
    query = select(*columns).where(*conditions).order_by(desc(e.id)).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]
