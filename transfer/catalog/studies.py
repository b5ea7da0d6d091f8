"""Received studies, series by series: how many images were expected, came, and are proved to be in an archive."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, desc, func, select

from kspace.errors import NotFound
from transfer.catalog import tables
from transfer.states import DeliveryState

Row = dict[str, Any]
_EARLIER_RUNS = 20
_ENOUGH_RUNS = 2
_ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4")
"""Many frames in one instance, so that the header's count of images says nothing of instances."""


def studies(connection: Connection, *, limit: int = 50, ids: Collection[int] | None = None) -> list[Row]:
    """Return studies, the ones that grew last first, with their series and where they go; of these ids where given."""
    s = tables.study.c
    query = select(s.id, s.called_ae, s.calling_ae, s.first_arrival_at, s.last_arrival_at, s.document)
    query = query.order_by(desc(s.last_arrival_at), desc(s.id)).limit(limit)
    rows = connection.execute(query if ids is None else query.where(s.id.in_(ids))).mappings().all()
    return [_study(connection, row) for row in rows]


def study(connection: Connection, name: str) -> Row:
    """Return one study by its number (``t3``), with what happened to its deliveries.

    Raises:
        NotFound: there is no such study.
    """
    number = name.removeprefix("t")
    found = studies(connection, ids=[int(number)]) if number.isdecimal() and len(number) < 10 else []
    if not found:
        raise NotFound(f"There is no study {name!r}; `kspace study` lists those there are.")
    v = tables.event.c
    of_these = (v.subject == "delivery") & v.subject_id.in_([d["id"] for d in found[0]["deliveries"]])
    of_these |= (v.subject == "study") & (v.subject_id == found[0]["id"])
    columns = (v.at, v.actor, v.subject, v.subject_id, v.verb, v.before, v.after, v.detail)
    events = select(*columns).where(of_these).order_by(v.id)
    return {**found[0], "events": [dict(row) for row in connection.execute(events).mappings()]}


def _study(connection: Connection, row: RowMapping) -> Row:
    d = tables.delivery.c
    columns = [d.id, d.destination, d.project, d.subject, d.session, d.state, d.held_code, d.reason, d.since_at]
    columns += [d.place, d.former_places, d.experiment, d.verified_at, d.imported, d.refused, d.assigned_by, d.lacking]
    query = select(*columns).where(d.kind == "dicom", d.study_id == row["id"]).order_by(d.id)
    deliveries = [dict(one) for one in connection.execute(query).mappings()]
    t = tables.target.c
    raw_only = connection.execute(select(t.destination, t.project).where(t.study_id == row["id"])).mappings().all()
    series = [_series(connection, one, deliveries) for one in _series_rows(connection, row["id"])]
    for one in deliveries:
        del one["imported"], one["refused"], one["lacking"]
    return {
        "study": f"t{row['id']}",
        "id": row["id"],
        "date": row["document"]["date"],
        "called_ae": row["called_ae"],
        "calling_ae": row["calling_ae"],
        "first_arrival_at": row["first_arrival_at"],
        "last_arrival_at": row["last_arrival_at"],
        "received": sum(one["received"] for one in series),
        "unwanted": _unwanted(series),
        "short": [one["number"] for one in series if one["short"]],
        "deliveries": deliveries,
        "raw_only": [dict(one) for one in raw_only],
        "series": series,
    }


def _unwanted(series: Sequence[Row]) -> Row:
    """Return what lies here that no archive takes."""
    since = [one["unwanted"]["since"] for one in series if one["unwanted"]["images"]]
    total = {key: sum(one["unwanted"][key] for one in series) for key in ("images", "bytes")}
    return {**total, "since": min(since, default=None)}


def _series_rows(connection: Connection, study_id: int) -> Sequence[RowMapping]:
    s = tables.series.c
    query = select(s.id, s.series_uid, s.number, s.protocol, s.serial, s.document).where(s.study_id == study_id)
    return connection.execute(query.order_by(s.number, s.id)).mappings().all()


