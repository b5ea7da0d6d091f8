"""Claim, run, commit: worker threads over the catalog's queue, and feeds that run now and then."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from kspace.clock import Clock
from kspace.errors import KspaceError
from transfer.catalog.store import LEASE_S, Claim, Store
from transfer.records import Later, Outcome
from transfer.states import KEEPING, Kind

Stage = Callable[[Any, Callable[[], None]], Outcome]
"""A stage with its ports bound: the record, and what to call whenever something was achieved."""

_IDLE_S = 0.2
_AFTER_ERROR_S = 5.0
_PROGRESS_S = 1.0
_WAITS = (
    "Waits until the calendar, or whoever paused it, opens its destination.",
    "Waits for room on the relay's disk; what was read is kept.",
)
_log = structlog.get_logger()


class LeaseLost(KspaceError):
    """Another process took the row over; whatever this stage still does is dropped."""

    code = "lease_lost"


class Unexpected(KspaceError):
    """A mistake in the relay itself."""

    code = "unexpected"


@dataclass(frozen=True, slots=True)
class Feed:
    """Periodic, idempotent work; ``run`` reports its own failures to the catalog as alerts."""

    name: str
    every_s: float
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Way:
    """A destination as the queue sees it: workers of its own, and when something may begin."""

    destination: str
    at_once: int
    is_open: Callable[[], bool]


class _Closed(KspaceError):
    """What may begin changed while it ran: the destination's calendar closed, or the pool protects itself."""


class Engine:
    """Runs the stages until it is told to stop. Killing it at any moment costs nothing but the work in hand."""

    ran: dict[str, datetime]
    """When each feed last ended without an error."""

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        store: Store,
        *,
        stages: Mapping[str, Stage],
        feeds: Sequence[Feed],
        closed: Callable[[], Collection[str]],
        clock: Clock,
        workers: int,
        ways: Sequence[Way] = (),
    ) -> None:
        self._store = store
        self._stages = stages
        self._feeds = feeds
        self._closed = closed
        self._clock = clock
        self._workers = workers
        self._ways = ways
        self._stop = threading.Event()
        self._claims: dict[str, Claim] = {}
        self._threads: list[threading.Thread] = []
        self._beat_at = clock.monotonic()
        self.ran = {}

    def start(self) -> None:
        """Free the leases of an earlier life and begin."""
        _log.info("engine.started", freed=self._store.free_leases())
        turns: list[tuple[str, Callable[[], float], float]] = [("heartbeat", self._keep_leases, _AFTER_ERROR_S)]
        turns += [(f"feed {feed.name}", partial(self._feed, feed), feed.every_s) for feed in self._feeds]
        turns += [(f"worker {n}", partial(self._work, n), _AFTER_ERROR_S) for n in range(self._workers)]
        turns += [
            (f"way {way.destination} {n}", partial(self._carry, way), _AFTER_ERROR_S)
            for way in self._ways
            for n in range(way.at_once)
        ]
        self._threads = [threading.Thread(target=self._forever, args=turn, name=turn[0], daemon=True) for turn in turns]
        for thread in self._threads:
            thread.start()

    def stop(self, *, within_s: float = 30.0) -> None:
        """Let running stages finish for a while, then leave them: a restart takes them up again."""
        self._stop.set()
        until = self._clock.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock.monotonic()))
        _log.info("engine.stopped")

    def is_alive(self) -> bool:
        """Return whether every thread runs, and the one that keeps the leases got through the catalog lately."""
        is_late = self._clock.monotonic() - self._beat_at > LEASE_S
        return not is_late and all(thread.is_alive() for thread in self._threads)

    def _forever(self, name: str, turn: Callable[[], float], after_error_s: float) -> None:
        """Take turns until the end, each followed by the pause it asks for; no error and no mistake ends a thread."""
        log = _log.bind(turn=name)
        while not self._stop.is_set():
            try:
                pause_s = turn()
            except KspaceError as error:
                log.warning("turn.failed", code=error.code)
                pause_s = error.pause_s or after_error_s
            except Exception as error:
                log.exception("turn.broke", error=type(error).__name__)
                pause_s = after_error_s
            self._stop.wait(pause_s)

    def _work(self, number: int) -> float:
        tables = ("delivery", "capture") if number % 2 else ("capture", "delivery")
        closed = self._closed()
        others = [way.destination for way in self._ways]
        claims = (self._store.claim(table, but_not=closed, not_to=others) for table in tables)
        claim = next((c for c in claims if c is not None), None)
        return self._take(claim, lambda: claim is None or claim.stage not in self._closed())

    def _carry(self, way: Way) -> float:
        """Work on one destination's deliveries alone: what is slow or down there keeps nothing else waiting."""
        return self._take(self._store.claim("delivery", to=way.destination) if way.is_open() else None, way.is_open)

    def _take(self, claim: Claim | None, is_open: Callable[[], bool]) -> float:
        if claim is None:
            return _IDLE_S
        self._claims[claim.token] = claim
        try:
            self._run(claim, is_open)
        finally:
            del self._claims[claim.token]
        return 0.0

    def _run(self, claim: Claim, is_open: Callable[[], bool]) -> None:
        log = _log.bind(kind=claim.kind, id=claim.id, stage=claim.stage)
        progress = _Progress(self._store, claim, self._clock, is_open)
        try:
            outcome = self._stages[claim.stage](claim.record, progress)
            self._store.commit(claim, outcome)
        except _Closed:
            self._store.commit(claim, Later(_WAITS[claim.kind is Kind.CAPTURE], 0.0))
        except LeaseLost:
            log.warning("lease.lost")
        except KspaceError as error:
            log.warning("stage.failed", code=error.code)
            self._store.fail(claim, error, progressed=progress.is_some and claim.stage in KEEPING)
        except Exception as error:
            log.exception("stage.broke", error=type(error).__name__)
            self._store.fail(
                claim,
                Unexpected(
                    f"The stage {claim.stage} met something it does not know ({type(error).__name__}); the data are "
                    "safe where they were. The relay tries again; the log says where it happened."
                ),
            )

    def _feed(self, feed: Feed) -> float:
        feed.run()
        self.ran[feed.name] = self._clock.now()
        return feed.every_s

    def _keep_leases(self) -> float:
        self._beat_at = self._clock.monotonic()
        for claim in list(self._claims.values()):
            self._store.renew(claim)
        return LEASE_S / 4


class _Progress:
    """Tells the catalog, at most once a second, that a stage is getting somewhere, and the stage if it has to end."""

    def __init__(self, store: Store, claim: Claim, clock: Clock, is_open: Callable[[], bool]) -> None:
        self._store = store
        self._claim = claim
        self._clock = clock
        self._is_open = is_open
        self._told = clock.monotonic()
        self.is_some = False

    def __call__(self) -> None:
        self.is_some = True
        if self._clock.monotonic() - self._told < _PROGRESS_S:
            return
        self._told = self._clock.monotonic()
        if not self._store.renew(self._claim, progressed=True):
            raise LeaseLost("The row was taken over; this work is dropped.")
        if not self._is_open():
            raise _Closed("It may not go on now; what is there stays there.")
