"""Events and alerts: what happened, for ever; and what a person must know now."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, String, cast, insert, literal, select, update

from transfer.catalog.tables import alert, event

RELAY = "relay"
"""The actor of everything that no person did."""


def note(  # noqa: PLR0913 -- the columns of an event
    connection: Connection,
    *,
    at: datetime,
    actor: str,
    subject: str,
    subject_id: int,
    verb: str,
    before: str | None = None,
    after: str | None = None,
    detail: str | None = None,
) -> None:
    """Append one event in the transaction of the change it tells of."""
    connection.execute(
        insert(event).values(
            at=at,
            actor=actor,
            subject=subject,
            subject_id=subject_id,
            verb=verb,
            before=before,
            after=after,
            detail=detail,
        )
    )


def raise_alert(connection: Connection, *, key: str, severity: str, text: str, at: datetime) -> None:
    """Raise an alert once: while it is open, the same key only renews the text."""
    is_open = (alert.c.key == key) & alert.c.cleared_at.is_(None)
    if connection.execute(update(alert).where(is_open).values(text=text)).rowcount == 0:
        connection.execute(insert(alert).values(key=key, severity=severity, text=text, raised_at=at))


def clear_alert(connection: Connection, *, key: str, at: datetime) -> None:
    """Clear the alert of this key, if one is open; it will be told as cleared."""
    is_open = (alert.c.key == key) & alert.c.cleared_at.is_(None)
    if connection.execute(select(alert.c.id).where(is_open)).first():
        connection.execute(update(alert).where(is_open).values(cleared_at=at, told_at=None))


def in_doubt(capture_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition on ``alert`` that images that came late put this capture's scan in doubt."""
    return (alert.c.key == literal("doubt:") + cast(capture_id, String)) & alert.c.cleared_at.is_(None)
