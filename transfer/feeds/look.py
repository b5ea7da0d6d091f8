"""Once a day every verified delivery is looked for in its archive's own list: people remove and change things there."""

from collections.abc import Callable, Collection
from datetime import timedelta

from sqlalchemy import or_, select, update

from kspace.clock import Clock
from kspace.errors import DestinationError
from transfer.catalog import tables
from transfer.catalog.copies import Copy, copies_of
from transfer.catalog.database import Database
from transfer.catalog.loading import load_delivery
from transfer.catalog.notices import RELAY, note, raise_alert
from transfer.records import RawDelivery
from transfer.states import CaptureState, DeliveryState

_AGAIN_AFTER = timedelta(days=1)
_AT_ONCE = 20
"""Looked for in a run: with one a minute 28,800 a day, those first that were not looked for the longest."""


def look(
    *,
    is_listed: Callable[[RawDelivery], bool],
    database: Database,
    clock: Clock,
    machine: str,
    destinations: Collection[str],
) -> list[int]:
    """Return the deliveries that their archive does not list any more as it proved them; they are due for the audit.

    What the audit finds lost is sent again, and told. An archive that does not answer is asked again at the next run.
    """
    d, p, now = tables.delivery.c, tables.pause.c, clock.now()
    ours = (d.kind == "raw") & (d.state == DeliveryState.VERIFIED) & (d.machine == machine) & (d.due_at > now)
    ours &= d.destination.in_(destinations) & d.lease_token.is_(None)
    paused = select(p.what).where(p.what == "destination:" + d.destination, p.until_at > now).exists()
    is_long_ago = or_(d.listed_at.is_(None), d.listed_at < now - _AGAIN_AFTER)
    longest = select(d.id).where(ours & ~paused & is_long_ago).order_by(d.listed_at.nulls_first(), d.id).limit(_AT_ONCE)
    with database.read() as connection:
        found = [load_delivery(connection, row_id) for row_id in connection.execute(longest).scalars().all()]
    lost, down = [], set()
    for delivery in found:
        if not isinstance(delivery, RawDelivery) or delivery.destination in down:
            continue
        try:
            is_there = is_listed(delivery)
        except DestinationError:
            down.add(delivery.destination)
            continue
        lost += [] if is_there else [delivery.id]
        _mark(database, delivery.id, is_there=is_there, clock=clock)
    return lost


def look_back(
    *,
    is_listed: Callable[[Copy], bool],
    database: Database,
    clock: Clock,
    machine: str,
    destinations: Collection[str],
) -> list[int]:
    """Return the captures on their way to another place whose former copy is not listed any more; a person is told.

    From the proof of the new place on nobody watches the old one: its owner may remove it.
    """
    d, c, now = tables.delivery.c, tables.capture.c, clock.now()
    is_left = (d.kind == "raw") & d.former_places.is_not(None) & c.state.not_in(_AT_REST)
    ours = is_left & (d.machine == machine) & d.destination.in_(destinations)
    is_long_ago = or_(d.listed_at.is_(None), d.listed_at < now - _AGAIN_AFTER)
    query = select(d.id, d.capture_id, d.former_places).join(tables.capture).where(ours, is_long_ago).order_by(d.id)
    with database.read() as connection:
        rows = connection.execute(query.limit(_AT_ONCE)).all()
    missed = []
    for row in rows:
        copies = [one for one in copies_of(database, row.capture_id) if one.place in row.former_places]
        try:
            gone = [one for one in copies if one.delivery_id == row.id and not is_listed(one)]
        except DestinationError:
            continue
        with database.write() as connection:
            connection.execute(update(tables.delivery).where(d.id == row.id).values(listed_at=now))
            if gone:
                text = _GONE.format(capture=row.capture_id, destination=gone[0].destination, place=gone[0].place)
                key = f"former:{row.capture_id}"
                raise_alert(connection, key=key, severity="warning", text=text, at=now)
        missed += [row.capture_id] if gone else []
    return missed


_AT_REST = {CaptureState.DELIVERED, CaptureState.RETIRED, CaptureState.RELEASED, CaptureState.SKIPPED}
_GONE = (
    "{destination} does not list the former copy of capture {capture} any more as it was proved ({place}), and the new "
    "place is not verified yet. See `kspace show {capture}`; leave the spool and other copies alone until it is."
)


def _mark(database: Database, delivery_id: int, *, is_there: bool, clock: Clock) -> None:
    d, now = tables.delivery.c, clock.now()
    same = (d.id == delivery_id) & (d.state == DeliveryState.VERIFIED) & d.lease_token.is_(None)
    with database.write() as connection:
        values = {"listed_at": now} | ({} if is_there else {"due_at": now})
        marked = connection.execute(update(tables.delivery).where(same).values(values))
        if marked.rowcount and not is_there:
            note(
                connection,
                at=now,
                actor=RELAY,
                subject="delivery",
                subject_id=delivery_id,
                verb="delivery.missed",
                detail="the archive's list shows it removed or changed",
            )
