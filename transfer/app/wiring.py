"""Builds the relay from its configuration: the one place that knows every part."""

import fcntl
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from typing import Any

from dicom.listener import Listener
from hardware import sinks
from hardware.records import PoolMode
from hardware.sinks import Sink, SinkSettings
from kspace.clock import Clock, SystemClock
from kspace.errors import ConfigError
from kspace.registry import plugins
from kspace.sources import Source
from transfer import destinations
from transfer.app.custody import is_still_held
from transfer.app.deleting import deleting_feeds
from transfer.app.signs import signs_of
from transfer.app.sourcing import limiters_of, looking_feeds, sources_of
from transfer.app.staging import stages
from transfer.app.watching import pools_of, watch
from transfer.catalog.copies import Copy
from transfer.catalog.database import Database
from transfer.catalog.probes import facts_of
from transfer.catalog.rulebook import Rulebook
from transfer.catalog.store import Store
from transfer.catalog.throttles import Throttles
from transfer.config import Config, Scanner, settings_of
from transfer.destinations.imaging import DicomArchive
from transfer.destinations.probing import Probed
from transfer.destinations.reach import Pace, Reach, Slowed, pace_of
from transfer.engine import Engine, Feed, Stage, Way
from transfer.feeds.exports import look_for_exports
from transfer.feeds.hand_over import HandingOver, forget_old
from transfer.feeds.look import look, look_back
from transfer.feeds.make_room import MakingRoom
from transfer.feeds.place import Placing
from transfer.feeds.recheck import recheck
from transfer.feeds.reconcile import Reconciling
from transfer.feeds.rejoin import Rejoining
from transfer.feeds.remind import remind
from transfer.feeds.renew import Renewing
from transfer.feeds.report import report
from transfer.feeds.returned import returned
from transfer.feeds.summary import summarize
from transfer.feeds.sweep import sweep, sweep_images
from transfer.feeds.tell import remind_again, tell
from transfer.inbox import CatalogInbox
from transfer.records import RawDelivery
from transfer.stages.compare import is_copy_listed, is_listed
from transfer.stages.manners import Manners
from transfer.steering import Steering

_TELL_S = 1.0
_PLACE_S = 60.0
_REPORT_S = 5.0
_SWEEP_S = 60.0
_REMIND_S = 3600.0
_DAY_S = 86_400.0
_NOTES = "refused.jsonl"
"""In the spool: what the listener refused while the catalog was down."""


