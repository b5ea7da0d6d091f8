"""Draws the quick look in a child process with limits: a library that hangs or crashes costs that picture only."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kspace.errors import KspaceError, Retry
from kspace.records import Audit

READERS = ("twixtools", "mapvbvd")
"""In the order they are tried; they fail differently."""
_COMMAND = (sys.executable, "-P", "-m", "kspace.preview")
"""-P: a module that lies in the folder one stands in is not run."""
_MAX_FILE_BYTES = 32 << 20
_MAX_NAME = 64


class PreviewFailed(KspaceError):
    """There is no quick look of a file; the file itself is untouched."""

    code = "preview_failed"
    exit_code = 8
    retry = Retry.PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the child may use."""

    wall_s: float = 60.0
    cpu_s: int = 60
    memory_bytes: int = 2 << 30
    """Of address space (RLIMIT_AS); the libraries alone take less than 300 MB of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickLook:
    """A picture of a file's last measurement and what stands out in it. Channels count from 0."""

    png: bytes
    kind: str
    """``image``: root-sum-of-squares of the central slice; ``spectrum``: of the readouts of one line."""
    reader: str
    picture: tuple[bytes, ...]
    """The same small, one grey byte a pixel, rows from the top: for a terminal."""
    noise: tuple[float, ...]
    """Of each channel in the file's own units: the deviation of real and imaginary part of the outermost samples.

    Too high where signal reaches out there: sharp edges, few lines, a free induction decay that was cut short.
    """
    dead_channels: tuple[int, ...]
    spiking_channels: tuple[int, ...]
    lines: int
    """Different phase-encoding lines of the slice that was drawn."""
    missing_lines: int
    """Gaps between the first and the last of them that no regular acceleration explains."""


def quick_look(
    path: Path,
    *,
    audit: Audit,
    limits: Limits | None = None,
    command: Sequence[str] = _COMMAND,
) -> QuickLook:
    """Return the quick look of a TWIX file that passed the walk; the second reader tries where the first one fails.

    ``command`` is what is started, given the reader's name, a path and the folder for ``preview.png`` and
    ``preview.json``, or ``error`` with the name of an error. Nothing of it runs on after the return, whatever happens.

    Raises:
        PreviewFailed: the file is not whole, or no reader made a picture of it within the limits.
    """
    if not audit.verdict.is_whole:
        raise PreviewFailed(
            f"There is no quick look of a file that is not whole ({audit.verdict}); the file is as it was."
        )
    failed = []
    for reader in READERS:
        try:
            return _look(path, reader=reader, limits=limits or Limits(), command=command)
        except PreviewFailed as error:
            failed.append(f"{reader} {error}")
    raise PreviewFailed(
        f"There is no quick look ({'; '.join(failed)}); the file is as it was, nothing else is affected."
    )


def _look(path: Path, *, reader: str, limits: Limits, command: Sequence[str]) -> QuickLook:
    with tempfile.TemporaryDirectory(prefix="preview-") as name:
        folder = Path(name)
        # twixtools appends ".dat" to a name without an ending, and no reader has to cope with odd names.
        link = folder / "raw.dat"
        link.symlink_to(path.absolute())
        with _running([*command, reader, str(link), name], limits) as child:
            ended = _wait(child, limits.wall_s)
        if not ended:
            raise PreviewFailed(f"took longer than {limits.wall_s:g} s")
        if child.returncode:
            raise PreviewFailed(_why(child.returncode, folder / "error"))
        return _result(folder, reader)


@contextmanager
def _running(command: Sequence[str], limits: Limits) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child in a process group of its own; on the way out nothing of the group is left."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    child = subprocess.Popen(  # noqa: S603 -- our own command
        command,
        stdin=subprocess.DEVNULL,
        # What a library says may quote the header, so nobody hears it.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        with suppress(ProcessLookupError):
            for limit, values in _rlimits(limits):
                resource.prlimit(child.pid, limit, values)
        yield child
    finally:
        # Before it is waited for: until then its number, and so its group's, belongs to nobody else.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _rlimits(limits: Limits) -> list[tuple[int, tuple[int, int]]]:
    return [
        (resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes)),
        # At the first of the two comes SIGXCPU, which says why; at the second SIGKILL.
        (resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1)),
        (resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES)),
        (resource.RLIMIT_CORE, (0, 0)),
    ]


def _wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Return whether a child ended in time, without taking its end status."""
    handle = os.pidfd_open(child.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(handle)


def _why(code: int, error: Path) -> str:
    """Say how a child ended; of an error it left only the name of its class, since its text may quote the header."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    name = error.read_text("ascii", "replace")[:_MAX_NAME] if error.is_file() else ""
    return f"failed with {name}" if name.isidentifier() else f"failed with exit code {code}"


def _result(folder: Path, reader: str) -> QuickLook:
    try:
        png = (folder / "preview.png").read_bytes()
        told = json.loads((folder / "preview.json").read_bytes())
        return QuickLook(
            png=png,
            reader=reader,
            kind=str(told["kind"]),
            picture=tuple(bytes.fromhex(row) for row in told["picture"]),
            noise=tuple(float(value) for value in told["noise"]),
            dead_channels=tuple(int(number) for number in told["dead_channels"]),
            spiking_channels=tuple(int(number) for number in told["spiking_channels"]),
            lines=int(told["lines"]),
            missing_lines=int(told["missing_lines"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise PreviewFailed("left no picture") from None
