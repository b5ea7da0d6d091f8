"""What a person may do; the command line and the web page call these. Each act leaves an event with its actor."""

from datetime import datetime

from sqlalchemy import Connection, Table, literal, select, update

from kspace.clock import Clock
from kspace.errors import BadInput, NotFound
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.matching import BY_A_PERSON
from transfer.catalog.notices import clear_alert, note, raise_alert
from transfer.catalog.saving import end_if_delivered
from transfer.states import TRANSITIONS, CaptureState, DeliveryState


def retry(database: Database, reference: str, *, actor: str, clock: Clock, as_is: bool = False) -> list[str]:
    """Put held work back to where it was held, and make waiting work due now; return what was moved.

    A capture's reference is its number (``12``); it takes its deliveries with it. A delivery's is ``d5``. ``as_is``:
    take a capture damaged or unwanted, or a session without the images that its archive does not show.

    Raises:
        NotFound: there is no such work.
        BadInput: there is nothing to retry, or to take as it is.
    """
    now, moved = clock.now(), []
    with database.write() as connection:
        if as_is and reference.startswith("d"):
            _demand_known_loss(connection, reference)
        for table, row_id in _meant(connection, reference):
            if _retry(connection, table, row_id, actor=actor, at=now, as_is=as_is):
                moved.append(_named(table, row_id))
        if not moved:
            raise BadInput(f"There is nothing to retry at {reference}: it is on its way or done. See `kspace show`.")
        # Whoever says "retry" has seen to the cause, and not of this one alone.
        for what, until_at in connection.execute(tables.pause.delete().returning(*_PAUSE)).all():
            clear_alert(connection, key=f"pause:{what}", at=now)
            _wake(connection, what, until_at, at=now)
    return moved


def hold(database: Database, reference: str, *, reason: str, actor: str, clock: Clock) -> list[str]:
    """Stop work where it stands until a person retries it; return what was held.

    Raises:
        NotFound: there is no such work.
        BadInput: nothing of it can be held.
    """
    now, held = clock.now(), []
    with database.write() as connection:
        for table, row_id in _meant(connection, reference):
            if _hold(connection, table, row_id, reason=reason, actor=actor, at=now):
                held.append(_named(table, row_id))
    if not held:
        raise BadInput(f"There is nothing to hold at {reference}: it is done or held already. See `kspace show`.")
    return held


def prefer(database: Database, reference: str, *, priority: int, actor: str, clock: Clock) -> list[str]:
    """Let work go before (or, below 0, after) all other work that is due; return what was moved.

    Raises:
        NotFound: there is no such work.
    """
    now, moved = clock.now(), []
    with database.write() as connection:
        for table, row_id in _meant(connection, reference):
            state = connection.execute(
                update(table).where(table.c.id == row_id).values(priority=priority).returning(table.c.state)
            ).scalar_one()
            _say(connection, table, row_id, "preferred", state, state, f"priority {priority}", actor, now)
            moved.append(_named(table, row_id))
    return moved


def _meant(connection: Connection, reference: str) -> list[tuple[Table, int]]:
    is_delivery, digits = reference.startswith("d"), reference.removeprefix("d")
    if not digits.isdecimal() or len(digits) > 9:
        raise NotFound(f"{reference!r} names no work: give a capture's number (12) or a delivery's (d5).")
    table, row_id = (tables.delivery if is_delivery else tables.capture), int(digits)
    if connection.execute(select(table.c.id).where(table.c.id == row_id)).first() is None:
        raise NotFound(f"There is no work {reference}; `kspace status` lists what there is.")
    if is_delivery:
        return [(table, row_id)]
    d = tables.delivery.c
    own = connection.execute(select(d.id).where(d.capture_id == row_id)).scalars().all()
    return [(table, row_id), *((tables.delivery, delivery_id) for delivery_id in own)]


_AS_IS = frozenset({"rejected", "pixels"})
"""Why images may be held for ever: the archive does not show what it took."""


def _demand_known_loss(connection: Connection, reference: str) -> None:
    ((_, row_id),) = _meant(connection, reference)
    d = tables.delivery.c
    if connection.execute(select(d.held_code).where(d.id == row_id)).scalar() not in _AS_IS:
        raise BadInput(
            f"There is nothing to take as it is at {reference}: only a session that is held because its archive does "
            "not show all images as received. Nothing was changed."
        )


_PAUSE = (tables.pause.c.what, tables.pause.c.until_at)


