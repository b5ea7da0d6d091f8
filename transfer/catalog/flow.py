"""What flows through the relay, read as the box is: backlog, oldest unsent, last success, quiet scanners, growth."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, func, select

from hardware.records import Limit, Reading
from hardware.trends import Forecast, forecast, quietness
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.readings import history, newest_readings
from transfer.catalog.tables import capture, delivery, instance, pause, series, source_file, study
from transfer.states import CaptureState, DeliveryState

_DAY_S = 86_400.0
_GROWTH, _HABITS = timedelta(days=14), timedelta(days=28)
_ON_THE_WAY = (CaptureState.SETTLED, CaptureState.PACKED, CaptureState.MATCHED, CaptureState.PLANNED)
_OPEN = (DeliveryState.VERIFIED, DeliveryState.HELD, DeliveryState.WITHDRAWN)


class FlowSettings(BaseModel):
    """From where on the flow is a finding."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    every_s: float = Field(default=60.0, ge=1)
    unsent_after_s: float = Field(default=2 * _DAY_S, gt=0)
    """For how long something may be on its way."""
    quiet_times: float = Field(default=4.0, gt=1)
    """After how many of its usual longest pauses a scanner has gone quiet."""
    full_within_days: float = Field(default=14.0, gt=0)
    """How long before a pool is full it is told."""


class FlowReader:
    """Reads the catalog as one machine sees it; what is held has alerts of its own and does not count as unsent."""

    def __init__(self, settings: FlowSettings, *, database: Database, clock: Clock, machine: str) -> None:
        self._database = database
        self._clock = clock
        self._machine = machine
        self.limits = _limits(settings)

    def read(self) -> Iterator[Reading]:
        """Yield what the catalog tells."""
        now = self._clock.now()
        with self._database.read() as connection:
            yield from _backlog(connection, self._machine, now)
            yield from _successes(connection, now)
            yield from _pauses(connection, now)
            for pool, free_bytes in _pools(connection, self._machine, now):
                told = growth(connection, pool, free_bytes, machine=self._machine, now=now)
                if told.bytes_per_day is not None:
                    yield Reading(what="pool_growth_bytes_per_day", of=pool, value=told.bytes_per_day)
                if told.days_to_full is not None:
                    yield Reading(what="pool_full_in_days", of=pool, value=told.days_to_full)


def growth(connection: Connection, pool: str, free_bytes: float, *, machine: str, now: datetime) -> Forecast:
    """Return how a pool grew in the last two weeks, and when it will be full at that rate."""
    found = history(connection, "pool_used_bytes", pool, machine=machine, since=now - _GROWTH)
    return forecast([(at.timestamp(), used) for at, used in found], free_bytes=free_bytes)


def _pools(connection: Connection, machine: str, now: datetime) -> Iterator[tuple[str, float]]:
    for _, reading in newest_readings(connection, machine=machine, now=now):
        if reading.what == "pool_free_bytes":
            yield reading.of, reading.value


def _backlog(connection: Connection, machine: str, now: datetime) -> Iterator[Reading]:
    c, d, f = capture.c, delivery.c, source_file.c
    ours = c.state.in_(_ON_THE_WAY) & (c.machine.is_(None) | (c.machine == machine))
    raw = select(func.count(), func.sum(f.size), func.min(f.first_seen_at)).select_from(capture.join(source_file))
    unsent = select(d.study_id).where(d.kind == "dicom", d.state.not_in(_OPEN))
    held = select(func.count(), func.sum(instance.c.size)).select_from(instance.join(series))
    images = held.where(series.c.study_id.in_(unsent), instance.c.freed_at.is_(None))
    first = select(func.min(study.c.first_arrival_at)).where(study.c.id.in_(unsent))
    number, size, since = connection.execute(raw.where(ours)).one()
    yield from _waiting("raw files", number, size, since, now)
    number, size = connection.execute(images).one()
    yield from _waiting("images", number, size, connection.execute(first).scalar(), now)


def _waiting(of: str, number: int, size: float | None, since: datetime | None, now: datetime) -> Iterator[Reading]:
    yield Reading(what="backlog_count", of=of, value=number)
    yield Reading(what="backlog_bytes", of=of, value=float(size or 0))
    age_s = (now - since).total_seconds() if since else 0.0
    yield Reading(what="oldest_unsent_seconds", of=of, value=age_s, said=f"{age_s / _DAY_S:.1f} days")


def _successes(connection: Connection, now: datetime) -> Iterator[Reading]:
    f, s, d = source_file.c, study.c, delivery.c
    captured = select(f.scanner, func.max(f.first_seen_at)).join(capture).where(capture.c.sha256.is_not(None))
    lasts = {
        "last_capture_seconds": captured.group_by(f.scanner),
        "last_images_seconds": select(s.calling_ae, func.max(s.last_arrival_at)).group_by(s.calling_ae),
        "last_delivery_seconds": select(d.destination, func.max(d.verified_at)).group_by(d.destination),
    }
    for what, query in lasts.items():
        for of, at in connection.execute(query):
            if at is not None:
                yield Reading(what=what, of=of, value=(now - at).total_seconds())
    since = now - _HABITS
    files = select(f.scanner, f.first_seen_at).where(f.first_seen_at > since).order_by(f.first_seen_at)
    studies = select(s.calling_ae, s.first_arrival_at).where(s.first_arrival_at > since).order_by(s.first_arrival_at)
    yield from _quiet("raw files of", connection.execute(files).all(), now)
    yield from _quiet("images of", connection.execute(studies).all(), now)


def _quiet(what: str, rows: Sequence[tuple[str, datetime]], now: datetime) -> Iterator[Reading]:
    """``rows`` are whose and when; files of one listing are one arrival."""
    came: dict[str, list[float]] = {}
    for of, at in rows:
        times = came.setdefault(of, [])
        if not times or at.timestamp() > times[-1]:
            times.append(at.timestamp())
    for of, times in came.items():
        ratio = quietness(times, now=now.timestamp())
        if ratio is not None:
            said = f"{datetime.fromtimestamp(times[-1], now.tzinfo):%Y-%m-%d %H:%M} UTC"
            yield Reading(what="quiet_ratio", of=f"{what} {of}", value=ratio, said=said)


def _pauses(connection: Connection, now: datetime) -> Iterator[Reading]:
    """What does not answer is paused, and has an alert: here it is a number for charts."""
    for what, reason in connection.execute(select(pause.c.what, pause.c.reason).where(pause.c.until_at > now)):
        yield Reading(what="is_paused", of=what, value=1.0, said=reason)


def _limits(settings: FlowSettings) -> tuple[Limit, ...]:
    return (
        Limit(
            key="unsent",
            what="oldest_unsent_seconds",
            warning=settings.unsent_after_s,
            text="Some {of} have been on their way for {said}. They are safe here; see `kspace status` for what they "
            "wait for.",
        ),
        Limit(
            key="quiet",
            what="quiet_ratio",
            warning=settings.quiet_times,
            gap=settings.quiet_times / 2,
            text="No {of} came since {said}, {value:.1f} times the usual longest pause. See whether the scanner is on, "
            "exports, and reaches the relay.",
        ),
        Limit(
            key="pool_full_soon",
            what="pool_full_in_days",
            warning=settings.full_within_days,
            critical=settings.full_within_days / 7,
            gap=settings.full_within_days / 14,
            is_low=True,
            text="At the rate of the last two weeks the disk of the {of} is full in {value:.0f} days. See `kspace "
            "pools`: make room, keep verified data for a shorter time, or send faster.",
        ),
    )