class Box:
    """One relay on one machine: its folders, its catalog, and whatever of engine and listener is asked for."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        relay = config.relay
        try:
            for folder in (relay.spool, relay.spool / "dicom", relay.spool / "incoming"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"The relay's folder {relay.folder} cannot be used ({error.strerror})"
            raise ConfigError(
                f"{what}; run this as the relay's account, or name a folder of yours in [relay]."
            ) from error
        self.database = Database(relay.catalog_url)
        self.database.migrate()
        self.throttles = Throttles(self.database, clock=self.clock)
        self.rules = Rulebook(self.database, configured=config.rule)
        self.pools = pools_of(config)
        self._room = MakingRoom(
            self.pools[0], spool=relay.spool, database=self.database, clock=self.clock, machine=relay.name
        )
        self._locks = ExitStack()
        self._limiters = limiters_of(config, rate=self._rate, clock=self.clock)

    def close(self) -> None:
        """Close the catalog and let others have the folder."""
        self.database.close()
        self._locks.close()

    def sources(self) -> dict[str, tuple[str, Source]]:
        """Return every source by its name (``scanner/1``…), with its scanner's name; each behind its limiter."""
        return sources_of(self.config, self._limiters)

    def manners(self) -> dict[str, Manners]:
        """Return by scanner when it may be read."""
        return {
            s.name: Manners(
                s,
                clock=self.clock,
                signs=signs_of(s, database=self.database, clock=self.clock),
                paused_by=partial(self._paused_by, f"scanner:{s.name}"),
            )
            for s in self.config.scanner
        }

    def steering(self) -> Steering:
        """Return what slows down and pauses what is configured."""
        reaches = [settings_of(destinations, given) for given in self.config.destination]
        ceilings: dict[str, float | None] = {
            f"destination:{r.name}": None if r.calendar else r.limit_mbit_per_s for r in reaches
        }
        ceilings |= {f"scanner:{s.name}": s.limit_mbit_per_s for s in self.config.scanner}
        return Steering(self.database, ceilings=ceilings, clock=self.clock)

    def archives(self) -> dict[str, Any]:
        """Return every destination by its name."""
        known = plugins(destinations)
        built = {
            given["name"]: known[given["kind"]].build(settings_of(destinations, given))
            for given in self.config.destination
        }
        for name, archive in built.items():
            if isinstance(archive, Probed):
                archive.believe(partial(facts_of, self.database, name, clock=self.clock))
            if isinstance(archive, Slowed):
                archive.obey(partial(self.throttles.limit, f"destination:{name}"))
        return built

    def raw_only(self) -> set[str]:
        """Return the destinations that take no images, without signing in to any."""
        kinds = {name: plugin.build for name, plugin in plugins(destinations).items()}
        return {
            given["name"]
            for given in self.config.destination
            if not (isinstance(build := kinds[given["kind"]], type) and issubclass(build, DicomArchive))
        }

    def sinks(self) -> dict[str, tuple[SinkSettings, Sink]]:
        """Return where people are told, by name, with its settings: the log, and what is configured."""
        known, built = plugins(sinks), {}
        for given in ({"kind": "log"}, *self.config.sink):
            settings = settings_of(sinks, given)
            built[settings.name] = (settings, known[given["kind"]].build(settings))
        return built

    def store(self) -> Store:
        """Return the catalog's queue as this machine sees it."""
        relay = self.config.relay
        return Store(self.database, clock=self.clock, machine=relay.name, backoff_s=relay.backoff_s)

    def stages(self, found: dict[str, tuple[str, Source]]) -> dict[str, Stage]:
        """Return every stage by its name, with its ports bound."""
        return stages(
            self.config,
            clock=self.clock,
            database=self.database,
            sources=found,
            archives=self.archives(),
            pool=self.pools[0],
            must_go=self._room.must_go,
            manners=self.manners(),
            rules=self.rules,
        )

    def engine(self) -> Engine:
        """Return the engine, not started.

        Raises:
            ConfigError: one works on this folder already; two would read a scanner at once.
        """
        self.claim("engine")
        found = self.sources()
        return Engine(
            self.store(),
            stages=self.stages(found),
            feeds=self._feeds(found),
            closed=self._closed,
            clock=self.clock,
            workers=self.config.relay.workers,
            ways=self._ways(),
        )

    def listeners(self) -> list[Listener]:
        """Return the DICOM listeners, not started.

        Raises:
            ConfigError: one works on this folder already, or a certificate cannot be used.
        """
        self.claim("listener")
        relay = self.config.relay
        built, raw_only = [], self.raw_only()
        for number, settings in enumerate(self.config.dicom):
            inbox = CatalogInbox(
                self.database,
                notes=self.config.relay.spool / _NOTES,
                routes=self.config.route,
                clock=self.clock,
                machine=relay.name,
                quiet_s=settings.quiet_s,
                settings=settings,
                raw_only=raw_only,
            )
            if not number:
                inbox.route_again()
                inbox.look_back()
            folder = relay.spool / "incoming" / str(number)
            here = {"folder": folder, "shelf": relay.spool / "dicom"}
            built.append(Listener(settings, inbox=inbox, is_open=self._takes_images, **here))
        return built

    def claim(self, part: str) -> None:
        """Lock a file for as long as this process lives: the kernel frees it even after SIGKILL.

        Raises:
            ConfigError: another process has it.
        """
        lock = self._locks.enter_context((self.config.relay.folder / f"{part}.lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            folder = self.config.relay.folder
            raise ConfigError(
                f"Another {part} works on {folder} already; stop it first, or give this one its own."
            ) from error

    def mode(self) -> PoolMode:
        """Return the worst mode of the pools: all must take what comes."""
        return max((pool.mode() for pool in self.pools), key=lambda mode: mode.grade)

    def _rate(self, scanner: Scanner) -> float:
        mbit_per_s = min(scanner.limit_mbit_per_s, self.throttles.limit(f"scanner:{scanner.name}"))
        is_slow = self.mode() is not PoolMode.NORMAL
        return mbit_per_s * (self.config.pool.slow_to_percent / 100 if is_slow else 1.0)

    def _takes_images(self) -> bool:
        return self.mode() is not PoolMode.REFUSE

    def _takes_raw(self) -> bool:
        return self.mode().grade < PoolMode.PROTECT.grade

    def _ways(self) -> list[Way]:
        reaches: list[Reach] = [settings_of(destinations, given) for given in self.config.destination]
        paces = [pace_of(reach, self.clock) for reach in reaches]
        return [Way(r.name, r.at_once, partial(self._is_open, r.name, p)) for r, p in zip(reaches, paces, strict=True)]

    def _is_open(self, name: str, pace: Pace) -> bool:
        return self._paused_by(f"destination:{name}") is None and pace.is_open()

    def _paused_by(self, what: str) -> str | None:
        throttle = self.throttles.of(what)
        return throttle.actor if throttle.is_paused else None

    def _closed(self) -> Collection[str]:
        return () if self._takes_raw() else ("pack", "fetch")

    def _feeds(self, found: dict[str, tuple[str, Source]]) -> list[Feed]:
        feeds = self._feeds_of_sources(found)
        names = [given["name"] for given in self.config.destination]
        ours = {"machine": self.config.relay.name, "destinations": names}
        if self.config.relay.verify_per_day:
            again = _bound(recheck, database=self.database, clock=self.clock, **ours)
            feeds.append(Feed("recheck", _DAY_S / self.config.relay.verify_per_day, again))
        consoles = _bound(
            report,
            listeners=self.config.dicom,
            database=self.database,
            clock=self.clock,
            machine=self.config.relay.name,
        )
        return [
            *feeds,
            Feed("report", _REPORT_S, consoles),
            Feed("returned", _REPORT_S, self._returned()),
            *watch(self.config, self.pools, database=self.database, clock=self.clock),
            Feed("make room", self.config.pool.every_s, self._room),
            Feed("place", _PLACE_S, Placing(database=self.database, clock=self.clock)),
            Feed(
                "rejoin",
                _PLACE_S,
                Rejoining(database=self.database, clock=self.clock, quiet_s=self.config.quiet_s),
            ),
            Feed("look", _PLACE_S, self._looking(ours)),
            Feed("renew", _PLACE_S, Renewing(self.archives(), database=self.database, clock=self.clock)),
            Feed("remind", _REMIND_S, _bound(remind, database=self.database, clock=self.clock)),
            Feed(
                "exports",
                _PLACE_S,
                _bound(look_for_exports, rules=self.rules, database=self.database, clock=self.clock),
            ),
            Feed("sweep", _SWEEP_S, _bound(sweep, spool=self.config.relay.spool, database=self.database)),
            *self._feeds_of_images(),
            *self._feeds_of_sinks(),
        ]

    def _feeds_of_sources(self, found: dict[str, tuple[str, Source]]) -> list[Feed]:
        here: dict[str, Any] = {"database": self.database, "clock": self.clock}
        ports: dict[str, Any] = {"limiters": self._limiters, "manners": self.manners()}
        deleting = deleting_feeds(self.config, prove=partial(is_still_held, self), **ports, **here)
        return [*looking_feeds(self.config, found, limiters=self._limiters, **here), *deleting]

    def _feeds_of_images(self) -> list[Feed]:
        relay, quiet_s = self.config.relay, self.config.quiet_s
        look = Reconciling(database=self.database, clock=self.clock, routes=self.config.route, quiet_s=quiet_s)
        kept = {"machine": relay.name, "keep_s": relay.keep_images_s, "keep_filtered_s": relay.keep_filtered_s}
        free = _bound(sweep_images, database=self.database, clock=self.clock, **kept)
        return [Feed("reconcile", _SWEEP_S, look), Feed("sweep images", _SWEEP_S, free)]

    def _feeds_of_sinks(self) -> list[Feed]:
        built, relay = self.sinks(), self.config.relay
        settings = {name: settings for name, (settings, _) in built.items()}
        here: dict[str, Any] = {"database": self.database, "clock": self.clock}
        who: dict[str, Any] = {"relay": relay.name, "site": relay.site}
        return [
            Feed("tell", _TELL_S, _bound(tell, settings, **here)),
            Feed("remind again", _SWEEP_S, _bound(remind_again, settings, **here)),
            Feed("summarize", _SWEEP_S, _bound(summarize, settings, **here, **who)),
            Feed("forget old messages", _REMIND_S, _bound(forget_old, **here)),
            *(Feed(f"sink {n}", _TELL_S, HandingOver(s, given, **here, **who)) for n, (given, s) in built.items()),
        ]

    def _returned(self) -> Callable[[], None]:
        notes = self.config.relay.spool / _NOTES
        return _bound(returned, database=self.database, clock=self.clock, notes=notes)

    def _looking(self, ours: dict[str, Any]) -> Callable[[], None]:
        archives, spool = self.archives(), self.config.relay.spool

        def is_there(delivery: RawDelivery) -> bool:
            return is_listed(delivery, archive=archives[delivery.destination], spool=spool)

        def is_copy_there(copy: Copy) -> bool:
            return is_copy_listed(copy, archive=archives[copy.destination])

        def both() -> None:
            look(is_listed=is_there, database=self.database, clock=self.clock, **ours)
            look_back(is_listed=is_copy_there, database=self.database, clock=self.clock, **ours)

        return both


def _bound(function: Callable[..., object], *args: object, **kwargs: object) -> Callable[[], None]:
    bound = partial(function, *args, **kwargs)

    def run() -> None:
        bound()

    return run
