"""The manifest: what a capture is and how to get the original bytes back. Frozen once packed; the same for ever."""

import json
import re
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import accumulate, groupby, pairwise
from typing import Any

from kspace.errors import BadInput
from kspace.records import Chunk, Measurement, Packed

FORMAT = "kspace-capture"
_VERSION = 1
_RESTORE = (
    "Put the parts together in the order of their names; that is the packed file. Decode each chunk of the table by "
    "its codec, in order; that is the original file of the size and sha256 given under source. Where every codec is "
    "zstd: cat part-*.bin | zstd -d"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What restoring needs of a manifest."""

    name: str | None
    """The file's name, where it says nothing of a patient."""
    size: int
    sha256: str
    chunks: tuple[Chunk, ...]
    headers: tuple[tuple[int, int], ...]
    """(offset, length) of each measurement's header in the file, in bytes; a measurement begins with its header."""


def write_manifest(packed: Packed, *, source_name: str | None) -> bytes:
    """Return the manifest as canonical JSON: the same capture always gives the same bytes.

    ``source_name`` is None where the name may hold patient data (see `harmless_name`).
    """
    document = {
        "format": FORMAT,
        "version": _VERSION,
        "program": f"kspace-relay {version('kspace-relay')}",
        "restore": _RESTORE,
        "source": {"name": source_name, "size": packed.size, "sha256": packed.sha256},
        "audit": asdict(packed.audit),
        "measurements": [_described(m) for m in packed.measurements],
        "stored_bytes": packed.stored_bytes,
        "chunk_columns": ["offset", "raw_bytes", "stored_bytes", "codec", "sha256"],
        "chunks": [[c.offset, c.raw_bytes, c.stored_bytes, c.codec, c.sha256] for c in packed.chunks],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_manifest(document: bytes) -> Manifest:
    """Return what a manifest says.

    Raises:
        BadInput: this is no manifest, or one of a later version.
    """
    try:
        said = json.loads(document)
        if said["format"] != FORMAT or said["version"] != _VERSION:
            raise BadInput(f"The manifest is of version {said['version']!r}; this program reads {_VERSION}.")
        source = said["source"]
        return Manifest(
            name=_plain_name(source["name"]),
            size=source["size"],
            sha256=source["sha256"],
            chunks=tuple(_chunk(*row) for row in said["chunks"]),
            headers=tuple(_header(m["offset"], m["header_bytes"]) for m in said["measurements"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("This is no manifest of a capture; the data beside it is untouched.") from error


def harmless_name(path: str, measurements: Iterable[Measurement]) -> str | None:
    """Return the file's name where every piece of it is known from the header, else None.

    The host's export names files ``meas_MID<mid>_FID<fid>_<protocol>.dat``; any other name may hold a patient's.
    """
    name = path.rsplit("/", 1)[-1]
    found = re.fullmatch(r"meas_MID\d{1,6}_FID\d{1,6}_(.*)\.dat", name)
    known = {re.sub(r"\W", "_", m.protocol) for m in measurements if m.protocol}
    return name if found and re.sub(r"\W", "_", found[1]) in known else None


def pack_ticks(ticks: "array[int]") -> list[list[int]]:
    """Return readout ticks as [first tick], then [step, how often] runs."""
    if not ticks:
        return []
    steps = (b - a for a, b in pairwise(ticks))
    return [[ticks[0]], *([step, sum(1 for _ in run)] for step, run in groupby(steps))]


def unpack_ticks(runs: list[list[int]]) -> "array[int]":
    """Return the ticks `pack_ticks` was given."""
    if not runs:
        return array("I")
    steps = (step for step, count in runs[1:] for _ in range(count))
    return array("I", accumulate(steps, initial=runs[0][0]))


def _chunk(offset: int, raw: int, stored: int, codec: str, digest: str) -> Chunk:
    if not all(type(n) is int and n >= 0 for n in (offset, raw, stored)) or not isinstance(codec, str):
        raise ValueError("a chunk's place and lengths are whole numbers, its codec is a name")
    return Chunk(offset=offset, raw_bytes=raw, stored_bytes=stored, codec=codec, sha256=digest)


def _header(offset: int, length: int) -> tuple[int, int]:
    if not all(type(n) is int and n >= 0 for n in (offset, length)):
        raise ValueError("a header's place and length are whole numbers")
    return offset, length


def _plain_name(name: str | None) -> str | None:
    """Return the name if it is one: what an archive gives back is not trusted with a path."""
    return name if isinstance(name, str) and re.fullmatch(r"\w[^/\0-\x1f]{0,200}", name) else None


def _described(measurement: Measurement) -> dict[str, Any]:
    return asdict(measurement) | {"ticks": pack_ticks(measurement.ticks)}
