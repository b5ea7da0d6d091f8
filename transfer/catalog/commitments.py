"""Requests for storage commitment, and when their answers are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update

from dicom.inbox import Caller
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert

_LOOK_AGAIN_S = 60.0
_FIRST_RETRY_S = 30.0
_LONGEST_RETRY_S = 3600.0
_TELL_AFTER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One request that was not answered yet."""

    id: int
    transaction_uid: str
    calling_ae: str
    called_ae: str
    requested_at: datetime
    failures: int


def record_request(  # noqa: PLR0913 -- the facts of one request
    database: Database,
    transaction_uid: str,
    wanted: Sequence[tuple[str, str]],
    caller: Caller,
    *,
    machine: str,
    at: datetime,
) -> bool:
    """Return True once the request is durable; the same one again is answered again, another of its name is refused."""
    c, items = tables.commitment.c, {(sop_uid, sop_class) for sop_class, sop_uid in wanted}
    with database.write() as connection:
        known = connection.execute(select(c.id).where(*_is(transaction_uid, caller))).scalar()
        if known is not None:
            if items != _items(connection, known):
                return False
            again = {"due_at": at, "failures": 0, "reported_at": None, "requested_at": at}
            connection.execute(update(tables.commitment).where(c.id == known).values(again))
            return True
        values = {"requested_at": at, "due_at": at, "failures": 0, "machine": machine}
        names = {"transaction_uid": transaction_uid, "calling_ae": caller.calling_ae, "called_ae": caller.called_ae}
        made = connection.execute(insert(tables.commitment).values(**names, **values).returning(c.id)).scalar_one()
        rows = [{"commitment_id": made, "sop_uid": uid, "sop_class": of} for uid, of in items]
        connection.execute(insert(tables.commitment_item), rows)
    return True


def open_request(database: Database, transaction_uid: str, caller: Caller) -> Commitment | None:
    """Return a request of that name that was not answered yet."""
    with database.read() as connection:
        row = connection.execute(_open().where(*_is(transaction_uid, caller))).first()
    return Commitment(**row._asdict()) if row else None


def due_requests(database: Database, *, machine: str, at: datetime) -> list[Commitment]:
    """Return the requests made on this machine that are to be looked at now."""
    c = tables.commitment.c
    with database.read() as connection:
        rows = connection.execute(_open().where(c.machine == machine, c.due_at <= at).order_by(c.due_at)).all()
    return [Commitment(**row._asdict()) for row in rows]


def record_report(database: Database, commitment: Commitment, *, at: datetime) -> None:
    """Take note that the peer has the answer."""
    with database.write() as connection:
        of_this = tables.commitment.c.id == commitment.id
        connection.execute(update(tables.commitment).where(of_this).values(reported_at=at))
        clear_alert(connection, key=_key(commitment), at=at)


def look_again(database: Database, commitment: Commitment, *, at: datetime, problem: str | None = None) -> None:
    """Put a request off: a minute while the archive is awaited, longer each time where a report was not taken."""
    failures, wait_s = commitment.failures, _LOOK_AGAIN_S
    if problem is not None:
        wait_s = min(_FIRST_RETRY_S * 2 ** min(failures, 10), _LONGEST_RETRY_S)
        failures += 1
    later = {"due_at": at + timedelta(seconds=wait_s), "failures": failures}
    with database.write() as connection:
        connection.execute(update(tables.commitment).where(tables.commitment.c.id == commitment.id).values(later))
        if failures >= _TELL_AFTER:
            text = (
                f"{commitment.calling_ae} asked for storage commitment and cannot be told the answer: {problem} Images "
                "are not affected; it is tried again by itself. See report_to in the configuration, and the console."
            )
            raise_alert(connection, key=_key(commitment), severity="warning", text=text, at=at)


def _key(commitment: Commitment) -> str:
    return f"commitment:{commitment.calling_ae}"


def _is(transaction_uid: str, caller: Caller) -> tuple[ColumnElement[bool], ...]:
    c = tables.commitment.c
    return c.transaction_uid == transaction_uid, c.calling_ae == caller.calling_ae


def _open() -> Select[Any]:
    c = tables.commitment.c
    columns = (c.id, c.transaction_uid, c.calling_ae, c.called_ae, c.requested_at, c.failures)
    return select(*columns).where(c.reported_at.is_(None))


def _items(connection: Connection, commitment_id: int) -> set[tuple[str, str]]:
    i = tables.commitment_item.c
    rows = connection.execute(select(i.sop_uid, i.sop_class).where(i.commitment_id == commitment_id))
    return {(row.sop_uid, row.sop_class) for row in rows}
