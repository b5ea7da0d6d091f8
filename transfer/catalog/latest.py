"""Of a capture's many rows the one that counts, as conditions that cost the same however many captures there are."""

from sqlalchemy import ColumnElement, select

from transfer.catalog import tables


def is_image() -> ColumnElement[bool]:
    """Return the condition on ``measurement`` that it is the imaging one, the last of its file."""
    m, later = tables.measurement.c, tables.measurement.alias()
    after = (later.c.capture_id == m.capture_id) & (later.c.number > m.number)
    return ~select(later.c.id).where(after).correlate(tables.measurement).exists()


def counts() -> ColumnElement[bool]:
    """Return the condition on ``match`` that it counts: the newest of its capture that was not undone."""
    m, later = tables.match.c, tables.match.alias()
    after = (later.c.capture_id == m.capture_id) & (later.c.id > m.id) & later.c.undone_at.is_(None)
    return m.undone_at.is_(None) & ~select(later.c.id).where(after).correlate(tables.match).exists()
