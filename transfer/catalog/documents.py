"""Records as JSON columns and back. Only `Measurement`, `Study`, `Series` and `Instance` are stored that way."""

from dataclasses import asdict
from typing import Any

from dicom.records import Instance, Series, Study
from kspace.manifest import pack_ticks, unpack_ticks
from kspace.records import Measurement

Document = dict[str, Any]


def from_measurement(measurement: Measurement) -> Document:
    """Return a measurement as JSON values; its ticks as runs."""
    return asdict(measurement) | {"ticks": pack_ticks(measurement.ticks)}


def to_measurement(document: Document) -> Measurement:
    """Return the measurement `from_measurement` was given."""
    return Measurement(**_tuples(document) | {"ticks": unpack_ticks(document["ticks"])})


def from_study(study: Study) -> Document:
    """Return a study as JSON values."""
    return asdict(study)


def to_study(document: Document) -> Study:
    """Return the study `from_study` was given."""
    return Study(**_tuples(document))


def from_series(series: Series) -> Document:
    """Return a series as JSON values, without what its instances tell (`to_series` puts it back)."""
    return asdict(series) | {"sop_uids": None, "ticks": None}


def to_series(document: Document, *, sop_uids: frozenset[str], ticks: frozenset[int]) -> Series:
    """Return a series with what its instances tell."""
    return Series(**document | {"sop_uids": sop_uids, "ticks": ticks})


def from_instance(instance: Instance) -> Document:
    """Return an instance as JSON values."""
    return asdict(instance)


def to_instance(document: Document) -> Instance:
    """Return the instance `from_instance` was given."""
    return Instance(**_tuples(document))


def _tuples(document: Document) -> Document:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
