"""Credentials that end by themselves are renewed at half of their life; a person is told of those that cannot be."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from kspace.clock import Clock
from kspace.errors import DestinationError
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.destinations.errors import DestinationDown
from transfer.destinations.renewing import Renewable, Term

_SELDOM, _AFTER_ERROR = timedelta(hours=3), timedelta(minutes=15)
"""XNAT locks an account after 20 failures in an hour (SiteConfigPreferences)."""


class Renewing:
    """Asks each archive how long the relay's credentials hold: at the start, then a few times a day, or in good time.

    An archive that does not answer is asked again; its deliveries tell of it.
    """

    def __init__(self, archives: Mapping[str, Any], *, database: Database, clock: Clock) -> None:
        self._archives = {name: archive for name, archive in archives.items() if isinstance(archive, Renewable)}
        self._database, self._clock = database, clock
        self._due: dict[str, datetime] = {}

    def __call__(self) -> None:
        """Look after those whose turn it is."""
        for name, archive in self._archives.items():
            now = self._clock.now()
            if now >= self._due.get(name, now):
                self._due[name] = now + self._look(name, archive)

    def _look(self, name: str, archive: Renewable) -> timedelta:
        """Renew what is due, and return how long it may be left alone."""
        now = self._clock.now()
        try:
            term = archive.term()
            if term is not None and term.is_due(now) and term.hindrance is None:
                term = archive.renew()
        except DestinationDown:
            return _AFTER_ERROR
        except DestinationError as error:
            self._tell(name, f"The alias token of {name} cannot be renewed. {error}")
            return _AFTER_ERROR
        self._tell(name, _warning(name, term, now))
        renew_at = None if term is None else term.renew_at
        return _SELDOM if renew_at is None or renew_at <= now else min(_SELDOM, renew_at - now)

    def _tell(self, name: str, text: str | None) -> None:
        key, now = f"token:{name}", self._clock.now()
        with self._database.write() as connection:
            if text is None:
                clear_alert(connection, key=key, at=now)
            else:
                raise_alert(connection, key=key, severity="warning", text=text, at=now)


def _warning(name: str, term: Term | None, now: datetime) -> str | None:
    if term is None or term.hindrance is None or not term.is_due(now):
        return None
    return f"Destination {name}: {term.told()}."
