"""The schema the migrations build is the schema the tables describe, on both databases; events stay as written."""

from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from transfer.catalog import box_tables, outbox_tables, rule_tables, scanner_tables, tables, web_tables
from transfer.catalog.database import CatalogDown

MODULES = (box_tables, outbox_tables, rule_tables, scanner_tables, tables, web_tables)
"""A table is known only where its module was imported."""


def test_migrations_build_what_the_tables_describe(database):
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    assert all(module.metadata is tables.metadata for module in MODULES)


def test_migrating_twice_changes_nothing(database):
    database.migrate()


@pytest.mark.parametrize("statement", ["UPDATE event SET actor = 'x'", "DELETE FROM event"])
def test_events_can_be_neither_changed_nor_deleted(database, statement):
    insert = "INSERT INTO event (at, actor, subject, subject_id, verb) VALUES ('2026-01-01 00:00:00', 'a', 'b', 1, 'c')"
    with database.write() as connection:
        connection.execute(text(insert))
    with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("statement", ["UPDATE rule_version SET actor = 'x'", "DELETE FROM rule_version"])
def test_versions_of_rules_can_be_neither_changed_nor_deleted(database, statement):
    values = {"project": "P", "version": 1, "rules": [], "comment": "", "actor": "a", "at": datetime.now(UTC)}
    with database.write() as connection:
        connection.execute(rule_tables.rule_version.insert().values(values))
    with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
        connection.execute(text(statement))


def test_the_reader_cannot_write(database):
    with pytest.raises((DBAPIError, CatalogDown)), database.read() as connection:
        connection.execute(text("DELETE FROM alert"))
