"""The tables of what people say on the page: how fast and whether something goes, and the tokens of their programs."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, text

from transfer.catalog.instant import Instant
from transfer.catalog.tables import event, metadata

BY_PEOPLE = text("actor <> 'relay'")

throttle = Table(
    "throttle",
    metadata,
    Column("what", String(80), primary_key=True),
    Column("mbit_per_s", Float),
    Column("is_paused", Boolean, nullable=False, server_default=text("false")),
    Column("actor", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)
"""What an administrator set at run time: ``destination:<name>`` or ``scanner:<name>``. No limit: that of the file."""

token = Table(
    "token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("actor", String(64), nullable=False, index=True),
    Column("destination", String(64)),
    Column("digest", String(64), nullable=False, unique=True),
    Column("sealed", LargeBinary),
    Column("issued_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("ended_at", Instant),
    Column("ended_by", String(64)),
)
"""Tokens for programs. ``sealed`` is an alias token of the person's XNAT, ``issued_at``, which only the token opens."""

Index("ix_event_by_people", event.c.id, sqlite_where=BY_PEOPLE, postgresql_where=BY_PEOPLE)
