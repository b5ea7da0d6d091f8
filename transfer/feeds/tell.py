"""From alerts to what each sink owes: news gathered by topic, and reminders of what nobody acknowledged."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, desc, exists, func, select, update

from hardware.records import Severity
from hardware.sinks import SinkSettings
from kspace.clock import Clock
from transfer.catalog.database import Database
from transfer.catalog.notices import topic_of
from transfer.catalog.outbox import owe, rank
from transfer.catalog.outbox_tables import acknowledgement, outbox
from transfer.catalog.tables import alert

_WEEK_S = 7 * 86_400.0


def tell(sinks: Mapping[str, SinkSettings], *, database: Database, clock: Clock) -> int:
    """Note with every sink what nobody was told of yet, and return how many alerts that were.

    One transaction marks the alerts as told and enters what is owed: neither a crash nor a second relay on the same
    catalog tells one twice or never.
    """
    now, a = clock.now(), alert.c
    with database.read() as connection:
        if connection.execute(select(a.id).where(a.told_at.is_(None)).limit(1)).first() is None:
            return 0
    with database.write() as connection:
        told = update(alert).where(a.told_at.is_(None)).values(told_at=now).returning(a.key, a.severity)
        news = connection.execute(told).all()
        worst: dict[str, str] = {}
        for key, severity in news:
            topic = topic_of(key)
            worst[topic] = max(worst.get(topic, severity), severity, key=rank)
        for name, settings in sinks.items():
            for topic, severity in _told_to(name, settings, worst.items()):
                due_at = _when(connection, name, settings, topic, severity, now)
                row = {"sink": name, "topic": topic, "kind": "alert", "severity": severity}
                owe(database, connection, row | {"since_at": now, "due_at": due_at})
    return len(news)


def remind_again(sinks: Mapping[str, SinkSettings], *, database: Database, clock: Clock) -> int:
    """Note with every sink the open alerts that nobody acknowledged for long, and return how many topics are owed.

    The first gap is the sink's ``remind_after_s`` and each further one twice as long, up to a week; what is only
    information comes once a week.
    """
    now = clock.now()
    with database.read() as connection:
        waits = _unacknowledged(connection)
        due = [
            (name, topic, severity)
            for name, settings in sinks.items()
            for topic, severity in _told_to(name, settings, ((t, s) for t, (s, _) in waits.items()))
            if _is_due(connection, name, settings, topic, severity, waits[topic][1], now)
        ]
    with database.write() as connection:
        for name, topic, severity in due:
            row = {"sink": name, "topic": topic, "kind": "reminder", "severity": severity}
            owe(database, connection, row | {"since_at": now, "due_at": now})
    return len(due)


def _told_to(name: str, settings: SinkSettings, found: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Yield what a sink wants to hear: enough severe, and not that it cannot be reached itself."""
    return ((t, s) for t, s in found if rank(s) >= rank(settings.least) and t != f"sink:{name}")


def _when(  # noqa: PLR0913, PLR0917 -- the facts of the one question
    connection: Connection, name: str, settings: SinkSettings, topic: str, severity: str, now: datetime
) -> datetime:
    gathered = now if severity == Severity.CRITICAL else now + timedelta(seconds=settings.gather_s)
    last = _last(connection, name, topic)
    if last is None or rank(severity) > rank(last[1]):
        return gathered
    return max(gathered, last[0] + timedelta(seconds=settings.apart_s))


def _last(connection: Connection, name: str, topic: str) -> tuple[datetime, str] | None:
    """Return when a sink last found words for a topic, and how severe it was."""
    o = outbox.c
    of_topic = (o.sink == name) & (o.topic == topic) & o.framed_at.is_not(None)
    query = select(o.framed_at, o.severity).where(of_topic).order_by(desc(o.framed_at)).limit(1)
    found = connection.execute(query).first()
    return (found.framed_at, found.severity) if found else None


def _unacknowledged(connection: Connection) -> dict[str, tuple[str, datetime]]:
    """Return by topic how severe the worst such alert is, and since when the oldest of them is open."""
    a, k = alert.c, acknowledgement.c
    is_seen_to = exists().where(k.alert_id == a.id, k.severity == a.severity)
    query = select(a.key, a.severity, a.raised_at).where(a.cleared_at.is_(None), a.told_at.is_not(None), ~is_seen_to)
    found: dict[str, tuple[str, datetime]] = {}
    for key, severity, raised_at in connection.execute(query):
        topic = topic_of(key)
        before, since_at = found.get(topic, (severity, raised_at))
        found[topic] = (max(before, severity, key=rank), min(since_at, raised_at))
    return found


def _is_due(  # noqa: PLR0913, PLR0917 -- the facts of the one question
    connection: Connection,
    name: str,
    settings: SinkSettings,
    topic: str,
    severity: str,
    open_since: datetime,
    now: datetime,
) -> bool:
    o = outbox.c
    of_topic = (o.sink == name) & (o.topic == topic)
    if connection.execute(select(o.id).where(of_topic, o.sent_at.is_(None)).limit(1)).first():
        return False
    last = _last(connection, name, topic)
    if last is None:
        return True  # a sink that is new
    reminders = of_topic & (o.kind == "reminder") & (o.framed_at >= open_since)
    told = connection.execute(select(func.count()).where(reminders)).scalar_one()
    gap_s = _WEEK_S if severity == Severity.INFO else settings.remind_after_s * 2 ** min(told, 16)
    return last[0] + timedelta(seconds=min(gap_s, _WEEK_S)) <= now
