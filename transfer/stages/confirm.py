"""SENT, WAITING -> VERIFIED, and that once more, DICOM: every image read back shows the pixels that were received."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from kspace.clock import Clock
from transfer.destinations.imaging import DicomArchive, Stand, Whereabouts
from transfer.records import (
    Archived,
    DicomDelivery,
    Done,
    Held,
    Later,
    Outcome,
    SendAgain,
    StoredInstance,
    Waiting,
)
from transfer.routing import Route
from transfer.stages.forward import labels_of
from transfer.stages.proof import Proof, prove
from transfer.stages.sorting import Astray, Sorting, sort_out
from transfer.states import DeliveryState

_LOOK_AGAIN_S = 5.0
_ASK_PEOPLE_S = 60.0
_A_DAY_S = 86_400.0
_GAP_S = 600.0
"""Between leaving the prearchive and being found in the archive a session is nowhere for a while."""


def confirm(  # noqa: PLR0913 -- the ports
    delivery: DicomDelivery,
    *,
    archive: DicomArchive,
    spool: Path,
    routes: Sequence[Route],
    clock: Clock,
    progress: Callable[[], None],
) -> Outcome:
    """Follow the session from the prearchive into the archive and compare instance by instance.

    Raises:
        DestinationError: as its class says.
    """
    try:
        found = sort_out(delivery, routes)
    except Astray as error:
        if delivery.state is not DeliveryState.VERIFIED:
            return Done(SendAgain(str(error)))  # `forward` says what is to be done
        return Later(f"Not looked at again, and kept here: {error}", _A_DAY_S)
    if found.unsent:
        return Done(SendAgain("There are images of this study that were not sent yet."))
    there = archive.follow(delivery.place or "", labels_of(delivery))
    if there.stand is not Stand.ARCHIVED:
        return _elsewhere(delivery, there, clock)
    proof = prove(found.sent, archive.images(there.experiment, scratch=spool), progress=progress)
    return _compared(delivery, found, proof, there.experiment)


def _compared(delivery: DicomDelivery, found: Sorting, proof: Proof, experiment: str) -> Outcome:
    if not delivery.as_is and (altered := _news(proof.altered, delivery)):
        return Held(
            f"The archive's session {experiment} shows other pixels for {_count(altered)} than were received: a "
            f"script there may change them. What was received is safe in the spool; see the session, then retry, "
            f"{_AS_IS.format(id=delivery.id)}",
            "pixels",
        )
    missing = [one for one in _news(proof.missing, delivery) if not (delivery.as_is and _was_doubted(one, delivery))]
    if missing:
        return _lacking(delivery, missing, experiment)
    place = f"/data/experiments/{experiment}"
    lacking = frozenset(one.id for one in (*proof.missing, *proof.altered))
    return Done(Archived(experiment, place, _summary(found, proof), proof.aliases, lacking=lacking))


_AS_IS = "or take it without them with `kspace retry d{id} --as-is`: the raw data follow, and they are kept here."


def _news(instances: Sequence[StoredInstance], delivery: DicomDelivery) -> Sequence[StoredInstance]:
    return [one for one in instances if one.id not in delivery.lacking]


def _was_doubted(one: StoredInstance, delivery: DicomDelivery) -> bool:
    return one.series_uid in delivery.doubted


def _elsewhere(delivery: DicomDelivery, there: Whereabouts, clock: Clock) -> Outcome:
    since = clock.now() - delivery.since_at
    match there.stand:
        case Stand.WAITS if delivery.state is DeliveryState.WAITING:
            said = f"The session waits in the prearchive for a person there, for {_age(since)}."
            return Later(said, _ASK_PEOPLE_S)
        case Stand.WAITS:
            return Done(Waiting("The session is whole in the prearchive, and waits for a person there to archive it."))
        case Stand.STUCK:
            return Held(
                f"The session cannot be archived as it is (it stands in the prearchive as {there.said}): another one "
                "may have its label or its images. The images are safe in the spool. Settle it there, then retry. "
                'Where another path brings these images, their route must say forward = "observe".',
                "conflict",
            )
        case Stand.GONE if since >= timedelta(seconds=_GAP_S):
            return Held(
                f"The session is neither in the prearchive nor in project {delivery.project}: somebody moved or "
                "removed it there. The images are safe in the spool. Retry to send it again, or assign it to where it "
                "belongs.",
                "gone",
            )
        case _:
            return Later("The session is on its way from the prearchive into the archive.", _LOOK_AGAIN_S)


def _lacking(delivery: DicomDelivery, missing: Sequence[StoredInstance], experiment: str) -> Outcome:
    """Send once more what is not there; what is not there then either is refused there, for whatever reason."""
    names = frozenset(one.series_uid for one in missing)
    numbers = sorted({delivery.heads[uid].series.number or 0 for uid in names})
    which = f"{_count(missing)} of series {', '.join(map(str, numbers))}"
    if names <= delivery.doubted:
        return Held(
            f"The archive's session {experiment} does not show {which}, which were sent twice: a filter or a script "
            "there may reject them. They are safe in the spool; see to it there, then retry, "
            f"{_AS_IS.format(id=delivery.id)}",
            "rejected",
        )
    return Done(SendAgain(f"The archive lacks {which}; sent again.", names))


def _summary(found: Sorting, proof: Proof) -> str:
    lacking = [*proof.missing, *proof.altered]
    said = [f"{len(found.sent) - len(lacking)} image{'' if len(found.sent) - len(lacking) == 1 else 's'} verified"]
    if lacking:
        said.append(f"{_count(lacking)} not shown there as received, which a person knows, and kept here")
    if proof.by_content:
        said.append(f"{proof.by_content} of them under other UIDs, by series number, count and pixels")
    if found.refused:
        said.append(f"{_count(found.refused)} refused by the archive's own filter and kept here")
    if found.filtered:
        said.append(f"{_count(found.filtered)} left out by the route's filters and kept here")
    return "; ".join(said) + "."


def _count(instances: Sequence[StoredInstance]) -> str:
    return f"{len(instances)} image{'' if len(instances) == 1 else 's'}"


def _age(since: timedelta) -> str:
    days, hours = since.days, since.seconds // 3600
    return f"{days} day{'' if days == 1 else 's'}" if days else f"{hours} h"
