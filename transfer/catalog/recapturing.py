"""A capture whose packed file turned out damaged on its way out: read once more, while its source has the file."""

from datetime import datetime

from sqlalchemy import Connection, RowMapping, exists, or_, select, update

from transfer.catalog import tables
from transfer.catalog.matching import BY_HAND, withdraw
from transfer.catalog.notices import RELAY, note, raise_alert
from transfer.catalog.twins import wake_twins
from transfer.states import CaptureState, DeliveryState, Kind


def capture_again(connection: Connection, delivery: RowMapping, reason: str, at: datetime) -> bool:
    """Let a capture be read from its source once more whose packed file is damaged, and return whether it is.

    Only while the source lists the very file, no archive has proved the capture, and no person said where it belongs:
    packed anew it may be cut otherwise than what an archive holds.
    """
    c, d, f, m = tables.capture.c, tables.delivery.c, tables.source_file.c, tables.match.c
    if delivery.get("kind") != Kind.RAW:
        return False
    newer = tables.source_file.alias()
    is_newest = ~exists().where(newer.c.source == f.source, newer.c.path == f.path, newer.c.version > f.version)
    others = (d.capture_id == c.id) & (d.id != delivery["id"])
    is_needed = exists().where(others, or_(d.state == DeliveryState.VERIFIED, d.lease_token.is_not(None)))
    is_linked = exists().where(m.capture_id == c.id, m.undone_at.is_(None), m.certainty == BY_HAND)
    query = select(c.id, f.scanner).join(tables.source_file).where(c.id == delivery["capture_id"])
    query = query.where(c.state == CaptureState.PLANNED, f.gone_at.is_(None), is_newest, ~is_needed, ~is_linked)
    row = connection.execute(query.with_for_update(of=tables.capture)).first()
    if row is None:
        return False
    wake_twins(connection, row.id, at)
    withdraw(connection, row.id, why=_SPOILED, actor=RELAY, at=at)
    values = {"state": CaptureState.FOUND, "since_at": at, "due_at": at, "reason": _SPOILED, "lane": row.scanner}
    values |= {"sha256": None, "stored_bytes": None, "manifest": None}
    connection.execute(update(tables.capture).where(c.id == row.id).values(values))
    raise_alert(connection, key=f"lost:{delivery['id']}", severity="warning", text=f"{reason} {_SPOILED}", at=at)
    note(
        connection,
        at=at,
        actor=RELAY,
        subject="capture",
        subject_id=row.id,
        verb="capture.reopened",
        before=CaptureState.PLANNED,
        after=CaptureState.FOUND,
        detail=_SPOILED,
    )
    return True


_SPOILED = (
    "The packed file in the spool is damaged; the scanner still has the file, and it is read from there once more."
)
