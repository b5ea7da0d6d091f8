"""Tokens for programs, as the catalog keeps them: by digest, with what only the token itself opens."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, desc, insert, or_, select, update

from transfer.catalog.notices import note
from transfer.catalog.web_tables import token

Row = dict[str, Any]
_SHOWN = ("id", "name", "actor", "created_at", "expires_at", "used_at", "ended_at", "ended_by")
_NOTED_EVERY = timedelta(minutes=1)


def add(connection: Connection, values: Row) -> int:
    """Keep a token; return its number."""
    new = insert(token).values(**values).returning(token.c.id)
    number: int = connection.execute(new).scalar_one()
    _note(connection, number, "issued", values["name"], actor=values["actor"], at=values["created_at"])
    return number


def find(connection: Connection, digest: str, *, now: datetime) -> Row | None:
    """Return a token that has not ended, by its digest."""
    t = token.c
    query = select(token).where(t.digest == digest, t.ended_at.is_(None), t.expires_at > now)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def known(connection: Connection, *, actor: str | None, now: datetime) -> list[Row]:
    """Return the tokens of one person, or of all, the newest first: those that hold, and those of the last month."""
    t = token.c
    query = select(*(t[name] for name in _SHOWN)).where(t.expires_at > now - timedelta(days=30))
    query = query.where(or_(t.ended_at.is_(None), t.ended_at > now - timedelta(days=30)))
    if actor is not None:
        query = query.where(t.actor == actor)
    return [dict(row) for row in connection.execute(query.order_by(desc(t.id))).mappings()]


def end(connection: Connection, number: int | None, *, of: str | None, actor: str, at: datetime) -> int:
    """End one token, or all; those ``of`` one person, or of anybody; return how many."""
    t = token.c
    query = update(token).where(t.ended_at.is_(None))
    if number is not None:
        query = query.where(t.id == number)
    if of is not None:
        query = query.where(t.actor == of)
    ended = connection.execute(query.values(ended_at=at, ended_by=actor, sealed=None).returning(t.id, t.name)).all()
    for row in ended:
        _note(connection, row.id, "ended", row.name, actor=actor, at=at)
    return len(ended)


def note_use(connection: Connection, row: Row, *, at: datetime, sealed: bytes | None = None) -> None:
    """Write when a token was used last, and what it opens from now on where that was renewed."""
    values: Row = {"used_at": at} | ({"sealed": sealed, "issued_at": at} if sealed is not None else {})
    still = (token.c.id == row["id"]) & token.c.ended_at.is_(None)
    connection.execute(update(token).where(still).values(values))


def is_use_due(row: Row, *, now: datetime) -> bool:
    """Return whether a use is to be written: not each of many in a minute."""
    return row["used_at"] is None or now - row["used_at"] > _NOTED_EVERY


def _note(connection: Connection, number: int, verb: str, name: str, *, actor: str, at: datetime) -> None:  # noqa: PLR0913 -- the facts of the act
    note(connection, at=at, actor=actor, subject="token", subject_id=number, verb=f"token.{verb}", detail=name)
