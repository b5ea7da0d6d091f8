"""The sandbox's memory: one SQLite table of items, so that a restarted sandbox is the same site."""

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, parent INTEGER, project INTEGER,
    ident TEXT NOT NULL, label TEXT NOT NULL, xsi TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS item_parent ON item (parent, kind);
CREATE INDEX IF NOT EXISTS item_ident ON item (kind, ident);
CREATE INDEX IF NOT EXISTS item_label ON item (kind, label);
CREATE TABLE IF NOT EXISTS role (project TEXT, user TEXT, role TEXT, PRIMARY KEY (project, user));
CREATE TABLE IF NOT EXISTS alias (alias TEXT PRIMARY KEY, secret TEXT, user TEXT, expires REAL);
"""


@dataclass(slots=True, kw_only=True)
class Item:
    """A project, subject, experiment, scan, assessor, resource or prearchive session.

    ``ident`` is what XNAT calls the ID (a scan's number, an experiment's accession id), ``label`` what people call it.
    """

    id: int
    kind: str
    parent: int | None
    project: int | None
    ident: str
    label: str
    xsi: str
    fields: dict[str, str] = field(default_factory=dict)


class Store:
    """Keeps items, project roles and alias tokens. ``lock`` makes several calls one step."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of one statement."""
        with self.lock:
            return self._db.execute(sql, values).fetchall()

    def add(self, kind: str, parent: Item | None, *, ident: str, label: str, xsi: str, **fields: str) -> Item:
        """Return the new item."""
        project = None if parent is None else parent.id if parent.kind == "project" else parent.project
        values = (kind, parent and parent.id, project, ident, label, xsi, json.dumps(fields))
        sql = "INSERT INTO item (kind, parent, project, ident, label, xsi, fields) VALUES (?,?,?,?,?,?,?) RETURNING id"
        ((number,),) = self.run(sql, *values)
        parent_id = parent.id if parent else None
        return Item(
            id=number, kind=kind, parent=parent_id, project=project, ident=ident, label=label, xsi=xsi, fields=fields
        )

    def save(self, item: Item) -> None:
        """Write what changed in an item."""
        sql = "UPDATE item SET parent=?, project=?, ident=?, label=?, xsi=?, fields=? WHERE id=?"
        values = (item.parent, item.project, item.ident, item.label, item.xsi, json.dumps(item.fields), item.id)
        self.run(sql, *values)

    def remove(self, item: Item) -> None:
        """Forget an item and everything below it."""
        for child in self._select("parent=?", item.id):
            self.remove(child)
        self.run("DELETE FROM item WHERE id=?", item.id)

    def get(self, number: int | None) -> Item | None:
        """Return the item of that row number."""
        return self._one("id=?", number)

    def children(self, kind: str, parent: Item) -> list[Item]:
        """Return the items of a kind directly below another, oldest first."""
        return self._select("kind=? AND parent=?", kind, parent.id)

    def every(self, kind: str, *, project: Item | None = None) -> list[Item]:
        """Return the items of a kind, of one project or of all, oldest first."""
        if project is None:
            return self._select("kind=?", kind)
        return self._select("kind=? AND project=?", kind, project.id)

    def find(self, kind: str, name: str, *, parent: Item | None = None, project: Item | None = None) -> Item | None:
        """Return the oldest item whose ident or, below a parent or in a project, whose label is ``name``."""
        if parent is not None:
            return self._one("kind=? AND parent=? AND (ident=? OR label=?)", kind, parent.id, name, name)
        if project is not None:
            return self._one("kind=? AND project=? AND (ident=? OR label=?)", kind, project.id, name, name)
        return self._one("kind=? AND ident=?", kind, name)

    def accession(self, kind: str, prefix: str) -> str:
        """Return the next accession id, such as XNAT_E00001."""
        ((highest,),) = self.run("SELECT max(CAST(substr(ident, ?) AS INTEGER)) FROM item WHERE kind=?", 7, kind)
        return f"XNAT_{prefix}{(highest or 0) + 1:05d}"

    def _one(self, where: str, *values: object) -> Item | None:
        found = self._select(where, *values)
        return found[0] if found else None

    def _select(self, where: str, *values: object) -> list[Item]:
        columns = "id, kind, parent, project, ident, label, xsi, fields"
        rows = self.run(f"SELECT {columns} FROM item WHERE {where} ORDER BY id", *values)  # noqa: S608 -- own text only
        return list(map(_item, rows))


def lineage(store: Store, item: Item) -> Iterable[Item]:
    """Yield an item, its parent, and so on up to its project."""
    step: Item | None = item
    while step is not None:
        yield step
        step = store.get(step.parent)


def _item(row: tuple[Any, ...]) -> Item:
    number, kind, parent, project, ident, label, xsi, fields = row
    return Item(
        id=number,
        kind=kind,
        parent=parent,
        project=project,
        ident=ident,
        label=label,
        xsi=xsi,
        fields=json.loads(fields),
    )
