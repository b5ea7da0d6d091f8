"""What an administrator may do to the flow as a whole: pause and slow down a destination or a scanner, at run time."""

from collections.abc import Mapping
from math import inf
from typing import Any

from sqlalchemy import Connection, select, update

from kspace.clock import Clock
from kspace.errors import BadInput, NotFound
from transfer.catalog.database import Database
from transfer.catalog.notices import note
from transfer.catalog.web_tables import throttle

_SLOWEST_MBIT = 0.1


class Steering:
    """Steers what is configured; what is set is kept in the catalog, so it outlives a restart.

    ``ceilings`` are the configuration's limits in Mbit/s by ``scanner:<name>`` or ``destination:<name>``; None: none.
    """

    def __init__(self, database: Database, *, ceilings: Mapping[str, float | None], clock: Clock) -> None:
        self._database = database
        self._ceilings = ceilings
        self._clock = clock

    def pause(self, what: str, *, actor: str) -> None:
        """Begin nothing more there until somebody resumes it, and let what is under way end at its next step.

        Raises:
            NotFound: nothing of this name is configured.
        """
        self._set(what, {"is_paused": True}, verb="paused", detail=None, actor=actor)

    def resume(self, what: str, *, actor: str) -> None:
        """Let it go on.

        Raises:
            NotFound: nothing of this name is configured.
        """
        self._set(what, {"is_paused": False}, verb="resumed", detail=None, actor=actor)

    def limit(self, what: str, mbit_per_s: float | None, *, actor: str) -> None:
        """Go no faster; None: as the configuration says, which stays the upper bound.

        Raises:
            NotFound: nothing of this name is configured.
            BadInput: it is slower than anything would ever end, or faster than the configuration allows.
        """
        ceiling = self._ceilings.get(what)
        if mbit_per_s is not None and not _SLOWEST_MBIT <= mbit_per_s < inf:
            raise BadInput(f"Give at least {_SLOWEST_MBIT} Mbit/s, or pause it. Nothing was changed.")
        if mbit_per_s is not None and ceiling is not None and mbit_per_s > ceiling:
            raise BadInput(f"The configuration allows {ceiling:g} Mbit/s there, and no more. Nothing was changed.")
        detail = "as configured" if mbit_per_s is None else f"{mbit_per_s:g} Mbit/s"
        self._set(what, {"mbit_per_s": mbit_per_s}, verb="limited", detail=detail, actor=actor)

    def _set(self, what: str, values: dict[str, Any], *, verb: str, detail: str | None, actor: str) -> None:
        if what not in self._ceilings:
            raise NotFound(f"Nothing that is configured is called {what!r}. Nothing was changed.")
        at = self._clock.now()
        with self._database.write() as connection:
            self._write(connection, what, values | {"actor": actor, "at": at})
            kind, _, name = what.partition(":")
            told = f"{name}: {detail}" if detail else name
            verb = f"{kind}.{verb}"
            note(connection, at=at, actor=actor, subject=kind, subject_id=0, verb=verb, detail=told)

    def _write(self, connection: Connection, what: str, values: dict[str, Any]) -> None:
        if connection.execute(select(throttle.c.what).where(throttle.c.what == what)).first() is None:
            self._database.insert_new(connection, throttle, {"what": what, **values})
        connection.execute(update(throttle).where(throttle.c.what == what).values(values))
