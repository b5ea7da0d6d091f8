"""The captures that an archive holds of a session, asked of the archive alone."""

from dataclasses import dataclass

from kspace.errors import DestinationError, NotFound
from transfer.app.wiring import Box
from transfer.destinations import RawArchive
from transfer.destinations.errors import Missing
from transfer.restore.copy import folders


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedCapture:
    """One capture as it lies in an archive; ``is_whole``: its manifest, which is sent last, is there."""

    destination: str
    archive: RawArchive
    place: str
    folder: str
    is_whole: bool = True


def in_session(box: Box, *, project: str, session: str, scan: str | None, source: str | None) -> list[ArchivedCapture]:
    """Return what one archive has of a session: the one called ``source``, else the first that has anything.

    The catalog is not asked: after the loss of the box the configuration is enough.

    Raises:
        NotFound: none has anything of it, or no destination is called so.
        DestinationError: an archive cannot be asked.
    """
    archives = _named(box, source)
    refused: DestinationError | None = None
    for name, archive in archives.items():
        try:
            found = _found(name, archive, archive.places(project=project, session=session, scan=scan))
        except DestinationError as error:  # another one may have it, and answer
            refused = error if refused is None or isinstance(refused, Missing) else refused
            continue
        if found:
            return found
    where = " or ".join(archives)
    raise refused or NotFound(f"{where} has the session, but no raw data of the relay's in it.")


def _found(name: str, archive: RawArchive, places: list[str]) -> list[ArchivedCapture]:
    found: dict[str, ArchivedCapture] = {}
    for place in places:
        for folder, is_whole in folders(archive.listing(place)).items():
            if is_whole or folder not in found:  # one and the same capture may lie at two places, after a new link
                found[folder] = ArchivedCapture(
                    destination=name, archive=archive, place=place, folder=folder, is_whole=is_whole
                )
    return list(found.values())


def _named(box: Box, source: str | None) -> dict[str, RawArchive]:
    archives: dict[str, RawArchive] = box.archives()
    if source is None:
        return archives
    if source not in archives:
        raise NotFound(f"No destination is called {source!r}; there are: {', '.join(archives) or 'none'}.")
    return {source: archives[source]}
