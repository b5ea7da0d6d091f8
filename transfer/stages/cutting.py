"""Cuts a packed file into parts for a destination: runs of whole chunks, each digested as it will be sent."""

from collections.abc import Callable, Sequence
from hashlib import md5, sha256
from pathlib import Path

from kspace.container import cut
from kspace.errors import SpoolDamaged, SpoolError
from kspace.records import Chunk, Part


def cut_parts(
    packed: Path, chunks: Sequence[Chunk], *, part_bytes: int, progress: Callable[[], None]
) -> tuple[Part, ...]:
    """Read the packed file once, each chunk against its digest, and return its parts.

    Every cut of one file uses the same names from 00001 on. A smaller ``part_bytes`` never gives fewer parts, so a
    later, finer cut replaces every file of an earlier one.

    Raises:
        SpoolDamaged: it is gone, or not what was packed.
        SpoolError: the disk does not give it.
    """
    parts = []
    try:
        with packed.open("rb") as handle:
            for number, run in enumerate(cut(chunks, part_bytes=part_bytes), start=1):
                first, whole = md5(usedforsecurity=False), sha256()
                for chunk in run:
                    stored = handle.read(chunk.stored_bytes)
                    if sha256(stored).hexdigest() != chunk.sha256:
                        raise SpoolDamaged(_DAMAGED)
                    first.update(stored)
                    whole.update(stored)
                    progress()
                parts.append(
                    Part(
                        number=number,
                        name=f"part-{number:05d}.bin",
                        offset=run[0].offset,
                        size=sum(c.stored_bytes for c in run),
                        md5=first.hexdigest(),
                        sha256=whole.hexdigest(),
                    )
                )
    except FileNotFoundError as error:
        raise SpoolDamaged(_DAMAGED) from error
    except OSError as error:  # the bytes may be well: the source is not asked for what it may not have any more
        raise SpoolError("The packed file cannot be read; the relay tries again by itself.") from error
    return tuple(parts)


_DAMAGED = "The packed file in the spool is not what was packed; nothing of it is sent. See that disk."
