"""What the listener received: instances with their series and study, and the deliveries they begin or re-open."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, and_, bindparam, insert, literal, or_, select, update

from dicom.evidence.serial import serial_of_series
from dicom.join import index_keys
from dicom.records import Instance, Series, Study
from kspace.clock import Clock
from kspace.errors import SpoolError
from transfer.catalog import documents, tables
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, clear_alert, note, raise_alert
from transfer.routing import Target
from transfer.states import CaptureState, DeliveryState

_REMEMBERED = 100_000
_I = tables.instance.c
_OF_UIDS = _I.sop_uid.in_(bindparam("uids", expanding=True))
_KNOWN = select(_I.id, _I.sop_uid, _I.sha256, _I.freed_at).where(_OF_UIDS).with_for_update()
_NEW = insert(tables.instance)
"""Made once: they are executed for every image. What is known is locked: it may be about to be freed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One instance that lies durable on this machine's disk."""

    study: Study
    series: Series
    instance: Instance
    path: Path
    size: int
    sha256: str
    called_ae: str
    calling_ae: str

    @property
    def series_as_seen(self) -> Series:
        """Return the series as far as this instance shows it."""
        return replace(self.series, sop_uids=frozenset({self.instance.sop_uid}), ticks=frozenset(self.instance.ticks))


class Seen(StrEnum):
    """Whether the catalog knew the instance."""

    NEW = "new"
    SAME = "same"
    """The same bytes were received before."""
    OTHER_BYTES = "other bytes"
    """Its SOP Instance UID is known with other bytes: both are kept."""


class Memory:
    """What is known to be in the catalog, so that the next image of a series need not ask for it again."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], tuple[int, int]] = {}
        """Ids of study and series by their UIDs."""
        self.rows: set[tuple[object, ...]] = set()
        """Rows that once written stay."""
        self.touched: dict[int, datetime] = {}
        """When a study was last said to have grown."""

    def forget(self) -> None:
        """Know nothing any more: what was to be written may not have been."""
        self.series.clear()
        self.rows.clear()
        self.touched.clear()


def record_arrivals(  # noqa: PLR0913 -- the facts of arrivals
    database: Database,
    arrivals: Sequence[tuple[Arrival, Iterable[Target]]],
    *,
    machine: str,
    clock: Clock,
    quiet_s: float,
    memory: Memory | None = None,
) -> list[Seen]:
    """Write instances with where they go, all or none, and return once that is durable.

    Their studies' deliveries are due when they have been quiet, to within a second where ``memory`` is given: with it
    a study that has just grown is not said to have grown by each image.
    """
    known = memory or Memory()
    if len(known.rows) > _REMEMBERED:
        known.forget()
    try:
        with database.write() as connection:
            filing = _Filing(database, connection, known, machine=machine, at=clock.now(), quiet_s=quiet_s)
            seen = filing.arrive(arrivals)
    except BaseException:
        known.forget()
        raise
    return seen


class _Filing:
    """One transaction's writing."""

    def __init__(  # noqa: PLR0913 -- what all of it shares
        self,
        database: Database,
        connection: Connection,
        memory: Memory,
        *,
        machine: str,
        at: datetime,
        quiet_s: float,
    ) -> None:
        self._database = database
        self._connection = connection
        self._memory = memory
        self._machine = machine
        self._at = at
        self._due_at = at + timedelta(seconds=quiet_s)
        self._enough = timedelta(seconds=min(1.0, quiet_s / 2))
        """A delivery that was put off so shortly ago cannot have begun meanwhile."""

    def arrive(self, arrivals: Sequence[tuple[Arrival, Iterable[Target]]]) -> list[Seen]:
        """Write all of them with one statement a table: what several associations bring costs little more than one."""
        placed = [(arrival, *self._ids(arrival)) for arrival, _ in arrivals]
        self._index([(arrival.series_as_seen, series_id) for arrival, _, series_id in placed])
        found = _instances(self._connection, [(arrival, series_id) for arrival, _, series_id in placed], self._at)
        for (arrival, study_id, _), (_, targets), seen in zip(placed, arrivals, found, strict=True):
            begun = [self._begin(study_id, target) for target in targets]  # also of what was here: its route may be new
            if seen is not Seen.SAME and (any(begun) or self._is_news(study_id)):
                s = tables.study.c
                self._connection.execute(update(tables.study).where(s.id == study_id).values(last_arrival_at=self._at))
                _reopen(self._connection, study_id, self._at, self._due_at)
                _wake_captures(self._connection, serial_of_series(arrival.series), at=self._at, due_at=self._due_at)
        return found

    def _ids(self, arrival: Arrival) -> tuple[int, int]:
        name = (arrival.study.study_uid, arrival.series.series_uid)
        if name not in self._memory.series:
            study_id = _study(self._database, self._connection, arrival, self._at)
            self._memory.series[name] = study_id, _series(self._database, self._connection, arrival, study_id)
        return self._memory.series[name]

    def _is_news(self, study_id: int) -> bool:
        last = self._memory.touched.get(study_id)
        if last is not None and last <= self._at < last + self._enough:
            return False
        self._memory.touched[study_id] = self._at
        return True

    def _index(self, seen: Iterable[tuple[Series, int]]) -> None:
        keys, ticks = [], []
        for series, series_id in seen:
            keys += [{"key": key, "series_id": series_id} for key in index_keys(series)]
            ticks += [{"series_id": series_id, "tick": tick} for tick in series.ticks]
        for table, rows in ((tables.series_key, keys), (tables.series_tick, ticks)):
            new = {name: row for row in rows if (name := (table.name, *row.values())) not in self._memory.rows}
            if new:
                self._database.insert_new(self._connection, table, *new.values())
                self._memory.rows.update(new)

    def _begin(self, study_id: int, target: Target) -> bool:
        name = ("way", study_id, target.destination, target.is_raw_only)
        if name in self._memory.rows:
            return False
        _delivery(self._database, self._connection, study_id, target, self._machine, self._at, self._due_at)
        self._memory.rows.add(name)
        return True


