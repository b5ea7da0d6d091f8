"""What this machine can keep up with: its disk, its processors and its lines measured, and the least of them named."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from hardware.host.speed import measure
from hardware.records import PoolMode
from kspace.errors import BadInput, DestinationError, SpoolError
from kspace.pack import pack
from kspace.sources.share import Share, ShareSettings
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.destinations import Body
from transfer.destinations.timing import Timed

_BLOCK = 1 << 20
_PART_BYTES = 256_000_000
_UPLOAD_BYTES = 64 << 20
_SHARE_S = 20.0
_CHANNELS, _SAMPLES = 32, 512
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One stretch of a raw file's way."""

    name: str
    said: str
    gb_per_hour: float | None
    """Of raw data as the scanner holds them, 1 GB = 10^9 bytes; None: it could not be measured."""


def run_bench(
    box: Box, *, gigabytes: float, share: str | None, project: str | None, tell: Callable[[str], None]
) -> Iterator[Stretch]:
    """Measure every stretch in turn, saying before each what is being measured.

    The scanner's side is only touched where ``share`` names a source: while it may be read, through its limiter, and
    with no engine beside it, which has a limiter of its own. The line to an archive is only measured where ``project``
    names a scratch project there.

    Raises:
        BadInput: no source is called so, or its scanner may not be read now.
        ConfigError: an engine runs on this folder.
        SpoolError: the spool's disk takes nothing more.
        SourceError: the share does not answer.
    """
    if box.mode() is not PoolMode.NORMAL:
        raise SpoolError("A disk of the relay is too full to be measured; nothing was written. Make room first.")
    shrinks, whence = _shrinks_to(box)
    size = int(gigabytes * 1e9)
    if share is not None:
        tell(f"reading from {share} for {_SHARE_S:.0f} s, within its limit")
        yield _share(box, share)
    else:
        yield from _limits(box)
    with tempfile.TemporaryDirectory(dir=box.config.relay.spool, prefix="bench-") as name:
        tell(f"writing and reading {gigabytes:g} GB on the spool's disk")
        yield _disk(Path(name), size, shrinks)
        tell(f"packing {gigabytes:g} GB of practice data")
        yield _packing(Path(name), size)
    for destination, archive in box.archives().items() if project is not None else ():
        if isinstance(archive, Timed):
            tell(f"sending to {destination}")
            yield _upload(destination, archive, project=project or "", shrinks=shrinks, whence=whence)


def _shrinks_to(box: Box) -> tuple[float, str]:
    """Return which share of its bytes a raw file keeps when it is packed, and how that is known."""
    c = tables.capture.c
    sums = select(func.sum(tables.source_file.c.size), func.sum(c.stored_bytes)).join(tables.capture)
    with box.database.read() as connection:
        size, stored = connection.execute(sums.where(c.stored_bytes.is_not(None))).one()
    return (stored / size, "as the captures so far") if size else (1.0, "as if nothing became smaller")


def _limits(box: Box) -> Iterator[Stretch]:
    for scanner in box.config.scanner:
        rate = scanner.limit_mbit_per_s * 1e6 / 8
        said = f"its limit of {scanner.limit_mbit_per_s:g} Mbit/s; not measured"
        yield Stretch(name=f"scanner {scanner.name}", said=said, gb_per_hour=_per_hour(rate))


def _share(box: Box, name: str) -> Stretch:
    found = box.sources().get(name)
    if found is None:
        raise BadInput(f"No source is called {name!r}; there are: {', '.join(box.sources()) or 'none'}.")
    box.claim("engine")
    scanner, source = found
    manners = box.manners()[scanner]
    if later := manners.waits():
        raise BadInput(f"Scanner {scanner} may not be read now: {later.reason} Nothing was read.")
    largest = max(source.find(), key=lambda file: file.size, default=None)
    if largest is None:
        raise BadInput(f"There is no raw file on {name} to read from.")
    began, at = time.monotonic(), 0
    with source.open(largest.path) as reader:
        while at < largest.size and time.monotonic() - began < _SHARE_S and not manners.waits():
            block = reader.read(at, _BLOCK)
            if not block:
                break
            at += len(block)
    rate = at / max(time.monotonic() - began, 1e-9)
    return Stretch(name=f"share {name}", said=_megabytes(rate), gb_per_hour=_per_hour(rate))


def _disk(folder: Path, size: int, shrinks: float) -> Stretch:
    written, read = measure(folder / "disk", size=size)
    rate = 1 / (shrinks / written + shrinks / read)  # it is read again when it is sent
    said = f"writes {_megabytes(written)}, reads {_megabytes(read)}"
    return Stretch(name="spool's disk", said=said, gb_per_hour=_per_hour(rate))


def _packing(folder: Path, size: int) -> Stretch:
    readouts = size // (192 + _CHANNELS * (32 + 8 * _SAMPLES))
    path = folder / "practice.dat"
    write_twix(path, Synthetic(channels=_CHANNELS, samples=_SAMPLES, readouts=max(readouts, 1)))
    began = time.monotonic()
    with Share(ShareSettings(path=folder)).open(path.name) as reader:
        pack(reader, size=path.stat().st_size, target=folder / "practice.packed", cuts=(_PART_BYTES,))
    rate = path.stat().st_size / (time.monotonic() - began)
    said = f"{_megabytes(rate)}: hashed, walked, encoded, decoded again, compared and digested"
    return Stretch(name="packing", said=said, gb_per_hour=_per_hour(rate))


def _upload(name: str, archive: Timed, *, project: str, shrinks: float, whence: str) -> Stretch:
    block = os.urandom(_BLOCK)

    def blocks() -> Iterator[bytes]:
        return (block for _ in range(0, _UPLOAD_BYTES, _BLOCK))

    body = Body(size=_UPLOAD_BYTES, md5="", sha256="", blocks=blocks)
    try:
        line = archive.time_upload(body, project=project)
    except DestinationError as error:
        return Stretch(name=f"line to {name}", said=str(error), gb_per_hour=None)
    stays = "".join(
        f"; this account may not delete what was made for it; empty there stays: {left}" for left in line.left
    )
    said = f"{_megabytes(line.bytes_per_s)}; files shrink to {shrinks:.2f}, {whence}{stays}"
    return Stretch(name=f"line to {name}", said=said, gb_per_hour=_per_hour(line.bytes_per_s / shrinks))


def _per_hour(bytes_per_s: float) -> float:
    return bytes_per_s * _HOUR_S / 1e9


def _megabytes(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:,.0f} MB/s"
