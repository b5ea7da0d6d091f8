"""Two secrets that belong together, in two files, replaced as one: whoever reads gets the old pair or the new one.

A new pair is first written whole into a third file, beside the one it replaces, and counts from the moment that this
file has its name; then each of the two is written from it, then it goes. A power cut anywhere leaves a pair, and who
comes next finishes the rest. Unless a person wrote one of the two anew meanwhile: theirs counts, and the third goes.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kspace.errors import ConfigError
from kspace.paths import sync_folder
from kspace.secret import Secret

Pair = tuple[str, str]
_LOOKS = 100


class SecretPair:
    """What two settings say together, read anew each time."""

    def __init__(self, first: Secret, second: Secret) -> None:
        self._secrets = (first, second)
        # Where a file is a link, what it leads to is replaced, and lies beside what else is written.
        self._paths = [secret.file.resolve() for secret in self._secrets if secret.file is not None]
        last = self._paths[-1] if self._paths else None
        self._whole = None if last is None else last.with_name(f".{last.name}.pair")

    def reveal(self) -> Pair:
        """Return both, of one writing.

        Raises:
            ConfigError: one is not there, or cannot be read.
        """
        for _ in range(_LOOKS):
            before = self._stamps()
            first, second = self._secrets
            pair = self._begun() or (first.reveal(), second.reveal())
            if self._stamps() == before:
                return pair
        raise ConfigError(f"{self._paths[-1]} is written all the time; see by whom.")

    def hindrance(self) -> str | None:
        """Return why this process cannot replace it; None: it can."""
        if len(self._paths) < len(self._secrets):
            return "they do not both stand in files"
        closed = [path.parent for path in self._paths if not os.access(path.parent, os.W_OK)]
        return f"its account may not write to the folder {closed[0]}" if closed else None

    def finish(self) -> None:
        """Finish a replacement that was interrupted, if one was.

        Raises:
            OSError: the files cannot be written.
        """
        with self._alone():
            self._finish()

    def replace(self, new: Pair, *, instead_of: Pair) -> bool:
        """Put a new pair in the place of one; False: somebody else did meanwhile, and theirs stays.

        Raises:
            ConfigError: one is not there, or cannot be read.
            OSError: the files cannot be written; whatever happened, a whole pair is there.
        """
        with self._alone():
            self._finish()
            if self._whole is None or self.reveal() != instead_of:
                return False
            _write(self._whole, json.dumps({"new": new, "old": instead_of}), like=self._paths[-1])
            self._finish()
        return True

    def _finish(self) -> None:
        if self._whole is None or not self._whole.exists():
            return
        for path, secret in zip(self._paths, self._begun() or (), strict=False):
            _write(path, secret, like=path)
        self._whole.unlink()
        sync_folder(self._whole.parent)

    def _begun(self) -> Pair | None:
        """Return the pair that is on its way into its two files, if one is and nobody wrote another there since."""
        if self._whole is None:
            return None
        try:
            said = json.loads(self._whole.read_text(encoding="utf-8"))
            (first, second), old = said["new"], said["old"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise ConfigError(f"{self._whole}, a pair of secrets half-way replaced, cannot be read.") from error
        known = zip(self._secrets, old, (first, second), strict=True)
        is_ours = all(secret.reveal() in {before, after} for secret, before, after in known)
        return (first, second) if is_ours else None

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in (*self._paths, self._whole):
            found.append(None)
            with suppress(OSError):
                if path is not None:
                    stat = path.stat()
                    found[-1] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process write at a time; the kernel frees the lock of one that dies."""
        if self._whole is None:
            yield
            return
        folder = os.open(self._whole.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _write(path: Path, text: str, *, like: Path) -> None:
    """Let a file appear whole and durably, with the rights that another has."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), like.stat().st_mode & 0o777)
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
    sync_folder(path.parent)
