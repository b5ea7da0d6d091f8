"""The table of projects' rules: each version as it was saved. Of the same schema as `transfer.catalog.tables`."""

from sqlalchemy import JSON, Column, Integer, String, Table, Text, UniqueConstraint

from transfer.catalog.instant import Instant
from transfer.catalog.tables import metadata

rule_version = Table(
    "rule_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("comment", Text, nullable=False),
    Column("same_as", Integer),
    Column("actor", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("project", "version"),
)
"""Append-only: a trigger refuses update and delete. A project's highest version counts; ``same_as``: the version that
a person went back to."""
