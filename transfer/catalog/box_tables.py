"""The tables of the box: what was read of it. Of the same schema as `transfer.catalog.tables`."""

from sqlalchemy import Column, Float, Index, Integer, String, Table

from transfer.catalog.instant import Instant
from transfer.catalog.tables import metadata

reading = Table(
    "reading",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("machine", String(64), nullable=False),
    Column("what", String(64), nullable=False),
    Column("of", String(200), nullable=False),
    Column("at", Instant, nullable=False),
    Column("hour", Integer, nullable=False),
    Column("value", Float, nullable=False),
    Column("said", String(400), nullable=False),
    Index("ix_reading_series", "machine", "what", "of", "at"),
)
"""``hour`` is the hour since 1970 that ``at`` is in: old readings are thinned to the last of an hour, then of a day."""
