"""The copies of a capture that archives proved to hold, by their receipts: also those it was moved away from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from kspace.records import Part
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.states import CaptureState

Row = dict[str, Any]
_MD5_DIGITS = 32
_AT_REST = {CaptureState.DELIVERED, CaptureState.RETIRED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What an archive proved to hold at one place, whole: its parts, joined, are the packed file."""

    delivery_id: int
    destination: str
    place: str
    folder: str
    parts: tuple[Part, ...]
    """By the names that they have at the place; without an MD5 where the archive proved them in another way."""


def copies_of(database: Database, capture_id: int) -> list[Copy]:
    """Return a capture's copies, that of the newest receipt first, each place once."""
    d, r = tables.delivery.c, tables.receipt.c
    query = select(d.id, d.destination, r.document).join(tables.receipt).where(d.capture_id == capture_id)
    with database.read() as connection:
        rows = connection.execute(query.order_by(r.id.desc())).mappings().all()
    found: dict[tuple[str, str], Copy] = {}
    for copy in map(_copy, rows):
        found.setdefault((copy.destination, copy.place), copy)
    return list(found.values())


def former_copies(connection: Connection, capture_ids: Sequence[int]) -> dict[int, list[Row]]:
    """Return for each capture where it lay before: ``destination``, ``place``, and ``is_watched``.

    An old copy is watched until every new place is verified; from then on its owner may remove it.
    """
    d, c = tables.delivery.c, tables.capture.c
    columns = (d.capture_id, d.destination, d.place, d.former_places, c.state)
    query = select(*columns).join(tables.capture).where(d.capture_id.in_(capture_ids), d.former_places.is_not(None))
    found: dict[int, list[Row]] = {}
    for row in connection.execute(query.order_by(d.id)):
        places = [place for place in dict.fromkeys(row.former_places or ()) if place != row.place]
        copies = [{"destination": row.destination, "place": p, "is_watched": row.state not in _AT_REST} for p in places]
        found.setdefault(row.capture_id, []).extend(copies)
    return found


def _copy(row: RowMapping) -> Copy:
    said = json.loads(row["document"])["receipt"]
    parts, offset = [], 0
    for number, (name, file) in enumerate(sorted((n, f) for n, f in said["files"].items() if "size" in f), start=1):
        md5 = file["digest"] if len(file["digest"]) == _MD5_DIGITS else ""
        sha256 = file["sha256"]
        parts.append(Part(number=number, name=name, offset=offset, size=file["size"], md5=md5, sha256=sha256))
        offset += file["size"]
    return Copy(
        delivery_id=row["id"],
        destination=row["destination"],
        place=said["place"],
        folder=said["folder"],
        parts=tuple(parts),
    )
