"""The tables of what is known of the scanners besides their files. Of the same schema as `transfer.catalog.tables`."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from transfer.catalog.instant import Instant
from transfer.catalog.tables import metadata

_OPEN = text("ended_at IS NULL")

raw_store = Table(
    "raw_store",
    metadata,
    Column("scanner", String(64), primary_key=True),
    Column("capacity_bytes", BigInteger),
    Column("free_bytes", BigInteger),
)
"""How much a scanner's store holds, as the configuration says it, and how much is free there, as its shares say it."""

on_scanner = Table(
    "on_scanner",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("scanner", String(64), nullable=False),
    Column("file_id", Integer, nullable=False),
    Column("meas_id", Integer, nullable=False),
    Column("created", String(19), nullable=False),
    Column("protocol", Text),
    Column("status", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("listed_at", Instant, nullable=False),
    UniqueConstraint("scanner", "file_id", "meas_id", "created"),
)
"""What a listing of the console showed of the scanner's own store, without patients; ``created`` is by its own clock,
``listed_at`` when the last listing was read that has it."""

deletion = Table(
    "deletion",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("capture_id", ForeignKey("capture.id"), nullable=False),
    Column("source", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("machine", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("reason", Text),
    Index("uq_deletion_open", "capture_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deletion_source", "source", "state"),
)
"""The journal of what is deleted at sources: one row for each time that a file was asked for. It is listed, then
approved, then intended (all was proved, and from here on it may be gone), then deleted; or kept, with the reason."""
