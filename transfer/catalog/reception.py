"""Trouble with the DICOM port that ends by itself: callers turned away, processes that broke off; said for a day."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from dicom.inbox import Caller
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.tables import alert

_FOR = timedelta(days=1)


def tell_turned_away(connection: Connection, caller: Caller, why: str, number: int, *, at: datetime) -> None:
    """Raise the alert that associations from an address are refused: so many at least, for one reason."""
    text = (
        f"{number} associations or more from {caller.peer} were refused: {why}. The last one was {caller.calling_ae} "
        f"calling {caller.called_ae}. If it is to send here, see [[dicom]] in the configuration. This ends a day "
        "after it was said."
    )
    raise_alert(connection, key=f"away:{caller.peer}:{why}"[:200], severity="warning", text=text, at=at)


def tell_lost(connection: Connection, ae_title: str, reason: str, *, was_alive: bool, at: datetime) -> None:
    """Raise the alert that a process receiving for an AE title is gone, or could not even begin."""
    text = f"A process that receives DICOM for {ae_title} broke off: {reason}. Nothing that was answered with Success "
    text += "is lost; look on the sender whether it sent the rest again. "
    if not was_alive:
        text = f"DICOM for {ae_title} cannot be received: the process for it does not begin ({reason}). Nothing that "
        text += "was answered with Success is lost. See the relay's log, and the certificate and key in [[dicom]]. "
    text += "This ends a day after it was said."
    severity = "warning" if was_alive else "critical"
    raise_alert(connection, key=f"away:process:{ae_title}", severity=severity, text=text, at=at)


def forget_trouble(connection: Connection, *, at: datetime) -> None:
    """End what was said a day ago; who is still refused is told of anew."""
    is_old = alert.c.key.startswith("away:") & alert.c.cleared_at.is_(None) & (alert.c.raised_at < at - _FOR)
    for key in connection.execute(select(alert.c.key).where(is_old)).scalars().all():
        clear_alert(connection, key=key, at=at)
