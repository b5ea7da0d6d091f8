"""Raw data that no images were ever found for: nothing of them goes by itself, so a person is reminded each week."""

from datetime import timedelta

from sqlalchemy import select

from kspace.clock import Clock
from transfer.catalog import ledger, tables
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert

_KEY = "homeless"
_AFTER, _EVERY = timedelta(days=3), timedelta(days=7)
"""Images come within hours, over a weekend within three days."""


def remind(*, database: Database, clock: Clock) -> None:
    """Raise an alert while packed files have no session, and raise it anew each week, with their number, age and GB."""
    now, a = clock.now(), tables.alert.c
    with database.read() as connection:
        found = ledger.homeless(connection, now=now)
    with database.write() as connection:
        is_open = select(a.raised_at).where(a.key == _KEY, a.cleared_at.is_(None))
        raised_at = connection.execute(is_open).scalar()
        is_due = found["oldest_at"] is not None and found["oldest_at"] < now - _AFTER
        if raised_at is not None and (not is_due or raised_at < now - _EVERY):
            clear_alert(connection, key=_KEY, at=now)
        if is_due:
            text = (
                f"{found['kept']} raw files ({found['kept_bytes'] / 1e9:.3f} GB in the spool) have no session, the "
                f"oldest for {(now - found['oldest_at']).days} days. They are kept, and nothing frees them by itself. "
                "Send their images, or see `kspace review` and say with `kspace link` where they belong."
            )
            raise_alert(connection, key=_KEY, severity="warning", text=text, at=now)
