"""What the listener refused: it must be sent again, and a person is told so until it has arrived."""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, exists, func, insert, or_, select, update

from dicom.inbox import Caller, Refused, Status
from kspace.paths import sync_folder
from transfer.catalog.database import Database
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.tables import instance, refusal, series

_NAMED = 5
"""So many series are named in an alert."""


def note_refusal(notes: Path, refused: Refused, *, at: datetime) -> None:
    """Append a refusal to the notes, durable, while the catalog cannot take it.

    Raises:
        OSError: the disk does not take it either.
    """
    with notes.open("ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(json.dumps({**asdict(refused), "at": at.isoformat()}).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    sync_folder(notes.parent)


def take_notes(database: Database, notes: Path) -> None:
    """Bring what was noted into the catalog; taken twice, after a crash in between, it is remembered once."""
    if not notes.exists() or not notes.stat().st_size:
        return
    with notes.open("r+b") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        with database.write() as connection:
            for refused, at in _noted(written.read()):
                record_refusal(connection, refused, at=at)
        written.truncate(0)


def _noted(content: bytes) -> Iterator[tuple[Refused, datetime]]:
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):  # else a power cut came before it was whole, and before anybody relied on it
            said = json.loads(line)
            at = datetime.fromisoformat(said.pop("at"))
            said |= {"status": Status(said["status"]), "caller": Caller(*said["caller"])}
            yield Refused(**said), at


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


def record_returns(connection: Connection, *, at: datetime) -> bool:
    """Take note of what is here by now, whoever sent it, end alerts, and return whether anything is missing still."""
    r, s = refusal.c, series.c
    # What named no instance can arrive under no name: it counts as sent again once more of its series came.
    of_sender = (s.calling_ae == r.calling_ae) & (instance.c.received_at > r.at)
    of_sender &= instance.c.series_id == s.id
    of_sender &= or_(r.series_uid.is_(None), s.series_uid == r.series_uid)
    nameless = (r.sop_uid == "") & exists().where(of_sender)
    is_back = r.arrived_at.is_(None) & or_(exists().where(instance.c.sop_uid == r.sop_uid), nameless)
    found = connection.execute(select(r.study_uid, r.calling_ae).where(is_back).distinct()).all()
    if found:
        connection.execute(update(refusal).where(is_back).values(arrived_at=at))
    for row in found:
        _tell(connection, row.study_uid, row.calling_ae, at)
    return connection.execute(select(r.id).where(r.arrived_at.is_(None)).limit(1)).first() is not None


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
