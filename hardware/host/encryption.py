"""Whether a folder lies on an encrypted disk, so that a disk which goes back to its maker tells nothing."""

from collections.abc import Callable
from pathlib import Path

from hardware.readings.tool import output_of

Run = Callable[[list[str]], str]
_SYSTEM = Path("/")


def is_encrypted(folder: Path, *, system: Path = _SYSTEM, run: Run | None = None) -> bool | None:
    """Return whether everything below the folder's file system is encrypted; None: it lies on no disk that tells.

    LUKS is known by the device mapper's identity, which begins with ``CRYPT-`` (cryptsetup's ``crypt_get_uuid``), and
    a volume or an array is encrypted if all that it lies on is. ZFS says it itself (zfsprops(7), ``encryption``). What
    a disk encrypts on its own is not seen.

    Raises:
        KspaceError: it is ZFS, and its tool does not answer.
    """
    number, kind, source = _mount_of(folder, (system / "proc/self/mountinfo").read_text(encoding="utf-8"))
    if kind == "zfs":
        ask = run or (lambda command: output_of(command, timeout_s=30.0))
        return ask(["zfs", "get", "-H", "-o", "value", "encryption", source]).strip() not in {"off", "-", ""}
    block = system / "sys/dev/block" / number
    if not block.exists():  # btrfs and others have numbers of their own
        block = system / "sys/class/block" / (system / source.lstrip("/")).resolve().name
    return _is_crypt(block.resolve()) if block.exists() else None


def _mount_of(folder: Path, mountinfo: str) -> tuple[str, str, str]:
    """Return device number, kind and source of the mount that a folder lies in (proc_pid_mountinfo(5))."""
    found, longest = ("", "", ""), -1
    for line in mountinfo.splitlines():
        mount, _, told = line.partition(" - ")
        fields, (kind, source, *_) = mount.split(), told.split()
        point = Path(fields[4].encode().decode("unicode_escape"))
        if (point == folder or point in folder.parents) and len(point.parts) >= longest:
            found, longest = (fields[2], kind, source), len(point.parts)
    return found


def _is_crypt(block: Path) -> bool:
    uuid = block / "dm/uuid"
    if uuid.exists() and uuid.read_text(encoding="ascii").startswith("CRYPT-"):
        return True
    below = [entry.resolve() for entry in (block / "slaves").iterdir()] if (block / "slaves").exists() else []
    if (block / "partition").exists():
        below = [block.parent]
    return bool(below) and all(map(_is_crypt, below))
