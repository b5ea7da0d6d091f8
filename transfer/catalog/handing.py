"""Out of the outbox: one message after another is claimed, tried, and marked by what the other side said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, delete, func, select, update

from hardware.records import Severity
from hardware.sinks import Message, Told
from transfer.catalog.database import Database
from transfer.catalog.outbox_tables import outbox

_FIRST_S, _LONGEST_S = 15.0, 3600.0
_LEASE_S = 900.0
"""Longer than any attempt: until then no other process tries the same row."""
_MESSAGE = TypeAdapter(Message)

Frame = Callable[[Connection, dict[str, Any]], Message | None]
"""Finds the words for an owed row in the transaction that fixes them; None: there is nothing to say any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message whose turn it is, and how often it was tried, this time counted."""

    id: int
    message: Message
    attempts: int


def claim(  # noqa: PLR0913 -- the facts of the one question
    database: Database, sink: str, *, at: datetime, is_quiet: bool, frame: Frame, machine: str
) -> Claimed | None:
    """Return the message of a sink whose turn it is, its words fixed, or None.

    It counts as tried from now on, and is due again after a while: a crash before the answer is a failed attempt. A
    newer message of a topic takes the place of one that was not taken yet, and tells its news too.
    """
    o = outbox.c
    is_due = (o.sink == sink) & o.sent_at.is_(None) & (o.due_at <= at)
    if is_quiet:
        is_due &= o.severity == Severity.CRITICAL
    query = select(outbox).where(is_due).order_by(o.due_at, o.id).limit(1)
    with database.read() as connection:
        if connection.execute(query).first() is None:
            return None
    with database.write() as connection:
        row = connection.execute(query.with_for_update(skip_locked=True)).mappings().first()
        if row is None:
            return None
        message = _MESSAGE.validate_json(row["message"]) if row["message"] else _framed(connection, row, frame, at)
        if message is None:
            connection.execute(delete(outbox).where(o.id == row["id"]))
            return None
        lease = {"machine": machine, "due_at": at + timedelta(seconds=_LEASE_S)}
        tried = lease | {"attempts": row["attempts"] + 1, "problem": None}
        connection.execute(update(outbox).where(o.id == row["id"]).values(tried))
    return Claimed(id=row["id"], message=message, attempts=row["attempts"] + 1)


def _framed(connection: Connection, row: RowMapping, frame: Frame, at: datetime) -> Message | None:
    o = outbox.c
    same = (o.sink == row["sink"]) & (o.topic == row["topic"]) & o.framed_at.is_not(None) & o.sent_at.is_(None)
    older = connection.execute(select(func.min(o.since_at)).where(same)).scalar()
    connection.execute(delete(outbox).where(same))
    whole = {**row, "since_at": min(row["since_at"], older or row["since_at"])}
    message = frame(connection, whole)
    if message is not None:
        fixed = {"kind": message.kind, "severity": message.severity, "since_at": whole["since_at"], "framed_at": at}
        words = _MESSAGE.dump_json(message).decode()
        connection.execute(update(outbox).where(o.id == row["id"]).values(fixed | {"message": words}))
    return message


def free(database: Database, sink: str, *, machine: str, at: datetime) -> None:
    """Make due what an earlier life of this machine was about to hand over when it ended; it may have come."""
    o = outbox.c
    cut_off = (o.sink == sink) & (o.machine == machine) & o.sent_at.is_(None) & o.problem.is_(None) & (o.attempts > 0)
    with database.write() as connection:
        connection.execute(update(outbox).where(cut_off).values(due_at=at))


def record_taken(database: Database, claimed: Claimed, told: Told, *, at: datetime) -> None:
    """Write that the other side took a message; what it refused before is due at once, since it answers again."""
    o = outbox.c
    with database.write() as connection:
        done = {"sent_at": at, "answer": told.answer, "problem": told.problem}
        sink = connection.execute(update(outbox).where(o.id == claimed.id).values(done).returning(o.sink)).scalar_one()
        waits = (o.sink == sink) & o.sent_at.is_(None) & o.problem.is_not(None)
        connection.execute(update(outbox).where(waits).values(due_at=at))


def record_left(database: Database, claimed: Claimed, told: Told, *, at: datetime) -> None:
    """Write who has a message, and that it is still for the others: they are tried again after a while."""
    only = replace(claimed.message, only=told.left)
    words = {"message": _MESSAGE.dump_json(only).decode(), "answer": told.answer}
    _again(database, claimed, words | {"problem": told.problem}, at=at)


def record_refused(database: Database, claimed: Claimed, problem: str, *, at: datetime) -> None:
    """Write why a message was not taken; it is tried again, after a while that doubles up to an hour."""
    _again(database, claimed, {"problem": problem}, at=at)


def _again(database: Database, claimed: Claimed, found: Mapping[str, Any], *, at: datetime) -> None:
    pause_s = min(_FIRST_S * 2 ** min(claimed.attempts - 1, 16), _LONGEST_S)
    later = {**found, "due_at": at + timedelta(seconds=pause_s)}
    with database.write() as connection:
        connection.execute(update(outbox).where(outbox.c.id == claimed.id).values(later))
