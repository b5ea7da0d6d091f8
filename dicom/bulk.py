"""The digest of what must survive every rewriting of a DICOM header: the image itself."""

from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

_BULK = (
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "SpectroscopyData",
    "EncapsulatedDocument",
    0x7FE11010,  # Siemens' own spectra and raw data: creator SIEMENS CSA NON-IMAGE
)
_DEFER_BYTES = 1 << 20
"""Larger values are read block by block, so that memory stays flat for an object of any size."""
_BLOCK = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000


class Bulk(NamedTuple):
    """One instance as an archive must still show it: who it is, and what is in it."""

    sop_uid: str
    series_uid: str
    series_number: str
    digest: str


def bulk_of(source: Path | BinaryIO) -> Bulk:
    """Return an instance's identity and the SHA-256 over its bulk data elements' values.

    Archives rewrite headers (file meta information, anonymisation); these values they leave alone. Objects without
    bulk data have the digest of nothing, so for them only identity and number are evidence.

    Raises:
        pydicom.errors.InvalidDicomError: this is no DICOM file.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as handle:
        handle.seek(0)
        dataset = pydicom.dcmread(handle, defer_size=_DEFER_BYTES)
        if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            handle.seek(0)  # positions are those of the inflated bytes, so nothing can be put off
            dataset = pydicom.dcmread(handle)
        digest = sha256()
        for keyword in _BULK:
            if keyword in dataset:
                for block in _blocks(handle, dataset, keyword):
                    digest.update(block)
    number = str(dataset.get("SeriesNumber") or "")
    return Bulk(str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID), number, digest.hexdigest())


def _blocks(handle: BinaryIO, dataset: FileDataset, keyword: str | int) -> Iterator[bytes]:
    element: Any = dataset.get_item(keyword, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.value is not None:
        if isinstance(element.value, bytes):
            yield element.value
        return
    handle.seek(element.value_tell)
    if element.length != _UNDEFINED:
        yield from _read(handle, element.length)
        return
    order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
    while len(head := handle.read(8)) == 8:  # encapsulated: items until the delimiter, which is no part of the value
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
        if tag != _ITEM:
            return
        yield head
        yield from _read(handle, int.from_bytes(head[4:], order))


def _read(handle: BinaryIO, left: int) -> Iterator[bytes]:
    while left and (block := handle.read(min(left, _BLOCK))):
        left -= len(block)
        yield block
