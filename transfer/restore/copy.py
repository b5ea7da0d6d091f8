"""What an archive holds of one capture: its manifest, and which part holds which bytes of the original file."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate

from kspace.chunks import MAX_CHUNK_BYTES
from kspace.container import cut
from kspace.errors import BadInput
from kspace.manifest import Manifest, read_manifest
from kspace.records import Chunk
from transfer.destinations import Ranged, RawArchive
from transfer.destinations.errors import NotHeld

_PIECE_BYTES = 64 << 20
"""Of a part that can be read in stretches, where one object may be a whole capture."""
_PART = re.compile(r"part-\d{5}\.bin")
_FOLDER = re.compile(r"(\d{7}-[0-9a-f]{12})/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What is fetched at once, a part or a stretch of one: chunks, each with where it begins in the original file."""

    name: str
    skip: int
    """How many bytes of the part lie before it."""
    size: int
    start: int
    end: int
    """In the original file, bytes."""
    chunks: tuple[tuple[int, Chunk], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One archive's copy of one capture."""

    archive: RawArchive
    place: str
    folder: str
    manifest: Manifest
    pieces: tuple[Piece, ...]


def folders(names: Iterable[str]) -> dict[str, bool]:
    """Return the captures' folders among the names at a place, each with whether its manifest is there."""
    found: dict[str, bool] = {}
    for name in sorted(names):
        if folder := _FOLDER.match(name):
            found[folder[1]] = found.get(folder[1], False) or name == f"{folder[1]}/manifest.json"
    return found


def open_copy(archive: RawArchive, *, place: str, folder: str, sha256_expected: str | None = None) -> Copy:
    """Read what the archive says of a capture, and see that it agrees with itself; nothing of it is believed yet.

    Raises:
        NotHeld: something is missing, or is not of this capture.
        DestinationError: the archive does not answer.
    """
    document = _read(archive, place, f"{folder}/manifest.json")
    try:
        manifest = read_manifest(document)
    except BadInput as error:
        raise NotHeld(f"The archive gives back a damaged manifest of {folder}. {error}") from error
    digest = folder.partition("-")[2] if sha256_expected is None else sha256_expected
    if not digest or not manifest.sha256.startswith(digest):
        raise NotHeld(f"The archive's manifest of {folder} is of another file; nothing was written.")
    starts = _starts(folder, manifest)
    sizes = _sizes(archive, place, folder, manifest=document) or _listed(archive, place, folder)
    cuts = {chunk.offset: index for index, chunk in enumerate(manifest.chunks)}
    cuts[sum(sizes.values())] = len(manifest.chunks)
    bounds = [0, *accumulate(sizes.values())]
    if bounds[-1] != _stored_bytes(manifest) or any(at not in cuts for at in bounds):
        raise NotHeld(
            f"The archive's parts of {folder} do not add up to what its manifest describes; nothing was written. "
            "Where the relay still has the capture, `kspace verify` has it sent again."
        )
    placed = list(zip(starts, manifest.chunks, strict=True))
    most = _PIECE_BYTES if isinstance(archive, Ranged) else sys.maxsize
    pieces = tuple(
        piece
        for name, first, last in zip(sizes, bounds, bounds[1:], strict=False)
        for piece in _pieces(name, placed[cuts[first] : cuts[last]], most=most)
    )
    return Copy(archive=archive, place=place, folder=folder, manifest=manifest, pieces=pieces)


def _starts(folder: str, manifest: Manifest) -> list[int]:
    """Return where each chunk's bytes begin in the original file, after seeing that the table has no gap."""
    offsets = [0, *accumulate(c.stored_bytes for c in manifest.chunks)]
    starts = [0, *accumulate(c.raw_bytes for c in manifest.chunks)]
    is_sound = all(c.offset == at for c, at in zip(manifest.chunks, offsets, strict=False))
    is_sound &= all(c.raw_bytes <= MAX_CHUNK_BYTES for c in manifest.chunks)
    if starts.pop() != manifest.size or not is_sound:
        raise NotHeld(f"The archive's manifest of {folder} contradicts itself; nothing was written.")
    return starts


def _stored_bytes(manifest: Manifest) -> int:
    return sum(chunk.stored_bytes for chunk in manifest.chunks)


def _pieces(name: str, placed: Sequence[tuple[int, Chunk]], *, most: int) -> Iterator[Piece]:
    at = 0
    for run in cut((chunk for _, chunk in placed), part_bytes=most):
        chunks = tuple(placed[at : at + len(run)])
        at += len(run)
        yield Piece(
            name=name,
            skip=run[0].offset - placed[0][1].offset,
            size=sum(chunk.stored_bytes for chunk in run),
            start=chunks[0][0],
            end=chunks[-1][0] + run[-1].raw_bytes,
            chunks=chunks,
        )


def _sizes(archive: RawArchive, place: str, folder: str, *, manifest: bytes) -> dict[str, int]:
    """Return the parts' sizes by ``delivery.json``, nothing where it is of no use: without it the list must do."""
    try:
        said = json.loads(_read(archive, place, f"{folder}/delivery.json"))
        if said["manifest_sha256"] != sha256(manifest).hexdigest():
            return {}
        sizes = {str(part["name"]): int(part["size"]) for part in said["parts"]}
    except (NotHeld, ValueError, KeyError, TypeError):
        return {}
    is_sound = all(_PART.fullmatch(name) and size > 0 for name, size in sizes.items())
    return dict(sorted(sizes.items())) if is_sound else {}


def _listed(archive: RawArchive, place: str, folder: str) -> dict[str, int]:
    listed = sorted(archive.listing(place).items())
    sizes = {name.removeprefix(f"{folder}/"): stored.size for name, stored in listed if name.startswith(f"{folder}/")}
    return {name: size for name, size in sizes.items() if _PART.fullmatch(name)}


def _read(archive: RawArchive, place: str, name: str) -> bytes:
    with archive.read(place, name) as blocks:
        return b"".join(blocks)
