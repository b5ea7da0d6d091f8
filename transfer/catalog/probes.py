"""What is known of how a destination behaves: what probes of it found, and the largest part it takes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, desc, insert, select

from kspace.clock import Clock
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert

CAREFUL = "so it is used in the most careful mode: every part is read back and hashed before it counts"


def record_probe(  # noqa: PLR0913 -- the columns of a probe
    database: Database,
    destination: str,
    *,
    server: str,
    project: str,
    facts: Mapping[str, Any],
    answers: list[dict[str, Any]],
    largest: int | None,
    at: datetime,
) -> None:
    """Remember a probe, and the largest body if there is a limit; where there is none, forget an earlier one."""
    row = {"destination": destination, "server": server, "project": project, "facts": dict(facts), "answers": answers}
    with database.write() as connection:
        connection.execute(insert(tables.probe).values(**row, at=at))
        set_body_limit(connection, destination, largest, at)
        clear_alert(connection, key=_key(destination), at=at)


def facts_of(database: Database, destination: str, server: str, *, clock: Clock) -> Mapping[str, Any] | None:
    """Return what the newest probe of this very version and address found; None: there was none.

    Where another version was probed before, somebody updated the archive, and a person is told to probe it again.
    """
    with database.read() as connection:
        found = probes(connection, destination)
    of_this = [row for row in found if row["server"] == server]
    if of_this:
        facts: Mapping[str, Any] = of_this[0]["facts"]
        return facts
    if found:
        text = (
            f"Destination {destination} is {server} now and was probed as {found[0]['server']}, {CAREFUL}. "
            "Probe it again: `kspace check --probe`."
        )
        with database.write() as connection:
            raise_alert(connection, key=_key(destination), severity="info", text=text, at=clock.now())
    return None


def probes(connection: Connection, destination: str) -> list[dict[str, Any]]:
    """Return every probe of a destination, the newest first."""
    p = tables.probe.c
    query = select(tables.probe).where(p.destination == destination).order_by(desc(p.id))
    return [dict(row) for row in connection.execute(query).mappings()]


def body_limit(database: Database, destination: str) -> int | None:
    """Return the largest part that a destination was found to take, in bytes; None: it never refused one."""
    b = tables.body_limit.c
    with database.read() as connection:
        found: int | None = connection.execute(select(b.bytes).where(b.destination == destination)).scalar()
    return found


def set_body_limit(connection: Connection, destination: str, limit: int | None, at: datetime) -> None:
    """Remember the largest part that a destination takes, in bytes; None: no limit is known any more."""
    b = tables.body_limit
    connection.execute(delete(b).where(b.c.destination == destination))
    if limit is not None:
        connection.execute(insert(b).values(destination=destination, bytes=limit, at=at))


def _key(destination: str) -> str:
    return f"probe:{destination}"
