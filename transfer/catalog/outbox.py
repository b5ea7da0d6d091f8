"""The outbox: what each sink owes, what it was handed, and what the other side said."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, case, desc, func, select, update

from hardware.records import Severity
from hardware.sinks import Message
from transfer.catalog.database import Database
from transfer.catalog.outbox_tables import outbox

_MESSAGE = TypeAdapter(Message)


def owe(database: Database, connection: Connection, news: dict[str, Any]) -> None:
    """Note that a sink owes news of a topic; where it does already, they become one message."""
    database.insert_new(connection, outbox, news)
    o = outbox.c
    owed = (o.sink == news["sink"]) & (o.topic == news["topic"]) & o.framed_at.is_(None)
    row = connection.execute(select(outbox).where(owed).with_for_update()).mappings().one()
    merged = {
        "kind": "alert" if row["kind"] != news["kind"] else row["kind"],
        "severity": max(row["severity"], news["severity"], key=rank),
        "due_at": min(row["due_at"], news["due_at"]),
    }
    connection.execute(update(outbox).where(o.id == row["id"]).values(merged))


def rank(severity: str) -> int:
    """Return how severe it is, to be compared with others."""
    return list(Severity).index(Severity(severity))


def enter(database: Database, connection: Connection, *, sink: str, message: Message) -> None:
    """Enter a message that has its words already, such as a report; a second one of its topic is dropped."""
    row = {"sink": sink, "topic": message.topic, "kind": message.kind, "severity": message.severity}
    times = {"since_at": message.at, "due_at": message.at, "framed_at": message.at}
    database.insert_new(connection, outbox, row | times | {"message": _MESSAGE.dump_json(message).decode()})


def standing(connection: Connection, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return of each sink how many messages wait, since when, the last trouble, and what was taken last."""
    o, found = outbox.c, []
    for name in names:
        waits = (o.sink == name) & o.sent_at.is_(None)
        tried = func.sum(case((o.attempts > 0, 1), else_=0))
        waiting, failing, since = connection.execute(
            select(func.count(), tried, func.min(o.since_at)).where(waits)
        ).one()
        problem = connection.execute(
            select(o.problem).where(waits, o.problem.is_not(None)).order_by(desc(o.id)).limit(1)
        ).scalar()
        last = connection.execute(
            select(o.sent_at, o.answer).where(o.sink == name, o.sent_at.is_not(None)).order_by(desc(o.sent_at)).limit(1)
        ).first()
        found.append(
            {
                "sink": name,
                "waiting": waiting,
                "failing": failing or 0,
                "since": since,
                "problem": problem,
                "last_taken_at": last.sent_at if last else None,
                "answer": last.answer if last else None,
            }
        )
    return found
