"""What a rule wants and nobody exported: an alert while the scanner may still have it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby

from sqlalchemy import select

from kspace.clock import Clock
from kspace.records import Measurement
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.exported import NotExported, not_exported
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.selection import choose_delivery
from transfer.wishes import Rule

_AFTER = timedelta(minutes=30)
"""Somebody at the console gets so long after a study's last image to export its raw files."""
_FOR = timedelta(days=4)
"""After so long no scanner has them any more; the session's own page still tells."""


def look_for_exports(*, rules: Callable[[], Sequence[Rule]], database: Database, clock: Clock) -> None:
    """Hold an alert open for each study of which a rule wants raw files that were not exported."""
    s, now = tables.study.c, clock.now()
    query = select(s.id).where(s.last_arrival_at.between(now - _FOR, now - _AFTER)).order_by(s.id)
    in_force = rules()
    with database.read() as connection:
        studies = connection.execute(query).scalars().all()
        lacking = [one for one in not_exported(connection, studies) if _is_wanted(one, in_force)]
    of_study = {study_id: list(found) for study_id, found in groupby(lacking, key=lambda one: one.study_id)}
    with database.write() as connection:
        for study_id in studies:
            if found := of_study.get(study_id):
                raise_alert(connection, key=_key(study_id), severity="warning", text=_said(found), at=now)
            else:
                clear_alert(connection, key=_key(study_id), at=now)


def _is_wanted(one: NotExported, rules: Sequence[Rule]) -> bool:
    asked = Measurement(index=0, offset=0, header_bytes=0, baseline="", protocol=one.protocol)
    return any(choose_delivery(rules, asked, scanner=one.scanner, project=p).is_wanted for p in one.projects)


def _key(study_id: int) -> str:
    return f"unexported:{study_id}"


def _said(found: list[NotExported]) -> str:
    series = ", ".join(f"{one.number} ({one.protocol})" for one in found)
    return (
        f"Of study {found[0].study_id} on {found[0].scanner} no raw file was exported of series {series}, which a rule "
        "wants. The images are safe. Export them at the console while the scanner still has them."
    )