def route_again(
    database: Database, find: Callable[[Study, str, str], Iterable[Target]], *, machine: str, at: datetime
) -> int:
    """Begin deliveries of the studies on this machine that no route fitted when they came; return of how many.

    ``find`` is given the study, the called and the calling AE title.
    """
    s, d, t, i = tables.study.c, tables.delivery.c, tables.target.c, tables.instance.c
    routed, waiting = 0, set()
    with database.write() as connection:
        unrouted = select(tables.study).where(
            s.id.not_in(select(d.study_id).where(d.kind == "dicom").union(select(t.study_id)))
        )
        for row in connection.execute(unrouted).mappings().all():
            of_study = select(i.path).join(tables.series).where(tables.series.c.study_id == row["id"]).limit(1)
            path = connection.execute(of_study).scalar()
            found = list(find(documents.to_study(row["document"]), row["called_ae"], row["calling_ae"]))
            if path is None or not found or not Path(path).exists():
                waiting.add(row["called_ae"])
                continue
            routed += 1
            for target in found:
                _delivery(database, connection, row["id"], target, machine, at, at)
            if row["called_ae"] not in waiting:
                clear_alert(connection, key=f"route:{row['called_ae']}", at=at)
    return routed


def _study(database: Database, connection: Connection, arrival: Arrival, at: datetime) -> int:
    s = tables.study.c
    database.insert_new(
        connection,
        tables.study,
        {
            "study_uid": arrival.study.study_uid,
            "called_ae": arrival.called_ae,
            "calling_ae": arrival.calling_ae,
            "first_arrival_at": at,
            "last_arrival_at": at,
            "document": documents.to_document(arrival.study),
        },
    )
    of_this = s.study_uid == arrival.study.study_uid
    return int(connection.execute(select(s.id).where(of_this)).scalar_one())


def _series(database: Database, connection: Connection, arrival: Arrival, study_id: int) -> int:
    s = tables.series.c
    database.insert_new(
        connection,
        tables.series,
        {
            "study_id": study_id,
            "series_uid": arrival.series.series_uid,
            "number": arrival.series.number,
            "protocol": arrival.series.protocol,
            "serial": serial_of_series(arrival.series),
            "document": documents.to_document(arrival.series),
            "told": documents.to_document(arrival.study),
            "called_ae": arrival.called_ae,
            "calling_ae": arrival.calling_ae,
        },
    )
    series_id = connection.execute(select(s.id).where(s.series_uid == arrival.series.series_uid)).scalar_one()
    return int(series_id)


def _instances(connection: Connection, arrivals: Sequence[tuple[Arrival, int]], at: datetime) -> list[Seen]:
    known: defaultdict[str, dict[str, int | None]] = defaultdict(dict)
    """Of each UID what is known by its digest; the id where it was freed."""
    for row in connection.execute(_KNOWN, {"uids": [arrival.instance.sop_uid for arrival, _ in arrivals]}):
        known[row.sop_uid][row.sha256] = row.id if row.freed_at else None
    found, new = [], []
    for arrival, series_id in arrivals:
        same = known[arrival.instance.sop_uid]
        if arrival.sha256 not in same:
            found.append(Seen.OTHER_BYTES if same else Seen.NEW)
            new.append(_row(arrival, series_id, at))
        elif (freed := same[arrival.sha256]) is not None:
            _return(connection, freed, arrival, at)
            found.append(Seen.NEW)
        else:
            found.append(Seen.SAME)
        if found[-1] is Seen.OTHER_BYTES:
            _tell_of_other_bytes(connection, arrival, at)
        same[arrival.sha256] = None
    if new:
        connection.execute(_NEW, new)
    return found


