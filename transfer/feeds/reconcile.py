"""What came against what was to be expected, and what waits: studies that are short, that no route fits, that wait."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from kspace.clock import Clock
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.loading import load_study
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.studies import Row, studies
from transfer.routing import Route, route_of
from transfer.states import DeliveryState

_SHORT_FOR = timedelta(days=7)
"""After that a study that is short is no news any more; `kspace study` still shows it."""
_WAITS_LONG = timedelta(days=1)


class Reconciling:
    """Remembers when it last looked, so that a look costs little where nothing came."""

    def __init__(self, *, database: Database, clock: Clock, routes: Sequence[Route], quiet_s: float) -> None:
        self._database = database
        self._clock = clock
        self._routes = routes
        self._quiet = timedelta(seconds=quiet_s)
        self._looked_at = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)

    def __call__(self) -> None:
        """Look once: raise what is the matter, clear what is not any more."""
        now, s = self._clock.now(), tables.study.c
        since = max(self._looked_at, now - _SHORT_FOR)
        with self._database.read() as connection:
            became_quiet = (s.last_arrival_at > since - self._quiet) & (s.last_arrival_at <= now - self._quiet)
            ids = set(connection.execute(select(s.id).where(became_quiet)).scalars())
            ids |= {*_told(connection, "short:t"), *_told(connection, "unrouted:t")}
            found = studies(connection, ids=ids, limit=len(ids)) if ids else []
        with self._database.write() as connection:
            for study in found:
                self._judge(connection, study, now)
            _remind(connection, now)
            _forget_routed(connection, now)
        self._looked_at = now

    def _judge(self, connection: Connection, study: Row, now: datetime) -> None:
        is_news = now - study["last_arrival_at"] < _SHORT_FOR
        short = [one for one in study["series"] if one["short"]] if is_news else []
        key = f"short:{study['study']}"
        if short:
            raise_alert(connection, key=key, severity="warning", text=_missing(study, short), at=now)
        else:
            clear_alert(connection, key=key, at=now)
        key = f"unrouted:{study['study']}"
        if study["deliveries"] or study["raw_only"]:
            clear_alert(connection, key=key, at=now)
        else:
            raise_alert(connection, key=key, severity="warning", text=self._unrouted(connection, study), at=now)

    def _unrouted(self, connection: Connection, study: Row) -> str:
        told = load_study(connection, study["id"])
        _, why = route_of(self._routes, told, called_ae=study["called_ae"], calling_ae=study["calling_ae"])
        return (
            f"Study {study['study']} has no route to any archive ({'; '.join(why)}). It is safe in the spool. Say with "
            f"`kspace assign {study['study']}` where it goes, or add a [[route]] and start anew."
        )


def _missing(study: Row, short: Collection[Row]) -> str:
    what = [f"series {s['number']} has {s['received']} of {s['expected']} images, by {s['why']}" for s in short]
    return (
        f"Study {study['study']} went quiet with images missing: {'; '.join(what)}. What came is safe, and goes on. "
        "If the scan was not cancelled, send it again from the scanner."
    )


def _told(connection: Connection, prefix: str) -> list[int]:
    a = tables.alert.c
    keys = connection.execute(select(a.key).where(a.cleared_at.is_(None), a.key.startswith(prefix))).scalars().all()
    return [int(key.removeprefix(prefix)) for key in keys]


def _forget_routed(connection: Connection, now: datetime) -> None:
    """Clear what was told when a study came that no route fitted, once all that came the same way have a place."""
    s, d, t = tables.study.c, tables.delivery.c, tables.target.c
    placed = select(d.study_id).where(d.kind == "dicom").union(select(t.study_id))
    homeless = set(connection.execute(select(s.called_ae).where(s.id.not_in(placed)).distinct()).scalars())
    a = tables.alert.c
    keys = connection.execute(select(a.key).where(a.cleared_at.is_(None), a.key.startswith("route:"))).scalars().all()
    for key in keys:
        if key.removeprefix("route:") not in homeless:
            clear_alert(connection, key=key, at=now)


def _remind(connection: Connection, now: datetime) -> None:
    """Tell of each session that waits for others, after a day."""
    d = tables.delivery.c
    waits = d.state.in_([DeliveryState.WAITING, DeliveryState.OBSERVING]) & (d.since_at <= now - _WAITS_LONG)
    columns = (d.id, d.study_id, d.state, d.destination, d.project, d.since_at)
    rows = connection.execute(select(*columns).where(waits)).all()
    for row in rows:
        is_watched = row.state == DeliveryState.OBSERVING
        what = "is not in the archive yet" if is_watched else "waits in the prearchive for a person"
        text = (
            f"The session of study t{row.study_id} {what} ({row.destination}, project {row.project}), for "
            f"{(now - row.since_at).days} days. Its images and raw data are safe in the spool."
        )
        key = f"waiting:{row.id}"
        raise_alert(connection, key=key, severity="info", text=text, at=now)
    for delivery_id in set(_told(connection, "waiting:")) - {row.id for row in rows}:
        clear_alert(connection, key=f"waiting:{delivery_id}", at=now)
