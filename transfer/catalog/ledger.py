"""The session ledger: what the scanner showed, what came as images, what the archives proved, side by side."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, delete, desc, func, insert, or_, select, true

from kspace.errors import NotFound
from kspace.records import Measurement
from kspace.sources.settings import Scope
from transfer.catalog import documents, tables
from transfer.catalog.copies import former_copies
from transfer.catalog.database import Database
from transfer.catalog.dependencies import dependencies_of
from transfer.catalog.exported import not_exported
from transfer.catalog.judging import judge
from transfer.catalog.latest import counts
from transfer.catalog.lying import tell_time_left
from transfer.catalog.matching import BY_HAND
from transfer.catalog.notices import in_doubt
from transfer.standing import RawFacts, Standing, badge, standing_of_images, standing_of_raw
from transfer.states import CaptureState, DeliveryState

Row = dict[str, Any]
_PLACED_WITHIN = timedelta(days=30)
"""Images of a measurement come within hours; what nothing came for in this time is not looked at for ever."""


_AT_ONCE = 200
"""Sessions asked for in one query: a database takes only so many values."""


def place(database: Database, *, now: datetime, since: datetime) -> int:
    """Say of the files that were not joined which session they are of; return of how many.

    Files without one are looked at while they are new, and again whenever images arrived after ``since``.
    """
    c, f, m, b = tables.capture.c, tables.source_file.c, tables.measurement.c, tables.belonging.c
    joined = select(tables.match.c.capture_id).where(tables.match.c.undone_at.is_(None))
    query = (
        select(c.id, m.document)
        .join(tables.source_file)
        .join(tables.measurement)
        .where(f.first_seen_at > now - _PLACED_WITHIN, c.id.not_in(joined), c.id.not_in(select(b.capture_id)))
        .order_by(c.id, m.number)
    )
    with database.read() as connection:
        grown = select(func.max(tables.study.c.last_arrival_at))
        last: datetime | None = connection.execute(grown).scalar()
        if last is None or last < since:
            query = query.where(c.since_at > since)
        last_of_each = {row.id: documents.to_measurement(row.document) for row in connection.execute(query)}
    placed = 0
    for capture_id, measurement in last_of_each.items():
        decision = judge(database, measurement)
        if decision.study_uid is None:
            continue
        with database.write() as connection:
            study_id = select(tables.study.c.id).where(tables.study.c.study_uid == decision.study_uid)
            connection.execute(delete(tables.belonging).where(b.capture_id == capture_id))
            values = {"capture_id": capture_id, "study_id": connection.execute(study_id).scalar_one()}
            connection.execute(insert(tables.belonging).values(values))
        placed += 1
    return placed


def sessions(connection: Connection, *, now: datetime, project: str | None = None, limit: int = 50) -> list[Row]:
    """Return the sessions that grew last, each with its badge and counts; of one project where given."""
    s, d, t = tables.study.c, tables.delivery.c, tables.target.c
    query = select(s.id).order_by(desc(s.last_arrival_at), desc(s.id)).limit(limit)
    if project is not None:
        of_project = select(d.study_id).where(d.kind == "dicom", d.project == project)
        query = query.where(s.id.in_(of_project.union(select(t.study_id).where(t.project == project))))
    ids = connection.execute(query).scalars().all()
    return of_studies(connection, ids, now=now)


def of_studies(connection: Connection, ids: Sequence[int], *, now: datetime) -> list[Row]:
    """Return the sessions of these studies, in this order, each with its badge and counts."""
    runs = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    return [row for run in runs for row in _sessions(connection, run, now)]


def session(connection: Connection, label: str, *, now: datetime) -> list[Row]:
    """Return every session of this label (or of this id in an archive), with its measurements and series.

    Raises:
        NotFound: there is none.
    """
    s, d = tables.study.c, tables.delivery.c
    named = or_(d.session == label, d.experiment == label)
    ids = connection.execute(select(s.id).join(tables.delivery).where(named).distinct().order_by(s.id)).scalars().all()
    if not ids:
        raise NotFound(f"There is no session {label!r}; `kspace sessions` lists those there are.")
    return in_full(connection, ids, now=now)


def in_full(connection: Connection, ids: Sequence[int], *, now: datetime) -> list[Row]:
    """Return the sessions of these studies, with their measurements and series."""
    found = of_studies(connection, ids, now=now)
    for row in found:
        row["series"] = _series(connection, row["study_id"])
        of_series = {one["series_uid"]: one["number"] for one in row["series"]}
        row["measurements"] = _measurements(connection, row.pop("raw"), of_series)
    return found


def homeless(connection: Connection, *, now: datetime, machine: str | None = None) -> Row:
    """Return how the raw files stand that no session of images is known for, wanted or not; of one machine where given.

    ``kept`` counts those in the spool, with their bytes there; ``oldest_at`` is when the first of them was seen.
    """
    c = tables.capture.c
    joined = select(tables.match.c.capture_id).where(tables.match.c.undone_at.is_(None))
    placed = select(tables.belonging.c.capture_id)
    ours = or_(c.machine.is_(None), c.machine == machine) if machine else true()
    raw = _raw(connection, c.id.not_in(joined), c.id.not_in(placed), ours, study=None, now=now)
    standing, counts = badge(one["standing"] for one in raw)
    for one in raw:
        one["doubt"] = one.pop("text")
    kept = [one for one in raw if one["is_packed"] and one["standing"] is not Standing.NOT_WANTED]
    return {
        "badge": standing,
        "counts": counts,
        "raw": raw,
        "kept": len(kept),
        "kept_bytes": sum(one["stored_bytes"] for one in kept),
        "oldest_at": min((one["first_seen_at"] for one in kept), default=None),
    }


def _sessions(connection: Connection, ids: Sequence[int], now: datetime) -> list[Row]:
    s, d, i = tables.study.c, tables.delivery.c, tables.instance.c
    study_of = case((tables.match.c.study_id.is_not(None), tables.match.c.study_id), else_=tables.belonging.c.study_id)
    # Asked for by an index first: a condition on what two tables tell looks at every capture there is.
    joined = select(tables.match.c.capture_id).where(tables.match.c.study_id.in_(ids))
    placed = select(tables.belonging.c.capture_id).where(tables.belonging.c.study_id.in_(ids))
    mine = tables.capture.c.id.in_(joined.union(placed))
    raw = _raw(connection, mine, study_of.in_(ids), study=study_of, now=now)
    dicom = select(d.study_id, d.destination, d.project, d.session, d.experiment, d.state, d.reason)
    images = _by_study(connection.execute(dicom.where(d.kind == "dicom", d.study_id.in_(ids))).mappings())
    files = _by_study(raw)
    received = (
        select(tables.series.c.study_id, func.count(tables.series.c.id.distinct()), func.count(i.id))
        .outerjoin(tables.instance)
        .where(tables.series.c.study_id.in_(ids))
        .group_by(tables.series.c.study_id)
    )
    came = {study: (series, instances) for study, series, instances in connection.execute(received)}
    studies = {r.id: r for r in connection.execute(select(s.id, s.study_uid, s.document).where(s.id.in_(ids)))}
    lacking = defaultdict(list)
    for one in not_exported(connection, ids):
        lacking[one.study_id].append(one.series_uid)
    return [
        _session(studies[study], files[study], images[study], came.get(study, (0, 0)), lacking[study]) for study in ids
    ]


def _by_study(rows: Iterable[Any]) -> defaultdict[int, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row["study_id"]].append(dict(row))
    return found


def _session(
    study: Any,  # noqa: ANN401 -- a row
    mine: list[Row],
    sent: list[Row],
    received: tuple[int, int],
    lacking: list[str],
) -> Row:
    of_images = standing_of_images([DeliveryState(one["state"]) for one in sent])
    exported = [Standing.AS_EXPORTED] if lacking else []
    standing, _ = badge([of_images, *(one["standing"] for one in mine), *exported])
    return {
        "study_id": study.id,
        "study_uid": study.study_uid,
        "date": study.document["date"],
        "sessions": [
            {k: one[k] for k in ("destination", "project", "session", "experiment", "state", "reason")} for one in sent
        ],
        "badge": Standing.COMPLETE if standing is Standing.NOT_WANTED else standing,
        "images": of_images,
        "series_received": received[0],
        "instances_received": received[1],
        "not_exported": lacking,
        "counts": badge(one["standing"] for one in mine)[1],
        "raw": mine,
    }


def _raw(
    connection: Connection, *where: ColumnElement[bool], study: ColumnElement[int] | None, now: datetime
) -> list[Row]:
    """Return raw files with how each stands; ``study`` is the column that tells whose they are."""
    c, f, d = tables.capture.c, tables.source_file.c, tables.delivery.c
    columns = [c.id, c.state, c.reason, c.held_code, c.failures, c.manifest.is_not(None).label("is_packed"), c.sha256]
    columns += [
        c.stored_bytes,
        f.scanner,
        f.scope,
        f.path,
        f.size,
        f.gone_at,
        f.first_seen_at,
        f.mtime_ns,
        tables.match.c.series_uid,
        tables.match.c.series_uids,
        case((tables.match.c.certainty == BY_HAND, tables.match.c.actor)).label("linked_by"),
        case((tables.match.c.certainty == BY_HAND, tables.match.c.at)).label("linked_at"),
        tables.alert.c.text,
    ]
    query: Select[Any] = (
        select(*columns, *([study.label("study_id")] if study is not None else []))
        .join(tables.source_file)
        .outerjoin(tables.match, (tables.match.c.capture_id == c.id) & counts())
        .outerjoin(tables.belonging)
        .outerjoin(tables.alert, in_doubt(c.id))
        .where(*where)
        .order_by(c.id)
    )
    rows = [dict(row) for row in connection.execute(query).mappings()]
    sent = select(d.capture_id, d.destination, d.state, d.held_code, d.place, d.verified_at, d.reason)
    ids = [row["id"] for row in rows] if study is not None else []  # without a study nothing was planned
    deliveries = defaultdict(list)
    for one in connection.execute(sent.where(d.capture_id.in_(ids))).mappings():
        deliveries[one["capture_id"]].append(dict(one))
    needs, former = dependencies_of(connection, ids), former_copies(connection, ids)
    for row in rows:
        row["former_copies"] = former.get(row["id"], [])
        row["deliveries"] = deliveries[row["id"]]
        row["needs"] = needs.get(row["id"], [])
        row["standing"] = standing_of_raw(_facts(row, row["deliveries"]), now=now)
    tell_time_left(connection, rows, now=now)
    return rows


def _facts(row: Row, sent: Collection[Row]) -> RawFacts:
    return RawFacts(
        state=CaptureState(row["state"]),
        is_packed=row["is_packed"],
        is_gone=row["gone_at"] is not None,
        is_export=row["scope"] == Scope.EXPORTS,
        failures=row["failures"],
        first_seen_at=row["first_seen_at"],
        held_codes=[one["held_code"] for one in (row, *sent) if one["state"] == DeliveryState.HELD],
        is_in_doubt=row["text"] is not None,
        lacks_dependency=any(one["is_wanted"] and one["lacks"] for one in row["needs"]),
    )


def _series(connection: Connection, study_id: int) -> list[Row]:
    s, i = tables.series.c, tables.instance.c
    query = (
        select(s.id, s.series_uid, s.number, s.protocol, s.document, func.count(i.id).label("instances"))
        .outerjoin(tables.instance)
        .where(s.study_id == study_id)
        .group_by(s.id)
        .order_by(s.number, s.id)
    )
    rows = connection.execute(query).all()
    return [
        {
            "id": row.id,
            "series_uid": row.series_uid,
            "number": row.number,
            "protocol": row.protocol,
            "description": row.document["description"],
            "instances": row.instances,
        }
        for row in rows
    ]


def _measurements(connection: Connection, raw: list[Row], of_series: dict[str, int | None]) -> list[Row]:
    m = tables.measurement.c
    query = select(m.capture_id, m.document).where(m.capture_id.in_([one["id"] for one in raw])).order_by(m.number)
    told: dict[int, list[Measurement]] = {}
    for capture_id, document in connection.execute(query):
        told.setdefault(capture_id, []).append(documents.to_measurement(document))
    for one in raw:
        inside = told.get(one["id"], [])
        found = inside[-1] if inside else None
        main, uids = one.pop("series_uid"), one.pop("series_uids")
        one |= {
            "mid": found and found.mid,
            "protocol": found and found.protocol,
            "first_tick": found.ticks[0] if found and found.ticks else None,
            "needs": one["needs"] or _needed_inside(inside),
            "doubt": one.pop("text"),
            "series": of_series.get(main),
            "all_series": [uid for uid in uids or [main] if uid in of_series],
        }
    return sorted(raw, key=lambda one: (one["first_tick"] is None, one["first_tick"], one["mid"] or 0))


def _needed_inside(inside: Sequence[Measurement]) -> str:
    """Return where what a file needs is, as far as it names nothing outside.

    The field is zeroed where a file was exported without what it needs: empty is "unknown", never "nothing".
    """
    needed = set(inside[-1].dependency_mids) if inside else set()
    return "in its own file" if needed and needed <= {m.mid for m in inside} else "unknown"
