"""Opens the catalog: SQLite with the settings that survive a power cut, or PostgreSQL; migrated to this program."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError

from kspace.errors import ConfigError, KspaceError

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6B73706163
"""Any fixed number: the PostgreSQL advisory lock that lets one process migrate at a time."""


class CatalogDown(KspaceError):
    """The catalog's database does not answer, or cannot write."""

    code = "catalog_down"
    exit_code = 8


class Database:
    """The catalog's two engines: one that writes, one that can only read."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self._writer = self._engine(is_writer=True)
        self._reader = self._engine(is_writer=False)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end and rolls back on an error.

        Raises:
            CatalogDown: the database does not answer or cannot write.
        """
        with _explained(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection on which writing is an error.

        Raises:
            CatalogDown: the database does not answer.
        """
        with _explained(), self._reader.begin() as connection:
            yield connection

    def insert_new(self, connection: Connection, table: Table, *rows: dict[str, Any]) -> None:
        """Insert rows, each unless one with the same key is there."""
        connection.execute(_insert_new(table, is_sqlite=self.is_sqlite), rows)

    def migrate(self) -> None:
        """Bring the schema to this program's version; several processes may call it at once."""
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def _engine(self, *, is_writer: bool) -> Engine:
        if self.is_sqlite:
            return _sqlite_engine(self.url.render_as_string(hide_password=False), is_writer=is_writer)
        if self.url.get_backend_name() != "postgresql":
            raise ConfigError("The catalog's url must begin with sqlite:/// or postgresql+psycopg://.")
        options = {} if is_writer else {"postgresql_readonly": True}
        return create_engine(self.url, pool_pre_ping=True, execution_options=options)


@cache
def _insert_new(table: Table, *, is_sqlite: bool) -> Insert:
    """Return the statement, made once: its making costs as much as its execution."""
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    return insert.on_conflict_do_nothing()


@contextmanager
def _explained() -> Iterator[None]:
    """Let nothing of a statement's values out: they may name somebody."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise CatalogDown(
            f"The catalog's database does not answer or cannot write ({type(error.orig).__name__}). Nothing is lost: "
            "what was not committed is done again. See to its disk or its server."
        ) from error


def _sqlite_engine(url: str, *, is_writer: bool) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 -- a DBAPI connection has no type
        connection.isolation_level = None  # the driver's own BEGIN is deferred, and lost updates in a test
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"query_only={'OFF' if is_writer else 'ON'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine
