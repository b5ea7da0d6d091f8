"""Records as JSON columns and back. Only `Measurement`, `Study`, `Series` and `Instance` are stored that way."""

from dataclasses import asdict
from typing import Any

from dicom.records import Instance, Series, Study
from kspace.manifest import pack_ticks, unpack_ticks
from kspace.records import Measurement

Document = dict[str, Any]


def to_document(record: Measurement | Study | Series | Instance) -> Document:
    """Return a record as JSON values: ticks as runs; a series without what its instances tell."""
    document = asdict(record)
    match record:
        case Measurement():
            return document | {"ticks": pack_ticks(record.ticks)}
        case Series():
            return document | {"sop_uids": None, "ticks": None}
        case _:
            return document


def to_measurement(document: Document) -> Measurement:
    """Return the measurement a document was made of."""
    return Measurement(**_tuples(document) | {"ticks": unpack_ticks(document["ticks"])})


def to_study(document: Document) -> Study:
    """Return the study a document was made of."""
    return Study(**_tuples(document))


def to_series(document: Document, *, sop_uids: frozenset[str], ticks: frozenset[int]) -> Series:
    """Return the series a document was made of, with what its instances tell."""
    return Series(**document | {"sop_uids": sop_uids, "ticks": ticks})


def to_instance(document: Document) -> Instance:
    """Return the instance a document was made of."""
    return Instance(**_tuples(document))


def _tuples(document: Document) -> Document:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
