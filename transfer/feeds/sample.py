"""The pool's mode into an alert: a full spool stops packing and receiving, and a person must know."""

from hardware.pools import Pool
from hardware.records import PoolMode
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert

_FULL = (
    "The spool's disk is nearly full or does not answer: nothing new is captured and DICOM is refused, sending goes "
    "on. Nothing was deleted. Make room, or see what holds up the deliveries."
)


def sample(pool: Pool, *, database: Database, clock: Clock) -> None:
    """Raise or clear the alert of a full pool."""
    is_full = pool.mode() is PoolMode.REFUSE
    with database.write() as connection:
        if is_full:
            raise_alert(connection, key="pool:spool", severity="critical", text=_FULL, at=clock.now())
        else:
            clear_alert(connection, key="pool:spool", at=clock.now())
