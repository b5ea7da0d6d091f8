"""Who sees what: everything, or what goes to some projects of one destination; as conditions on the tables."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, true

from transfer.catalog import tables
from transfer.states import DeliveryState


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody sees: everything, or what goes to some projects of one destination."""

    destination: str | None = None
    """None: everything."""
    projects: frozenset[str] = frozenset()

    @property
    def is_all(self) -> bool:
        """Whether nothing is hidden."""
        return self.destination is None

    def of(self, row: dict[str, Any]) -> bool:
        """Return whether a row with a destination and a project is seen."""
        return self.is_all or (row["destination"] == self.destination and row["project"] in self.projects)

    def study(self, study_id: ColumnElement[int] = tables.study.c.id) -> ColumnElement[bool]:
        """Return the condition on a study's id that it is seen."""
        if self.is_all:
            return true()
        d, t = tables.delivery.alias().c, tables.target.alias().c
        is_sent = exists().where(d.study_id == study_id, d.state != DeliveryState.WITHDRAWN, self.within(d))
        return is_sent | exists().where(t.study_id == study_id, self.within(t))

    def capture(self) -> ColumnElement[bool]:
        """Return the condition on ``capture``: a raw file is seen with its session, or where it goes itself."""
        if self.is_all:
            return true()
        c, d, b = tables.capture.c, tables.delivery.alias().c, tables.belonging.alias().c
        m, later, other = tables.match.alias().c, tables.match.alias().c, tables.match.alias().c
        is_old = exists().where(later.capture_id == m.capture_id, later.id > m.id, later.undone_at.is_(None))
        is_joined = exists().where(m.capture_id == c.id, m.undone_at.is_(None), ~is_old, self.study(m.study_id))
        is_free = ~exists().where(other.capture_id == c.id, other.undone_at.is_(None))
        is_placed = exists().where(b.capture_id == c.id, self.study(b.study_id)) & is_free
        is_sent = exists().where(d.capture_id == c.id, d.state != DeliveryState.WITHDRAWN, self.within(d))
        return is_sent | is_joined | is_placed

    def within(self, goes_to: Any) -> ColumnElement[bool]:  # noqa: ANN401 -- the columns of any table that has both
        """Return the condition on a destination and a project that they are seen."""
        if self.is_all:
            return true()
        within: ColumnElement[bool] = (goes_to.destination == self.destination) & goes_to.project.in_(self.projects)
        return within
