"""Where received objects stay: each under its digest, so that receiving one twice equals receiving it once."""

import os
from hashlib import sha256 as digest_of
from pathlib import Path

from kspace.paths import sync_folder


class Shelf:
    """A folder with a folder for each study; safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._durable: set[str] = set()
        """Folders whose own entry is known to be on the disk."""

    def keep(self, handle: int, path: Path, *, study_uid: str, sha256: str) -> Path:
        """Return the place of an open file, which was written as ``path``, once it is durable there.

        It gets its name first: a file system with a journal then writes that once for content and name, and until a
        row says so nobody relies on a name. Only where the name is taken already must the content come first: a crash
        may not put a torn file in the place of a good one.

        Raises:
            OSError: the disk failed or is full.
        """
        of_study = digest_of(study_uid.encode()).hexdigest()[:16]
        folder = f"{self._folder}/{of_study}"
        place = f"{folder}/{sha256}.dcm"
        if of_study not in self._durable:
            Path(folder).mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder)
            self._durable.add(of_study)
        try:
            os.link(path, place)
        except FileExistsError:
            os.fsync(handle)
            path.replace(place)
        os.fsync(handle)
        sync_folder(Path(folder))
        return Path(place)