def _wake(connection: Connection, what: str, until_at: datetime, *, at: datetime) -> None:
    """Make due what met the trouble of a destination, or of a project there, and waits for the end of its pause."""
    d = tables.delivery.c
    names = (literal("destination:") + d.destination, literal("project:") + d.destination + "/" + d.project)
    waits = literal(what).in_(names) & (d.due_at > at) & (d.due_at <= until_at)
    connection.execute(update(tables.delivery).where(waits).values(due_at=at))


def _retry(  # noqa: PLR0913 -- the facts of the act
    connection: Connection, table: Table, row_id: int, *, actor: str, at: datetime, as_is: bool
) -> bool:
    row = connection.execute(select(table).where(table.c.id == row_id).with_for_update()).mappings().one()
    columns: dict[str, object] = {"due_at": at, "attempts": 0, "failures": 0}
    if as_is and (table is tables.capture or row["held_code"] in _AS_IS):
        columns["as_is"] = True
    after = row["held_from"] if row["state"] == CaptureState.HELD else row["state"]
    if as_is and row["state"] == CaptureState.SKIPPED:
        after = CaptureState.FOUND
    stayed = row.get("refused") or row.get("lacking")
    if row["held_code"] == "gone" or (stayed and row["state"] == DeliveryState.VERIFIED):
        # What is gone there is sent again, and what the archive refused or did not show is tried again.
        is_gone = row["held_code"] == "gone"
        after = DeliveryState.QUEUED
        forgotten = ("refused", "lacking", *(("imported", "place", "verified_at") if is_gone else ()))
        columns |= dict.fromkeys(forgotten)
    is_held = row["state"] == CaptureState.HELD
    if row["lease_token"] is not None or not (is_held or _is_open(table, after)):
        return False
    if is_held:
        columns |= {"held_from": None, "held_code": None, "reason": None}
    if after != row["state"]:
        columns |= {"state": after, "since_at": at}
    connection.execute(update(table).where(table.c.id == row_id).values(columns))
    clear_alert(connection, key=f"{table.name}:{row_id}", at=at)
    _say(connection, table, row_id, "retried", row["state"], after, "as it is" if as_is else None, actor, at)
    if is_held and table is tables.capture and after == CaptureState.PLANNED:
        end_if_delivered(connection, row_id, at)  # a delivery retried by itself may have been the last one
    return True


def _hold(  # noqa: PLR0913 -- the facts of the act
    connection: Connection, table: Table, row_id: int, *, reason: str, actor: str, at: datetime
) -> bool:
    row = connection.execute(select(table).where(table.c.id == row_id).with_for_update()).mappings().one()
    held = CaptureState.HELD if table is tables.capture else DeliveryState.HELD
    state = CaptureState(row["state"]) if table is tables.capture else DeliveryState(row["state"])
    if held not in TRANSITIONS[type(state)][state] or state is DeliveryState.VERIFIED:
        return False
    # A lease still running loses its row by the change of state: its result is dropped at commit.
    columns = {"state": held, "since_at": at, "held_from": state, "held_code": BY_A_PERSON, "reason": reason}
    connection.execute(update(table).where(table.c.id == row_id).values(columns))
    # The reason is a person's own words: it stays in the catalog, and goes into no mail.
    text = f"Held by a person; `kspace retry {_named(table, row_id)}` goes on."
    raise_alert(connection, key=f"{table.name}:{row_id}", severity="info", text=text, at=at)
    _say(connection, table, row_id, "held", state, held, reason, actor, at)
    return True


def _is_open(table: Table, state: str) -> bool:
    if table is tables.capture:
        return state not in {CaptureState.SKIPPED, CaptureState.RETIRED, CaptureState.RELEASED, CaptureState.PLANNED}
    return state != DeliveryState.VERIFIED


def _say(  # noqa: PLR0913, PLR0917 -- the columns of an event
    connection: Connection,
    table: Table,
    row_id: int,
    act: str,
    before: str,
    after: str,
    detail: str | None,
    actor: str,
    at: datetime,
) -> None:
    note(
        connection,
        at=at,
        actor=actor,
        subject=table.name,
        subject_id=row_id,
        verb=f"{table.name}.{act}",
        before=before,
        after=after,
        detail=detail,
    )


def _named(table: Table, row_id: int) -> str:
    return f"d{row_id}" if table is tables.delivery else str(row_id)