def _series(connection: Connection, row: RowMapping, deliveries: list[Row]) -> Row:
    i = tables.instance.c
    query = select(i.id, i.sop_uid, i.received_at, i.freed_at, i.size, i.document).where(i.series_id == row["id"])
    all_of_it = connection.execute(query.order_by(i.id)).all()
    first = {one.sop_uid: one for one in reversed(all_of_it)}
    came = sorted(first.values(), key=lambda one: one.id)
    expected, why = _expected(connection, row, [one.document for one in came])
    archived = {one["destination"]: _archived(row["series_uid"], came, one) for one in deliveries}
    lacking = {one["destination"]: sum(c.id in (one["lacking"] or ()) for c in came) for one in deliveries}
    refused = {
        one["destination"]: sum(c.id <= (one["refused"] or {}).get(row["series_uid"], 0) for c in came)
        for one in deliveries
    }
    return {
        "series_uid": row["series_uid"],
        "number": row["number"],
        "protocol": row["protocol"],
        "description": row["document"]["description"],
        "expected": expected,
        "why": why,
        "received": len(came),
        "short": max(0, (expected or 0) - len(came)),
        "other_bytes": len(all_of_it) - len(came),
        "freed": sum(one.freed_at is not None for one in came),
        "bytes": sum(one.size for one in came),
        "unwanted": _left_here(row["series_uid"], all_of_it, {one.id for one in came}, deliveries),
        "archived": archived,
        "refused": refused,
        "lacking": lacking,
        "filtered": {  # a delivery is verified when all else of it was sent
            name: len(came) - archived[name] - refused[name] - lacking[name]
            for name in (one["destination"] for one in deliveries if one["state"] == DeliveryState.VERIFIED)
        },
    }


def _left_here(series_uid: str, all_of_it: Sequence[Any], firsts: Collection[int], deliveries: Sequence[Row]) -> Row:
    """Return what no archive takes of a series: what a filter, an archive or a person left out, and second bytes."""
    is_settled = all(d["state"] == DeliveryState.VERIFIED or d["held_code"] == "filtered" for d in deliveries)
    sent = min(((d["imported"] or {}).get(series_uid, 0) for d in deliveries), default=0)
    lacking = {each for one in deliveries for each in one["lacking"] or ()}
    left = [one for one in all_of_it if one.id > sent or one.id in lacking or one.id not in firsts]
    left = [one for one in left if one.freed_at is None] if deliveries and is_settled else []
    since = min((one.received_at for one in left), default=None)
    return {"images": len(left), "bytes": sum(one.size for one in left), "since": since}


def _archived(series_uid: str, came: Sequence[Any], delivery: Row) -> int:
    """Return how many of a series an archive was last seen to hold."""
    if delivery["verified_at"] is None:
        return 0
    last = (delivery["imported"] or {}).get(series_uid, 0)
    lacking = delivery["lacking"] or ()
    return sum(c.id <= last and c.id not in lacking and c.received_at <= delivery["verified_at"] for c in came)


def _expected(connection: Connection, row: RowMapping, came: Sequence[Row]) -> tuple[int | None, str]:
    """Return how many images a series should have, and how that is known; None where nothing tells.

    Three things tell: the highest InstanceNumber (0020,0013), for scanners count from 1; ImagesInAcquisition
    (0020,1002), for a series has at least one acquisition; and earlier runs of the same protocol on the same scanner,
    where all of them had one and the same number.
    """
    told: list[tuple[int, str]] = []
    numbers = [one["number"] for one in came if one.get("number") is not None]
    if numbers and len(numbers) == len(set(numbers)):
        told.append((max(numbers), "highest instance number (0020,0013)"))
    in_acquisition = row["document"].get("images_in_acquisition")
    if in_acquisition and not any(one["sop_class"] in _ENHANCED for one in came):
        told.append((in_acquisition, "images in acquisition (0020,1002)"))
    if (usual := _usual(connection, row)) is not None:
        told.append((usual, "earlier runs of this protocol on this scanner"))
    return max(told, key=lambda one: one[0], default=(None, ""))


def _usual(connection: Connection, row: RowMapping) -> int | None:
    s, i = tables.series.c, tables.instance.c
    if row["protocol"] is None or row["serial"] is None:
        return None
    same = (s.serial == row["serial"]) & (s.protocol == row["protocol"]) & (s.id < row["id"])
    last = select(s.id).where(same).order_by(desc(s.id)).limit(_EARLIER_RUNS).subquery()
    query = select(s.document, func.count(i.sop_uid.distinct()).label("images")).join(tables.instance)
    earlier = connection.execute(query.where(s.id.in_(select(last.c.id))).group_by(s.id)).all()
    kind = ("description", "image_type", "software")
    mine = [row["document"].get(key) for key in kind]
    counts = Counter(one.images for one in earlier if [one.document.get(key) for key in kind] == mine)
    return int(next(iter(counts))) if len(counts) == 1 and counts.total() >= _ENOUGH_RUNS else None
