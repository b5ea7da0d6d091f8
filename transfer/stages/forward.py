"""QUEUED -> SENT, DICOM: a quiet study's images, series by series, into the archive's waiting room; then commit."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from kspace.clock import Clock
from transfer.destinations import DicomArchive
from transfer.records import DicomDelivery, Done, Held, Later, Outcome, Sent, StoredInstance


def forward(  # noqa: PLR0913 -- the ports
    delivery: DicomDelivery,
    *,
    archive: DicomArchive,
    spool: Path,
    clock: Clock,
    quiet_s: float,
    progress: Callable[[], None],
) -> Outcome:
    """Send the instances that the archive's own catalogs do not list yet.

    Raises:
        DestinationError: as its class says.
    """
    left_s = (delivery.last_arrival_at + timedelta(seconds=quiet_s) - clock.now()).total_seconds()
    if left_s > 0:
        return Later("DICOM of this study is still arriving.", left_s)
    if not delivery.instances:
        return Held(
            "No image of this study is on this machine: they came under another study. See the catalog.", "empty"
        )
    experiment = archive.find(project=delivery.project, study_uid=delivery.study.study_uid)
    there = archive.sop_uids(experiment) if experiment else frozenset[str]()
    missing = [i for i in delivery.instances if i.instance.sop_uid not in there]
    if not missing:
        return Done(Sent(delivery.place or f"/data/experiments/{experiment}"))
    place = ""
    for _, group in groupby(missing, key=lambda i: i.series_uid):
        with tempfile.NamedTemporaryFile(dir=spool, suffix=".zip") as zipped:
            _zip(Path(zipped.name), list(group))
            place = archive.import_zip(
                Path(zipped.name), project=delivery.project, subject=delivery.subject, session=delivery.session
            )
        progress()
    return Done(Sent(archive.finish(place)))


def _zip(target: Path, instances: Sequence[StoredInstance]) -> None:
    """Stored, not deflated: the names inside are numbers, for UIDs may be dates of a patient's visits."""
    with ZipFile(target, "w", ZIP_STORED) as zipped:
        for number, stored in enumerate(instances):
            zipped.write(stored.path, f"{number:06d}.dcm")
