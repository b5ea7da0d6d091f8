"""SETTLED -> PACKED: the one full read of the file, into the spool."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path

from kspace import pack as kspace_pack
from kspace.errors import FileVanished
from kspace.manifest import harmless_name, write_manifest
from kspace.records import Packed, Verdict
from kspace.sources import Source
from transfer.records import Capture, Changed, Done, Held, Later, Outcome, PackedUp, Twin
from transfer.stages.vanished import vanished

_NO_ROOM_S = 20.0


def pack(  # noqa: PLR0911, PLR0913 -- one for each way it ends; the ports
    capture: Capture,
    *,
    source: Source,
    spool: Path,
    codec: str,
    chunk_bytes: int,
    cuts: Collection[int],
    twin_of: Callable[[str, int], int | None],
    room_for: Callable[[Path, int], AbstractContextManager[bool]],
    progress: Callable[[], None],
) -> Outcome:
    """Pack the file, then see that it still is the one that was looked at, and that the walk found it whole.

    ``twin_of`` returns the capture that already holds bytes of this SHA-256, but for the capture itself: an export
    made twice is delivered once. ``room_for`` keeps room in the pool while the file is packed, and says whether there
    is enough: at worst it packs to its own size.

    Raises:
        SourceError: the share does not answer, or the file vanished or shrank.
        SpoolError: the disk refuses, or the file is larger than it ever takes.
    """
    target = spool / capture.spooled
    try:
        before = source.stat(capture.file.path)
    except FileVanished:
        return vanished(capture)
    if before == capture.file:
        with room_for(target, capture.file.size) as has_room, source.open(capture.file.path) as reader:
            if not has_room:
                return _waits(capture, target)
            packed = kspace_pack.pack(
                reader,
                size=capture.file.size,
                target=target,
                codec=codec,
                chunk_bytes=chunk_bytes,
                cuts=cuts,
                of=f"{capture.file.size} bytes of {capture.file.mtime_ns}",
                progress=lambda _bytes: progress(),
            )
        before = source.stat(capture.file.path)
    if before != capture.file:
        kspace_pack.drop(target)
        return Done(Changed(before, "The file changed while it was read; it is looked at from the start."))
    if packed.audit.verdict is Verdict.SUSPECT_HOLE and not _reads_the_same(source, capture, packed, progress):
        kspace_pack.drop(target)
        return Done(Changed(before, "Read again, the file gave other bytes; it is looked at from the start."))
    whole = packed.audit.verdict.is_whole or packed.audit.verdict in {Verdict.SUSPECT_HOLE, Verdict.NOT_TWIX}
    if not whole and not capture.as_is:
        return Held(
            f"{packed.audit.reason} What could be read is kept in the spool, nothing is sent: export the file again on "
            f"the scanner, or take it as it is with `kspace retry {capture.id} --as-is`.",
            "damaged",
        )
    twin = twin_of(packed.sha256, capture.id)
    if twin is not None:
        return Done(Twin(packed, twin))
    name = harmless_name(capture.file.path, packed.measurements)
    return Done(PackedUp(packed, write_manifest(packed, source_name=name)))


def _waits(capture: Capture, target: Path) -> Later:
    kept = f" What was read of it, {target.stat().st_size / 1e9:.1f} GB, is kept." if target.exists() else ""
    return Later(
        f"Waits until the spool has room for its {capture.file.size / 1e9:.1f} GB; smaller files go on meanwhile. "
        f"See `kspace pools`.{kept}",
        _NO_ROOM_S,
    )


def _reads_the_same(source: Source, capture: Capture, packed: Packed, progress: Callable[[], None]) -> bool:
    """Read the source once more where zeros may stand for bytes that a share had not got yet."""
    with source.open(capture.file.path) as reader:
        again = kspace_pack.digest_of(reader, size=packed.size, progress=progress)
    return again == packed.sha256
