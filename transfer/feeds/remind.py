"""Raw data that no images were ever found for: nothing of them goes by itself, so a person must know."""

from datetime import timedelta

from kspace.clock import Clock
from transfer.catalog import ledger
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert

_KEY = "homeless"
_AFTER = timedelta(days=3)
"""Images come within hours, over a weekend within three days."""


def remind(*, database: Database, clock: Clock) -> None:
    """Hold an alert open while packed files have no session, with their number, age and GB."""
    now = clock.now()
    with database.read() as connection:
        found = ledger.homeless(connection, now=now)
    with database.write() as connection:
        if found["oldest_at"] is None or found["oldest_at"] >= now - _AFTER:
            clear_alert(connection, key=_KEY, at=now)
            return
        text = (
            f"{found['kept']} raw files ({found['kept_bytes'] / 1e9:.3f} GB in the spool) have no session, the "
            f"oldest for {(now - found['oldest_at']).days} days. They are kept, and nothing frees them by itself. "
            "Send their images, or see `kspace review` and say with `kspace link` where they belong."
        )
        raise_alert(connection, key=_KEY, severity="warning", text=text, at=now)