def _row(arrival: Arrival, series_id: int, at: datetime) -> dict[str, object]:
    return {
        "series_id": series_id,
        "sop_uid": arrival.instance.sop_uid,
        "sha256": arrival.sha256,
        "size": arrival.size,
        "path": str(arrival.path),
        "received_at": at,
        "document": documents.to_document(arrival.instance),
    }


def _return(connection: Connection, instance_id: int, arrival: Arrival, at: datetime) -> None:
    """Take what was freed and lies here again: it is looked for in the archive once more before it may go again."""
    if not arrival.path.exists():  # freed between its arrival and now
        raise SpoolError("A received image was freed as it came again; it was not taken. Send it once more.")
    again = {"freed_at": None, "received_at": at, "path": str(arrival.path)}
    connection.execute(update(tables.instance).where(tables.instance.c.id == instance_id).values(again))


def _tell_of_other_bytes(connection: Connection, arrival: Arrival, at: datetime) -> None:
    raise_alert(
        connection,
        key=f"instance:{arrival.instance.sop_uid}",
        severity="warning",
        text="An image came twice under one SOP Instance UID with other bytes. Both are kept; the first is delivered. "
        "See on the scanner which of the two is meant.",
        at=at,
    )


def _reopen(connection: Connection, study_id: int, at: datetime, due_at: datetime) -> None:
    """Let what came late be delivered too; what is held goes there as well once a person lets it go."""
    d = tables.delivery.c
    of_study = select(d.id, d.state).where(d.kind == "dicom", d.study_id == study_id)
    for row in connection.execute(of_study).all():
        values: dict[str, object] = {"due_at": due_at}
        if row.state == DeliveryState.HELD:
            values = {"held_from": DeliveryState.QUEUED}
        elif row.state != DeliveryState.QUEUED:
            values |= {"state": DeliveryState.QUEUED, "since_at": at, "reason": "More images arrived."}
            note(
                connection,
                at=at,
                actor=RELAY,
                subject="delivery",
                subject_id=row.id,
                verb="delivery.reopened",
                before=row.state,
                after=DeliveryState.QUEUED,
                detail="more images arrived",
            )
        connection.execute(update(tables.delivery).where(d.id == row.id).values(values))


def _delivery(  # noqa: PLR0913, PLR0917 -- the columns of a new row
    database: Database,
    connection: Connection,
    study_id: int,
    target: Target,
    machine: str,
    at: datetime,
    due_at: datetime,
) -> None:
    """Begin the delivery of the study's images; where none are taken, note that its raw data go there."""
    if target.is_raw_only:
        way = {"study_id": study_id, "destination": target.destination, "project": target.project}
        database.insert_new(connection, tables.target, way)
        return
    database.insert_new(
        connection,
        tables.delivery,
        {
            "kind": "dicom",
            "study_id": study_id,
            "destination": target.destination,
            "project": target.project,
            "subject": target.subject,
            "session": target.session,
            "state": DeliveryState.QUEUED,
            "since_at": at,
            "due_at": due_at,
            "machine": machine,
            "lane": f"{target.destination}/{study_id}",
        },
    )


def _wake_captures(connection: Connection, serial: str | None, *, at: datetime, due_at: datetime) -> None:
    """New evidence re-opens the question for every capture without a series that the scanner does not rule out."""
    c, m = tables.capture.c, tables.measurement.c
    may_be = literal(True) if serial is None else or_(m.serial == serial, m.serial.is_(None))
    of_scanner = c.id.in_(select(m.capture_id).where(may_be))
    connection.execute(update(tables.capture).where(of_scanner, c.state == CaptureState.PACKED).values(due_at=due_at))
    held = and_(of_scanner, c.state == CaptureState.HELD, c.held_code == "join")
    for capture_id in connection.execute(select(c.id).where(held)).scalars().all():
        connection.execute(
            update(tables.capture)
            .where(c.id == capture_id)
            .values(state=CaptureState.PACKED, due_at=due_at, held_from=None, held_code=None)
        )
        clear_alert(connection, key=f"capture:{capture_id}", at=at)
        note(
            connection,
            at=at,
            actor=RELAY,
            subject="capture",
            subject_id=capture_id,
            verb="capture.reopened",
            before=CaptureState.HELD,
            after=CaptureState.PACKED,
            detail="new DICOM arrived",
        )
