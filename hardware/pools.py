"""A disk pool that we fill: how full it is, whether it still takes a byte, and what it therefore admits."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from hardware.judgement import PoolSettings, bytes_over, bytes_until_protect, mode_of, most_bytes
from hardware.records import Limit, PoolMode, Reading, Space
from kspace.clock import Clock, SystemClock
from kspace.errors import Retry, SpoolError

_GB = 1_000_000_000
_FRESH_S = 1.0
_HUNG_S = 30.0
"""A disk on which a small write takes so long is as good as gone."""
_SLOW_S = 2.0
_WANTED_S = 60.0
"""A file that waits for room asks oftener than this."""
_PROBE = b"\0" * 4096
_log = structlog.get_logger()


class NeverFits(SpoolError):
    """A file is larger than the pool, however empty that is: a person must find another way for it."""

    code = "never_fits"
    pauses = False
    retry = Retry.PERSON


class Pool:
    """The filesystem under one folder, with its mode; safe to ask from many threads."""

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        folder: Path,
        settings: PoolSettings,
        *,
        name: str = "spool",
        clock: Clock | None = None,
        read: Callable[[Path], Space] | None = None,
        write: Callable[[Path], None] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._folder = folder
        self._clock = clock or SystemClock()
        self._read = read or read_space
        self._write = write or write_probe
        self._lock = threading.Lock()
        self._mode = PoolMode.NORMAL
        self._space: Space | None = None
        self._read_at: float | None = None
        self._writing_since: float | None = None
        self._is_failing = False
        self._coming: dict[Path, int] = {}
        self._wanted: tuple[float, int] = (0.0, 0)

    def mode(self) -> PoolMode:
        """Return what the pool takes now, looking at the disk at most once a second.

        It gates the engine and the listener, so it never raises: a disk that does not answer takes nothing.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= _FRESH_S:
                self._look(now)
            is_hung = self._writing_since is not None and now - self._writing_since > _HUNG_S
            return PoolMode.REFUSE if self._is_failing or is_hung else self._mode

    def space(self) -> Space | None:
        """Return the latest look at the disk; None: it does not answer."""
        self.mode()
        return self._space

    def bytes_over(self) -> int:
        """Return how many bytes must go, by a fresh look; 0 where none can be removed.

        Until a pool that is not normal is, and there is room for the file that was refused some lately.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._look(now)
            if self._space is None or self._space.is_read_only:
                return 0
            at, wanted = self._wanted
            lacking = wanted - bytes_until_protect(self._space, self.settings) if now - at < _WANTED_S else 0
            over = 0 if self._mode is PoolMode.NORMAL else bytes_over(self._space, self.settings)
            return max(0, lacking, over)

    @contextmanager
    def room_for(self, target: Path, size: int) -> Iterator[bool]:
        """Keep room while a file grows to at most ``size`` bytes; False: with it the pool would have to protect itself.

        What lies in ``target`` already is not asked for again, and what others were given room for counts as there.

        Raises:
            NeverFits: not even the empty pool has the room.
        """
        with self._lock:
            self._look(self._clock.monotonic())
            if self._space is not None and size > (most := most_bytes(self._space, self.settings)):
                raise NeverFits(_never_fits(size, most))
            asked = {**self._coming, target: size}
            coming = sum(max(0, most - _length(path)) for path, most in asked.items())
            fits = self._space is not None and coming <= bytes_until_protect(self._space, self.settings)
            if fits:
                self._coming = asked
            else:
                self._wanted = (self._clock.monotonic(), coming)
        try:
            yield fits
        finally:
            if fits:
                with self._lock:
                    del self._coming[target]

    def time_write(self) -> float | None:
        """Write a little and wait until the disk has it; return the seconds, None where it failed.

        A failure makes the pool refuse until a later try succeeds. While one hangs, the pool refuses too.
        """
        began = self._clock.monotonic()
        self._writing_since = began
        try:
            self._write(self._folder)
        except OSError as error:
            if not self._is_failing:
                _log.error("pool.write_failed", pool=self.name, errno=error.errno)
            self._is_failing = True
            return None
        finally:
            self._writing_since = None
        self._is_failing = False
        return self._clock.monotonic() - began

    def _look(self, now: float) -> None:
        self._read_at = now
        try:
            self._space = self._read(self._folder)
            self._mode = mode_of(self._space, self.settings, was=self._mode)
        except SpoolError as error:
            if self._space is not None or self._mode is PoolMode.NORMAL:
                _log.error("pool.unread", pool=self.name, code=error.code)
            self._space, self._mode = None, PoolMode.REFUSE


class PoolReader:
    """The reader of all pools: their fill, and their modes in words."""

    limits = (
        Limit(key="pool", what="pool_mode", warning=1, critical=2, text="{said}"),
        Limit(key="pool_refuses", what="pool_mode", critical=3, text="{said}"),
    )

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools

    def read(self) -> Iterator[Reading]:
        """Yield each pool's readings; of a disk that does not answer its mode alone."""
        for pool in self._pools:
            name, mode, space = pool.name, pool.mode(), pool.space()
            yield Reading(what="pool_mode", of=name, value=mode.grade, said=_said(name, mode, space))
            if space is not None:
                yield Reading(what="pool_used_bytes", of=name, value=space.used_bytes)
                yield Reading(what="pool_free_bytes", of=name, value=space.free_bytes)
                yield Reading(what="pool_used_inodes", of=name, value=space.used_inodes)
                yield Reading(what="pool_free_inodes", of=name, value=space.free_inodes)


