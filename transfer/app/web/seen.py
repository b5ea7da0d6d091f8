"""A project as somebody sees it: its versions, what ran for it, and whether they may change its rules."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Path, Query

from kspace.errors import NotFound
from transfer.app.rule_rehearsal import Protocol, protocols
from transfer.app.web.access import NotAllowed, Visit
from transfer.app.web.site import Site
from transfer.catalog.ran import destinations_of, what_ran
from transfer.catalog.rulebook import Version
from transfer.wishes import Wish

Name = Annotated[str, Path(max_length=64, pattern=r"^[^/\x00-\x1f\x7f]+$")]
Weeks = Annotated[int, Query(ge=1, le=52)]
Number = Annotated[int | None, Query(ge=0, le=1_000_000)]
_MORE = "There is no such project here, or it is not yours. Projects are listed under Rules."


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A project that somebody sees, with its versions."""

    name: str
    destination: str | None
    """None: of whichever archive."""
    versions: list[Version]
    why_not: str | None
    """Why this person may not change its rules; None: they may."""

    @property
    def in_force(self) -> Version:
        """The version that decides."""
        return self.versions[0]

    def version(self, number: int | None) -> Version:
        """Return a version by its number; without one that in force.

        Raises:
            NotFound: there is none of this number.
        """
        found = next((one for one in self.versions if number in {None, one.version}), None)
        if found is None:
            raise NotFound(f"There is no version {number} of these rules; the newest is {self.in_force.version}.")
        return found


def demand_seen(site: Site, visit: Visit, name: str, *, to_change: bool = False) -> Seen:
    """Return a project as somebody sees it.

    Raises:
        NotFound: they do not see it, or it is not there.
        NotAllowed: they see it, and may not change its rules.
    """
    if not sees(visit, name):
        raise NotFound(_MORE)
    with site.box.database.read() as connection:
        versions = site.box.rules.versions(connection, name)
        elsewhere = destinations_of(connection, name)
        is_there = bool(versions[1:] or versions[0].wishes or elsewhere)
    if visit.is_admin and not is_there and name not in routed(site):
        raise NotFound(_MORE)
    why_not = None
    if not visit.owns.of({"destination": visit.destination, "project": name}):
        why_not = "Its owners in the archive change its rules, and administrators."
    elif not visit.is_admin and elsewhere & set(site.settings.sign_in) - {visit.destination}:
        why_not = "Projects of this name are in more than one archive: an administrator changes their rules."
    if to_change and why_not is not None:
        raise NotAllowed(f"You may not change these rules. {why_not} Nothing was changed.")
    return Seen(name=name, destination=visit.destination, versions=versions, why_not=why_not)


def listed(site: Site, seen: Seen, wishes: tuple[Wish, ...], *, weeks: int) -> list[Protocol]:
    """Return the protocols that ran for a project, beside what its rules and other ones want of them."""
    since = site.clock.now() - timedelta(weeks=weeks)
    with site.box.database.read() as connection:
        ran = what_ran(connection, seen.name, since=since, destination=seen.destination)
    return protocols(ran, now=seen.in_force.wishes, then=wishes)


def sees(visit: Visit, project: str) -> bool:
    """Return whether somebody sees a project of this name, where their account is."""
    return visit.sight.of({"destination": visit.destination, "project": project})


def routed(site: Site) -> set[str]:
    """Return the projects that the configuration's routes name."""
    return {name for route in site.box.config.route for name in (route.project, *(route.projects or ())) if name}
