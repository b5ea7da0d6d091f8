"""The tables of what people are told: the outbox of every sink, and who acknowledged an alert."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, text

from transfer.catalog.instant import Instant
from transfer.catalog.tables import metadata

_OWED = text("framed_at IS NULL AND sent_at IS NULL")
_REPORT = text("kind = 'report'")

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sink", String(64), nullable=False),
    Column("topic", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("since_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("framed_at", Instant),
    Column("message", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("machine", String(64)),
    Column("problem", Text),
    Column("sent_at", Instant),
    Column("answer", Text),
    Index("uq_outbox_owed", "sink", "topic", unique=True, sqlite_where=_OWED, postgresql_where=_OWED),
    Index("uq_outbox_report", "sink", "topic", unique=True, sqlite_where=_REPORT, postgresql_where=_REPORT),
    Index("ix_outbox_due", "sink", "sent_at", "due_at"),
)
"""A message that a sink owes, one row each. It is owed first: one row a sink and topic, with the time since which there
is news. Before the first attempt it is framed: its words and its id stay as they are from then on, whatever happens."""

acknowledgement = Table(
    "acknowledgement",
    metadata,
    Column("alert_id", ForeignKey("alert.id"), primary_key=True),
    Column("severity", String(16), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
"""A person's word that somebody sees to it. It counts while the alert is open at this severity."""
