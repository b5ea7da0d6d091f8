"""QUEUED -> SENT, DICOM: a quiet study's images, one series a run, into the archive's waiting room; then commit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from dicom.deidentify import demand
from kspace.clock import Clock
from transfer.destinations.errors import Missing, TooLarge
from transfer.destinations.imaging import DicomArchive, Labels, Stand, Whereabouts
from transfer.records import (
    DicomDelivery,
    Done,
    Held,
    Imported,
    Later,
    Observing,
    Outcome,
    Rerouted,
    Sent,
    StoredInstance,
)
from transfer.routing import Route, Target
from transfer.stages.sorting import Sorting, sort_out
from transfer.stages.zipping import batch_of, zip_of

_BUSY_S = 5.0


def forward(  # noqa: PLR0913 -- the ports
    delivery: DicomDelivery,
    *,
    archive: DicomArchive,
    routes: Sequence[Route],
    clock: Clock,
    quiet_s: float,
    most_bytes: int,
    progress: Callable[[], None],
) -> Outcome:
    """Send the next series of what the archive's importer has not taken yet, or commit when it has all.

    Each series is an outcome of its own, so a crash costs one series, and one that is sent twice replaces itself.

    Raises:
        Astray: it is not certain where the study belongs.
        NoProfile: it must be de-identified, and cannot.
        DestinationError: as its class says.
    """
    left_s = (delivery.last_arrival_at + timedelta(seconds=quiet_s) - clock.now()).total_seconds()
    if left_s > 0:
        return Later("DICOM of this study is still arriving.", left_s)
    if not delivery.instances and delivery.experiment is None:
        return Held("No image of this study is on this machine (any more). See `kspace study`.", "empty")
    found = sort_out(delivery, routes)
    if found.target is not None and _differs(found.target, delivery):
        return _rerouted(found.target, delivery)
    demand(found.route.deidentify)
    if found.route.forward == "observe":
        return Done(Observing())
    if not found.unsent:
        return _commit(delivery, found, archive)
    return _import(delivery, batch_of(found.unsent, most_bytes=most_bytes), archive=archive, progress=progress)


def _commit(delivery: DicomDelivery, found: Sorting, archive: DicomArchive) -> Outcome:
    if delivery.place is None:
        why = (
            "the archive's own filter refused every series" if found.refused else "the route's filters leave no series"
        )
        return Held(f"Nothing of this study is sent: {why}. The images are kept here. See `kspace study`.", "filtered")
    try:
        place = archive.finish(delivery.place, archive=found.route.archive, again=bool(delivery.doubted))
    except Missing:
        place = delivery.place  # somebody there, or this very commit before its answer got lost, has taken it on
    return Done(Sent(place))


def _import(
    delivery: DicomDelivery, batch: Sequence[StoredInstance], *, archive: DicomArchive, progress: Callable[[], None]
) -> Outcome:
    labels = labels_of(delivery)
    there = archive.follow(delivery.place, labels) if delivery.place else Whereabouts(stand=Stand.OPEN)
    if there.stand is Stand.MOVING:
        return Later(f"The archive is busy with the session ({there.said}); what came since follows.", _BUSY_S)
    if there.stand is Stand.ARCHIVED:
        # It keeps the labels it has there, whoever renamed it.
        labels = replace(labels, subject=there.subject or labels.subject, session=there.session)
    place, batch = _sent(batch, labels, archive=archive, progress=progress)
    uid, last = batch[0].series_uid, batch[-1].id
    count = f"{len(batch)} image{'' if len(batch) == 1 else 's'} of series {delivery.heads[uid].series.number}"
    if place is None:
        refused = {**delivery.refused, uid: last}
        said = f"The archive's own filter took none of {count}."
        return Done(Imported(place=delivery.place, imported=delivery.imported, refused=refused, said=said))
    imported = {**delivery.imported, uid: last}
    if there.stand is not Stand.ARCHIVED and delivery.place not in {None, place}:
        # Another waiting session than before: somebody there threw away what was in that one. It is sent again.
        is_whole = batch[0] == next(one for one in delivery.instances if one.series_uid == uid)
        imported = {uid: last} if is_whole else {}
    return Done(Imported(place=place, imported=imported, refused=delivery.refused, said=f"Sent {count}."))


def _sent(
    batch: Sequence[StoredInstance], labels: Labels, *, archive: DicomArchive, progress: Callable[[], None]
) -> tuple[str | None, Sequence[StoredInstance]]:
    """Send as much of a batch as the archive takes in one body, and return where it went and what that was."""
    while True:
        try:
            return archive.import_zip(zip_of(batch, progress=progress), labels), batch
        except TooLarge:
            if len(batch) == 1:
                raise
            batch = batch[: len(batch) // 2]


def labels_of(delivery: DicomDelivery) -> Labels:
    """Return what the session is to be called."""
    return Labels(
        project=delivery.project,
        subject=delivery.subject,
        session=delivery.session,
        study_uid=delivery.study.study_uid,
    )


def _differs(target: Target, delivery: DicomDelivery) -> bool:
    return (target.project, target.subject, target.session) != (delivery.project, delivery.subject, delivery.session)


def _rerouted(target: Target, delivery: DicomDelivery) -> Outcome:
    if delivery.place is not None or delivery.experiment is not None:
        return Held(
            f"The routes now lead this study to project {target.project}, and images of it were sent to "
            f"{delivery.project} before. Nothing more is sent; the images are safe in the spool. Say with "
            "`kspace assign` where it goes.",
            "route",
        )
    labels = {"project": target.project, "subject": target.subject, "session": target.session}
    return Done(Rerouted(**labels, said=f"Goes to project {target.project}: {target.why}."))
