"""The inventory of the scanners: list a source, write down what is there."""

from kspace.clock import Clock
from kspace.errors import SourceError
from kspace.sources import Source
from transfer.catalog.database import Database
from transfer.catalog.inventory import record_listing
from transfer.catalog.notices import clear_alert, raise_alert


def find(  # noqa: PLR0913 -- the source with its names
    source: Source, *, scanner: str, name: str, database: Database, clock: Clock, quiet_s: float
) -> int:
    """List a source once and return how many files were new; a listing that fails is an alert, never "all gone".

    Raises:
        SourceError: the share does not answer.
    """
    key = f"listing:{name}"
    try:
        files = list(source.find())
    except SourceError as error:
        with database.write() as connection:
            raise_alert(connection, key=key, severity="warning", text=f"Source {name}: {error}", at=clock.now())
        raise
    at = clock.now()
    news = record_listing(database, scanner=scanner, source=name, files=files, at=at, quiet_s=quiet_s)
    with database.write() as connection:
        clear_alert(connection, key=key, at=at)
    return news
