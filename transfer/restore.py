"""Archive -> byte-identical .dat: read the manifest back, then every part, decode, and believe only the digest."""

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from kspace.container import unpack
from kspace.errors import BadInput, SpoolError
from kspace.manifest import read_manifest
from kspace.paths import sync_folder
from transfer.destinations import RawArchive
from transfer.destinations.errors import NotHeld


def restore(  # noqa: PLR0913 -- from where, what, to where
    archive: RawArchive,
    *,
    place: str,
    folder: str,
    sha256_expected: str,
    target: Path,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Write the original file to ``target`` and return its size; the file appears there only once it is proved whole.

    Raises:
        BadInput: there is a file already.
        NotHeld: the archive lacks something, or gives back other bytes.
        DestinationError: it does not answer.
    """
    if target.exists():
        raise BadInput(f"{target} exists already and is left as it is; name another place.")
    with archive.read(place, f"{folder}/manifest.json") as blocks:
        manifest = read_manifest(b"".join(blocks))
    if manifest.sha256 != sha256_expected:
        raise NotHeld("The archive's manifest is of another file than the catalog says; nothing was written.")
    names = sorted(n for n in archive.listing(place) if n.startswith(f"{folder}/part-") and n.endswith(".bin"))
    beside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    digest, written = sha256(), 0
    try:
        with beside.open("xb") as out:
            for raw in unpack(manifest.chunks, _Joined(archive, place, names).read):
                digest.update(raw)
                written += out.write(raw)
                progress(written, manifest.size)
            out.flush()
            os.fsync(out.fileno())
        if (digest.hexdigest(), written) != (manifest.sha256, manifest.size):
            raise NotHeld("What came back is not the original file; nothing was written. Verify the delivery.")
        os.link(beside, target)  # unlike a rename, this never replaces a file that came meanwhile
    except SpoolError as error:
        raise NotHeld("The archive gives back a damaged chunk; nothing was written. Verify the delivery.") from error
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(target.parent)
    return written


class _Joined:
    """The parts of a capture, read one after the other as if they were one file."""

    def __init__(self, archive: RawArchive, place: str, names: Sequence[str]) -> None:
        self._blocks = self._all(archive, place, names)
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held += block
        piece = bytes(self._held[:size])
        del self._held[:size]
        return piece

    @staticmethod
    def _all(archive: RawArchive, place: str, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            with archive.read(place, name) as blocks:
                yield from blocks
