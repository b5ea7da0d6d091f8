"""Which parts a packed file is sent in: as they were digested when it was packed, else by reading it once."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from kspace.container import noted_parts
from kspace.cutting import Cutter
from kspace.errors import SpoolDamaged, SpoolError
from kspace.records import Chunk, Part


def cut_parts(
    packed: Path, chunks: Sequence[Chunk], *, part_bytes: int, progress: Callable[[], None]
) -> tuple[Part, ...]:
    """Return the parts; where the file has to be read for it, each chunk is held against its digest.

    Raises:
        SpoolDamaged: it is gone, or not what was packed.
        SpoolError: the disk does not give it.
    """
    noted = noted_parts(packed, chunks, part_bytes=part_bytes)
    if noted is not None:
        return noted
    cutter = Cutter(part_bytes)
    try:
        with packed.open("rb") as handle:
            for chunk in chunks:
                stored = handle.read(chunk.stored_bytes)
                if sha256(stored).hexdigest() != chunk.sha256:
                    raise SpoolDamaged(_DAMAGED)
                cutter.add(chunk, stored)
                progress()
    except FileNotFoundError as error:
        raise SpoolDamaged(_DAMAGED) from error
    except OSError as error:  # the bytes may be well: the source is not asked for what it may not have any more
        raise SpoolError("The packed file cannot be read; the relay tries again by itself.") from error
    return cutter.parts()


_DAMAGED = "The packed file in the spool is not what was packed; nothing of it is sent. See that disk."
