"""What the listener refused: it must be sent again, and a person is told so until it has arrived."""

from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from dicom.inbox import Refused
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.tables import instance, refusal

_NAMED = 5
"""So many series are named in an alert."""


def record_refusal(connection: Connection, refused: Refused, *, at: datetime) -> None:
    """Remember an instance until it arrives; the same one refused again is remembered once."""
    r, caller = refusal.c, refused.caller
    is_open = (r.sop_uid == refused.sop_uid) & (r.calling_ae == caller.calling_ae) & r.arrived_at.is_(None)
    if connection.execute(update(refusal).where(is_open).values(at=at, status=refused.status)).rowcount == 0:
        connection.execute(
            insert(refusal).values(
                sop_uid=refused.sop_uid,
                study_uid=refused.study_uid,
                series_uid=refused.series_uid,
                series_number=refused.series_number,
                calling_ae=caller.calling_ae,
                called_ae=caller.called_ae,
                status=refused.status,
                at=at,
            )
        )
    _tell(connection, refused.study_uid, caller.calling_ae, at)


def record_returns(connection: Connection, *, at: datetime) -> None:
    """Take note of what is here by now, whoever sent it, and end the alert where nothing is missing any more."""
    r = refusal.c
    is_back = r.arrived_at.is_(None) & exists().where(instance.c.sop_uid == r.sop_uid)
    found = connection.execute(select(r.study_uid, r.calling_ae).where(is_back).distinct()).all()
    if found:
        connection.execute(update(refusal).where(is_back).values(arrived_at=at))
    for row in found:
        _tell(connection, row.study_uid, row.calling_ae, at)


def _tell(connection: Connection, study_uid: str | None, calling_ae: str, at: datetime) -> None:
    r = refusal.c
    missing = (r.study_uid.is_not_distinct_from(study_uid)) & (r.calling_ae == calling_ae) & r.arrived_at.is_(None)
    by_series = select(r.series_uid, func.max(r.series_number).label("number"), func.count().label("images"))
    rows = connection.execute(by_series.where(missing).group_by(r.series_uid).order_by("number")).all()
    key = f"resend:{calling_ae}:{study_uid or 'unknown'}"
    if not rows:
        clear_alert(connection, key=key, at=at)
        return
    named = [f"{row.series_uid or 'unknown'} (number {row.number}, {row.images} images)" for row in rows[:_NAMED]]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    number = sum(row.images for row in rows)
    text = (
        f"{number} DICOM objects that {calling_ae} sent were refused and are not here. Send them again from there: "
        f"study {study_uid or 'unknown'}, series {', '.join(named)}{more}. This ends once they have arrived."
    )
    raise_alert(connection, key=key, severity="critical", text=text, at=at)