class WriteReader:
    """The reader that tries whether the pools' disks take a small write; apart, since on a dying disk it may hang."""

    limits = (
        Limit(
            key="pool_slow",
            what="pool_write_seconds",
            warning=_SLOW_S,
            critical=_HUNG_S,
            gap=_SLOW_S / 2,
            text="The disk of the {of} took {value:.1f} s for a write of 4 KB. Nothing is lost; see whether it is "
            "failing or busy with something else.",
        ),
    )

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools

    def read(self) -> Iterator[Reading]:
        """Yield how long each write took; nothing where it failed, since the mode tells that."""
        for pool in self._pools:
            took = pool.time_write()
            if took is not None:
                yield Reading(what="pool_write_seconds", of=pool.name, value=took)


def amount(size: float) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / 1e9:,.1f} GB" if abs(size) >= _GB else f"{size / 1e6:,.0f} MB"


def read_space(folder: Path) -> Space:
    """Return how full the filesystem under a folder is, from statvfs(3).

    Raises:
        SpoolError: it does not answer.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise SpoolError(
            f"The spool's disk does not answer ({os.strerror(error.errno or 0)}); nothing was changed on it. "
            "See that it is mounted and healthy."
        ) from error
    return Space(
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        used_inodes=found.f_files - found.f_ffree,
        free_inodes=found.f_favail,
        is_read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def write_probe(folder: Path) -> None:
    """Write a small file, see it on the disk, and remove it.

    Raises:
        OSError: the disk does not take it.
    """
    path = folder / f".probe-{os.getpid()}"
    try:
        with path.open("wb", buffering=0) as probe:
            probe.write(_PROBE)
            os.fsync(probe.fileno())
    finally:
        path.unlink(missing_ok=True)


def _never_fits(size: int, most: int) -> str:
    return (
        f"Its {amount(size)} never fit: the pool takes {amount(max(0, most))} from empty until it protects itself. "
        "Nothing of it was read; it is left where it is, and other files go on. Save it elsewhere if it is wanted, or "
        "enlarge the pool (`kspace size`) and let it go on with `kspace retry`."
    )


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _said(name: str, mode: PoolMode, space: Space | None) -> str:
    if space is None:
        return (
            f"The disk of the {name} does not answer: nothing is captured and DICOM is refused. Nothing was deleted. "
            "See that it is mounted and healthy; the relay goes on by itself."
        )
    full = f"The disk of the {name} is {space.percent:.0f} % full, {amount(space.free_bytes)} are free"
    return {
        PoolMode.NORMAL: f"{full}.",
        PoolMode.SLOW: (
            f"{full}: the relay reads slower from the scanners, and frees early what every archive has proved to hold. "
            "Sending goes on. See what holds it up."
        ),
        PoolMode.PROTECT: (
            f"{full}: nothing more is captured, images are still received, sending goes on. Captures and images that "
            "every archive has proved to hold are freed early; nothing else is deleted. See what holds up the "
            "deliveries, or make room."
        ),
        PoolMode.REFUSE: (
            f"{_blocked(full, name, space)}: nothing new is captured and DICOM is refused, sending goes on. Nothing "
            "unproved was deleted. See `kspace pools`; the relay goes on by itself."
        ),
    }[mode]


def _blocked(full: str, name: str, space: Space) -> str:
    return f"The disk of the {name} is mounted read-only" if space.is_read_only else f"{full}, or it takes no writes"
