"""The inventory of the scanners: list a source, write down what is there."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select

from kspace.clock import Clock
from kspace.errors import SourceError
from kspace.sources import Source
from kspace.sources.settings import Scope
from transfer.catalog.database import Database
from transfer.catalog.listings import Listed, count_there, record_listing
from transfer.catalog.notices import clear_alert, raise_alert
from transfer.catalog.tables import alert

_SUSPICIOUS = 10
"""So many files do not go all at once: an empty listing is believed only when it stays so for a day."""
_BELIEVED_AFTER = timedelta(days=1)


def find(  # noqa: PLR0913 -- the source with its names
    source: Source,
    *,
    scanner: str,
    name: str,
    database: Database,
    clock: Clock,
    quiet_s: float,
    scope: Scope = Scope.STORE,
) -> int:
    """List a source once and return how many files were new.

    A listing that fails, or is empty where there were many files, is an alert, never "all gone".

    Raises:
        SourceError: the share does not answer.
    """
    try:
        files = list(source.find())
    except SourceError as error:
        _tell(database, clock.now(), {f"listing:{name}": f"Source {name}: {error}"})
        raise
    at = clock.now()
    there = 0 if files else count_there(database, name)
    if there >= _SUSPICIOUS and not _is_believed(database, f"empty:{name}", at):
        said = (
            f"Source {name} lists as empty where {there} files were: most likely it is not mounted, or another folder "
            "lies in its place. Nothing is taken for gone. If it was really emptied, that is believed after a day."
        )
        _tell(database, at, {f"listing:{name}": None, f"empty:{name}": said})
        return 0
    listed = record_listing(database, scanner=scanner, source=name, files=files, at=at, quiet_s=quiet_s, scope=scope)
    _tell(database, at, {f"listing:{name}": None, f"empty:{name}": None, f"clock:{name}": _moved(name, listed)})
    return listed.news


def _moved(name: str, listed: Listed) -> str | None:
    if not listed.clock_moved_s:
        return None
    return (
        f"The clock of source {name} was set by {listed.clock_moved_s:+} s, or its time zone changed: every file's "
        "time moved by as much. The files are known all the same, none is captured again; nothing needs doing."
    )


def _is_believed(database: Database, key: str, at: datetime) -> bool:
    query = select(alert.c.raised_at).where(alert.c.key == key, alert.c.cleared_at.is_(None))
    with database.read() as connection:
        raised_at = connection.execute(query).scalar()
    return raised_at is not None and at - raised_at >= _BELIEVED_AFTER


def _tell(database: Database, at: datetime, texts: Mapping[str, str | None]) -> None:
    """Raise the alerts of these keys, and clear those where there is nothing to say."""
    with database.write() as connection:
        for key, text in texts.items():
            if text is None:
                clear_alert(connection, key=key, at=at)
            else:
                raise_alert(connection, key=key, severity="warning", text=text, at=at)
