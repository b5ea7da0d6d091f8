"""What a sink owes, handed over: one sink, one outbox, so that one which is dead keeps no other waiting."""

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, or_, select

from hardware.records import Alert, Severity
from hardware.sinks import Message, Occasion, Sink, SinkSettings
from kspace.calendar import covers, wall_clock
from kspace.clock import Clock
from kspace.errors import KspaceError
from transfer.catalog.database import Database
from transfer.catalog.handing import claim, free, record_left, record_refused, record_taken
from transfer.catalog.notices import clear_alert, raise_alert, topic_of
from transfer.catalog.outbox import rank
from transfer.catalog.outbox_tables import acknowledgement, outbox
from transfer.catalog.tables import alert

Row = dict[str, Any]

_AT_ONCE = 50
_LISTED = 5
"""So many sentences a message holds; the rest is counted."""
_PATIENCE = 3
"""After so many failed attempts at one message the other sinks are told."""
_KEPT = timedelta(days=90)


class HandingOver:
    """The feed of one sink."""

    def __init__(  # noqa: PLR0913 -- the ports
        self, sink: Sink, settings: SinkSettings, *, database: Database, clock: Clock, relay: str, site: str
    ) -> None:
        self._sink = sink
        self._settings = settings
        self._database = database
        self._clock = clock
        self._relay = relay
        self._site = site
        self._is_new = True

    def __call__(self) -> None:
        """Hand over what is due, until all is or one is not taken; that one is tried again, longer each time."""
        name, mine = self._settings.name, {"machine": self._relay}
        if self._is_new:
            free(self._database, name, at=self._clock.now(), **mine)
            self._is_new = False
        for _ in range(_AT_ONCE):
            now = self._clock.now()
            quiet = self._is_quiet(now)
            claimed = claim(self._database, name, at=now, is_quiet=quiet, frame=self._frame, **mine)
            if claimed is None:
                break
            try:
                told = self._sink.tell(claimed.message)
            except KspaceError as error:
                record_refused(self._database, claimed, str(error), at=self._clock.now())
                if claimed.attempts >= _PATIENCE:
                    self._complain(f"{error} Messages are kept and tried again.")
                break
            if told.left:
                record_left(self._database, claimed, told, at=self._clock.now())
            else:
                record_taken(self._database, claimed, told, at=self._clock.now())
            self._complain(f"{told.problem}. The others have the message." if told.problem else None)

    def _is_quiet(self, now: datetime) -> bool:
        local = wall_clock(now, self._settings.time_zone)
        return any(covers(when, local) for when in self._settings.quiet or ())

    def _complain(self, trouble: str | None) -> None:
        """Let the other sinks tell that this one does not reach everybody; or that it does again."""
        key, now = f"sink:{self._settings.name}", self._clock.now()
        with self._database.write() as connection:
            if trouble is None:
                clear_alert(connection, key=key, at=now)
                return
            text = f"Not everybody is told by {self._settings.name}: {trouble} Try `kspace alerts test`."
            raise_alert(connection, key=key, severity="warning", text=text, at=now)

    def _frame(self, connection: Connection, owed: Row) -> Message | None:
        """Find the words for a topic as it stands now; None where nothing is left to say."""
        found = [row for row in _rows(connection, owed) if rank(row["severity"]) >= rank(self._settings.least)]
        is_open = [row for row in found if row["cleared_at"] is None]
        over = [row for row in found if row["cleared_at"] is not None]
        if owed["kind"] == "reminder":
            is_open, over = [row for row in is_open if row["actor"] is None], []
        if not is_open and not over:
            return None
        news = [row for row in is_open if row["told_at"] >= owed["since_at"]]
        known = [row for row in is_open if row["told_at"] < owed["since_at"]]
        kind: Occasion = "over" if not is_open else "reminder" if owed["kind"] == "reminder" else "alert"
        severity = max((row["severity"] for row in is_open or over), key=rank)
        told = [*news, *known, *over]
        now, counts = self._clock.now(), (len(news), len(known), len(over))
        return Message(
            id=f"{owed['id']}.{uuid4().hex}",
            kind=kind,
            topic=owed["topic"],
            severity=Severity(severity),
            relay=self._relay,
            site=self._site,
            at=now,
            subject=_subject(self._relay, kind, severity, owed["topic"], told),
            text=_text(told, counts, topic=owed["topic"], where=_where(self._relay, self._site), kind=kind),
            alerts=tuple(_alert(row) for row in told[:_LISTED]),
            count=len(is_open),
        )


def forget_old(*, database: Database, clock: Clock) -> None:
    """Drop messages from the outbox that were taken long ago; alerts and events stay."""
    o = outbox.c
    with database.write() as connection:
        connection.execute(delete(outbox).where(o.sent_at < clock.now() - _KEPT))


def _rows(connection: Connection, owed: Row) -> list[Row]:
    """Return the alerts of a topic that are open, or were over since there is news; the worst and newest first.

    What `tell` has not seen yet comes with its own news.
    """
    a, k, topic = alert.c, acknowledgement.c, owed["topic"]
    is_meant = or_(a.key == topic, a.key.startswith(f"{topic}:", autoescape=True))
    is_news = a.told_at.is_not(None) & or_(a.cleared_at.is_(None), a.told_at >= owed["since_at"])
    query = (
        select(alert, k.actor)
        .outerjoin(acknowledgement, (k.alert_id == a.id) & (k.severity == a.severity))
        .where(is_meant, is_news)
    )
    found = [dict(row) for row in connection.execute(query).mappings() if topic_of(row["key"]) == topic]
    return sorted(found, key=lambda row: (-rank(row["severity"]), -row["id"]))


def _alert(row: Row) -> Alert:
    names = ("key", "text", "raised_at", "cleared_at")
    return Alert(severity=Severity(row["severity"]), **{name: row[name] for name in names})


def _where(relay: str, site: str) -> str:
    return f"relay {relay}" + (f", site {site}" if site else "")


def _subject(relay: str, kind: str, severity: str, topic: str, told: Sequence[Row]) -> str:
    word = "over" if kind == "over" else f"still {severity}" if kind == "reminder" else severity
    number = sum(row["cleared_at"] is None for row in told) or len(told)
    what = told[0]["text"] if number == 1 else f"{number:,} alerts of {topic}: {told[0]['text']}"
    return f"[{relay}] {word}: {textwrap.shorten(what, 100, placeholder=' …')}"


def _text(told: Sequence[Row], counts: tuple[int, int, int], *, topic: str, where: str, kind: str) -> str:
    named = zip(counts, ("new", "still open", "over"), strict=True)
    head = ", ".join(f"{number:,} {word}" for number, word in named if number)
    lines = [f"{topic}: {head}.", ""]
    for row in told[:_LISTED]:
        over = f", over since {_clock(row['cleared_at'])}" if row["cleared_at"] else ""
        seen = f", acknowledged by {row['actor']}" if row["actor"] and not over else ""
        lines += [f"{row['severity'].upper()} {row['key']}, since {_clock(row['raised_at'])}{over}{seen}"]
        if not over or kind == "over":
            lines += [textwrap.fill(row["text"], 100, initial_indent="  ", subsequent_indent="  ")]
        lines.append("")
    if len(told) > _LISTED:
        lines += [f"And {len(told) - _LISTED:,} more; `kspace alerts` lists them.", ""]
    lines.append(f"Told by {where}.")
    if kind != "over":
        key = told[0]["key"] if len(told) == 1 else topic
        lines.append(f'`kspace alerts ack {key} --note "…"` says that you see to it, and ends the reminders.')
    return "\n".join(lines) + "\n"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
