"""The captures that the archives hold of a session, asked of the archives alone."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from kspace.errors import DestinationError, NotFound
from transfer.app.wiring import Box
from transfer.destinations import RawArchive
from transfer.destinations.errors import Missing
from transfer.restore.copy import folders
from transfer.restore.work import Source


@dataclass(slots=True)
class ArchivedCapture:
    """One capture as it lies in the archives that have its manifest, which is sent last."""

    folder: str
    sources: list[Source] = field(default_factory=list)
    begun: list[Source] = field(default_factory=list)
    """Where a delivery of it never ended."""


@dataclass(frozen=True, slots=True)
class ArchivedSession:
    """What was found of a session, and which archives could not be asked for it."""

    captures: list[ArchivedCapture]
    unasked: list[DestinationError]


def in_session(box: Box, *, project: str, session: str, scan: str | None, source: str | None) -> ArchivedSession:
    """Return what the archives have of a session, or the one called ``source``; the first that has a capture first.

    The catalog is not asked: after the loss of the box the configuration is enough. Where one calls the session by
    another name than it was asked for, the Study Instance UID that another tells of it is asked for.

    Raises:
        NotFound: none has anything of it, or no destination is called so.
        DestinationError: none has anything of it, and an archive cannot be asked.
    """
    archives = _named(box, source)
    found: dict[str, ArchivedCapture] = {}
    unasked, strangers = [], {}
    for name, archive in archives.items():
        try:
            _add(found, name, archive, archive.places(project=project, session=session, scan=scan))
        except Missing as error:
            strangers[name] = error
        except DestinationError as error:  # another one may have it, and answer
            unasked.append(error)
    for name in strangers:
        unasked += _add_by_uid(found, name, archives[name], project=project)
    if found:
        return ArchivedSession(sorted(found.values(), key=lambda one: one.folder), unasked)
    where = " or ".join(archives)
    refused = next(iter([*unasked, *strangers.values()]), None)
    raise refused or NotFound(f"{where} has the session, but no raw data of the relay's in it.")


def _add_by_uid(
    found: dict[str, ArchivedCapture], name: str, archive: RawArchive, *, project: str
) -> list[DestinationError]:
    """Add what another archive has of the captures that were found, under the UID that they tell of their study."""
    known = {folder: one for folder, one in found.items() if one.sources}
    for uid in {_study_of(one) for one in known.values()} - {None}:
        there: dict[str, ArchivedCapture] = {}
        try:
            _add(there, name, archive, archive.places(project=project, session=str(uid), scan=None))
        except Missing:
            continue
        except DestinationError as error:
            return [error]
        for folder in known.keys() & there.keys():
            known[folder].sources += there[folder].sources
    return []


def _study_of(one: ArchivedCapture) -> str | None:
    for source in one.sources:
        with (
            suppress(DestinationError, ValueError, AttributeError),
            source.archive.read(source.place, f"{one.folder}/delivery.json") as blocks,
        ):
            uid = json.loads(b"".join(blocks)).get("study_uid")
            return uid if isinstance(uid, str) else None
    return None


def _add(found: dict[str, ArchivedCapture], name: str, archive: RawArchive, places: Iterable[str]) -> None:
    for place, folder, is_whole in _listed(archive, places):
        one = found.setdefault(folder, ArchivedCapture(folder))
        (one.sources if is_whole else one.begun).append(Source(name=name, archive=archive, place=place))


def _listed(archive: RawArchive, places: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    for place in places:
        for folder, is_whole in folders(archive.listing(place)).items():
            yield place, folder, is_whole


def _named(box: Box, source: str | None) -> dict[str, RawArchive]:
    archives: dict[str, RawArchive] = box.archives()
    if source is None:
        return archives
    if source not in archives:
        raise NotFound(f"No destination is called {source!r}; there are: {', '.join(archives) or 'none'}.")
    return {source: archives[source]}
