"""Which images of a study go where, which stay, and why: the one judgement that forward and confirm share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dicom.expressions import completed
from kspace.errors import KspaceError, Retry
from transfer.records import DicomDelivery, SeriesHead, StoredInstance
from transfer.routing import Route, Target, route_of, target_to


class Astray(KspaceError):
    """It is not certain where the study belongs: it waits for a person, and nothing is sent."""

    code = "route"
    retry = Retry.PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """The images of one delivery. ``sent`` are those that the archive's importer took, proved or not."""

    target: Target | None
    """None: a person said where it goes."""
    route: Route
    unsent: tuple[StoredInstance, ...]
    sent: tuple[StoredInstance, ...]
    refused: tuple[StoredInstance, ...]
    filtered: tuple[StoredInstance, ...]


def sort_out(delivery: DicomDelivery, routes: Sequence[Route]) -> Sorting:
    """Return what goes by which route.

    Raises:
        Astray: the routes lead nowhere, or the series of the study lead to different places.
    """
    target = None
    if delivery.assigned_by is None:
        target = agreed(delivery.heads, routes, destination=delivery.destination)
    said = target or target_to(routes, delivery.study, destination=delivery.destination, project=delivery.project)
    route = said.route
    kept = {uid for uid, head in delivery.heads.items() if route.refusal(head.study, head.series)}
    piles: dict[str, list[StoredInstance]] = {"unsent": [], "sent": [], "refused": [], "filtered": []}
    for one in delivery.instances:
        piles[_pile(one, delivery, is_kept=one.series_uid in kept)].append(one)
    return Sorting(target=target, route=route, **{name: tuple(pile) for name, pile in piles.items()})


def _pile(one: StoredInstance, delivery: DicomDelivery, *, is_kept: bool) -> str:
    if one.id <= delivery.imported.get(one.series_uid, 0):
        return "sent"
    if one.id <= delivery.refused.get(one.series_uid, 0):
        return "refused"
    return "filtered" if is_kept else "unsent"


def agreed(heads_of: Mapping[str, SeriesHead], routes: Sequence[Route], *, destination: str) -> Target:
    """Return where all series of a study say that it goes, at one destination.

    Raises:
        Astray: the routes lead nowhere, or the series lead to different places.
    """
    found: dict[tuple[str, str, str], Target] = {}
    lost = False
    heads = list(heads_of.values())
    for head, study in zip(heads, completed([head.study for head in heads]), strict=True):
        ways, _ = route_of(routes, study, called_ae=head.called_ae, calling_ae=head.calling_ae)
        here = [way for way in ways if way.destination == destination]
        lost = lost or not here
        found |= {(way.project, way.subject, way.session): way for way in here}
    if len(found) == 1 and not lost:
        return next(iter(found.values()))
    what = "The series of this study do not belong to one place" if found else "No route leads this study here any more"
    raise Astray(
        f"{what}. Nothing more is sent, all that came is safe in the spool. See `kspace study`, and say with "
        "`kspace assign` where it goes."
    )
