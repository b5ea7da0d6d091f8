"""Events and alerts: what happened, for ever; and what a person must know now."""

import re
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, String, case, cast, delete, insert, literal, select, update

from kspace.errors import NotFound
from transfer.catalog.outbox_tables import acknowledgement
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
    """Raise an alert once: while it is open, the same key renews its text, and is told anew at another severity."""
    is_open = (alert.c.key == key) & alert.c.cleared_at.is_(None)
    told_at = case((alert.c.severity == severity, alert.c.told_at), else_=None)
    renewed = update(alert).where(is_open).values(text=text, severity=severity, told_at=told_at)
    if connection.execute(renewed).rowcount == 0:
        connection.execute(insert(alert).values(key=key, severity=severity, text=text, raised_at=at))


def clear_alert(connection: Connection, *, key: str, at: datetime) -> None:
    """Clear the alert of this key, if one is open; it will be told as cleared."""
    is_open = (alert.c.key == key) & alert.c.cleared_at.is_(None)
    if connection.execute(select(alert.c.id).where(is_open)).first():
        connection.execute(update(alert).where(is_open).values(cleared_at=at, told_at=None))


def topic_of(key: str) -> str:
    """Return what an alert is told together with: the same trouble of other files, studies or images.

    >>> topic_of("capture:12"), topic_of("resend:MR1:1.2.840.1"), topic_of("pause:destination:central")
    ('capture', 'resend:MR1', 'pause:destination:central')
    """
    return _OF_ONE.sub("", key)


_OF_ONE = re.compile(r":(t?[\d.]+|unknown)$")


def acknowledge(connection: Connection, key: str, *, note_: str, actor: str, at: datetime) -> list[str]:
    """Take a person's word that somebody sees to an alert, or to all of a topic; return the keys.

    It ends the reminders until an alert is raised anew or changes its severity.

    Raises:
        NotFound: no such alert is open.
    """
    a = alert.c
    is_meant = (a.key == key) | a.key.startswith(f"{key}:", autoescape=True)
    found = connection.execute(select(a.id, a.key, a.severity).where(is_meant, a.cleared_at.is_(None)).order_by(a.id))
    meant = [row for row in found if key in {row.key, topic_of(row.key)}]
    if not meant:
        raise NotFound(f"No alert {key!r} is open; `kspace alerts` lists those that are.")
    for row in meant:
        connection.execute(delete(acknowledgement).where(acknowledgement.c.alert_id == row.id))
        said = {"alert_id": row.id, "severity": row.severity, "actor": actor, "note": note_, "at": at}
        connection.execute(insert(acknowledgement).values(said))
        about = {"subject": "alert", "subject_id": row.id, "verb": "alert.acknowledged", "detail": note_}
        note(connection, at=at, actor=actor, **about)
    return [row.key for row in meant]


def in_doubt(capture_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition on ``alert`` that images that came late put this capture's scan in doubt."""
    return (alert.c.key == literal("doubt:") + cast(capture_id, String)) & alert.c.cleared_at.is_(None)
