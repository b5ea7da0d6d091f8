"""Every stage with its ports bound: what the engine runs under which name (`transfer.states.STAGE_OF`)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from hardware.pools import Pool
from kspace.clock import Clock
from kspace.errors import ConfigError
from kspace.sources import Source
from transfer import destinations
from transfer.catalog.candidates import find_candidates, find_rivals
from transfer.catalog.copies import copies_of
from transfer.catalog.database import Database
from transfer.catalog.dependencies import beside, needed_by
from transfer.catalog.inventory import find_twin
from transfer.catalog.judging import is_rejected
from transfer.catalog.probes import body_limit
from transfer.config import Config, settings_of
from transfer.engine import Stage
from transfer.receipts import Signer
from transfer.stages.audit import audit
from transfer.stages.confirm import confirm
from transfer.stages.fetch import fetch
from transfer.stages.forward import forward
from transfer.stages.join import join
from transfer.stages.manners import Manners, polite
from transfer.stages.observe import observe
from transfer.stages.pack import pack
from transfer.stages.plan import plan
from transfer.stages.retire import retire
from transfer.stages.send import send
from transfer.stages.settle import settle
from transfer.stages.verify import verify
from transfer.wishes import Rule

T = TypeVar("T")


def stages(  # noqa: PLR0913 -- the ports
    config: Config,
    *,
    clock: Clock,
    database: Database,
    sources: Mapping[str, tuple[str, Source]],
    archives: Mapping[str, Any],
    pool: Pool,
    must_go: Callable[[int], bool],
    manners: Mapping[str, Manners],
    rules: Callable[[], Sequence[Rule]],
) -> dict[str, Stage]:
    """Return the stages by name; ``must_go`` tells a capture whose room is needed before its time."""
    file_bytes: dict[str, int] = {d["name"]: settings_of(destinations, d).file_bytes for d in config.destination}

    def largest(destination: str) -> int:
        return min(_known(file_bytes, destination), body_limit(database, destination) or sys.maxsize)

    return {
        **_of_captures(
            config,
            clock=clock,
            database=database,
            sources=sources,
            largest=largest,
            manners=manners,
            pool=pool,
            rules=rules,
        ),
        "fetch": lambda capture, progress: fetch(
            capture,
            copies=partial(copies_of, database),
            archives=archives,
            spool=config.relay.spool,
            room_for=pool.room_for,
            progress=progress,
        ),
        "retire": lambda capture, _: retire(capture, clock=clock, keep_s=config.relay.keep_s, must_go=must_go),
        **_of_deliveries(config, clock=clock, archives=archives, largest=largest),
    }


def _of_captures(  # noqa: PLR0913 -- the ports
    config: Config,
    *,
    clock: Clock,
    database: Database,
    sources: Mapping[str, tuple[str, Source]],
    pool: Pool,
    largest: Callable[[str], int],
    manners: Mapping[str, Manners],
    rules: Callable[[], Sequence[Rule]],
) -> dict[str, Stage]:
    relay, spool = config.relay, config.relay.spool
    own = {s.name: s for s in config.scanner}
    quiet_s = config.quiet_s
    return {
        "settle": lambda capture, _: settle(
            capture,
            source=_known(sources, capture.source)[1],
            rules=rules(),  # what was saved last decides
            needed_by=partial(needed_by, database),
            clock=clock,
            quiet_s=_known(own, capture.scanner).quiet_s,
            patience_s=_known(own, capture.scanner).patience_s,
        ),
        "pack": polite(
            lambda capture, progress: pack(
                capture,
                source=_known(sources, capture.source)[1],
                spool=spool,
                codec=relay.codec,
                chunk_bytes=relay.chunk_bytes,
                cuts={largest(d["name"]) for d in config.destination},
                twin_of=partial(find_twin, database),
                room_for=pool.room_for,
                progress=progress,
            ),
            manners=manners,
        ),
        "join": lambda capture, _: join(
            capture,
            find=partial(find_candidates, database),
            rivals=partial(find_rivals, database),
            beside=partial(beside, database),
            clock=clock,
            quiet_s=quiet_s,
            no_series_after_s=relay.no_series_after_s,
            is_rejected=partial(is_rejected, database),
        ),
        "plan": lambda capture, progress: plan(
            capture,
            spool=spool,
            rules=rules(),  # what was saved last decides
            needed_by=partial(needed_by, database),
            part_bytes={d["name"]: largest(d["name"]) for d in config.destination},
            clock=clock,
            release_after_s=relay.release_after_s,
            progress=progress,
        ),
    }


def _of_deliveries(
    config: Config, *, clock: Clock, archives: Mapping[str, Any], largest: Callable[[str], int]
) -> dict[str, Stage]:
    spool = config.relay.spool
    signer = Signer(config.relay.folder / "receipt-key.pem")
    return {
        "send": lambda delivery, progress: send(
            delivery,
            archive=_known(archives, delivery.destination),
            spool=spool,
            rules=config.rule,
            routes=config.route,
            part_bytes=largest(delivery.destination),
            progress=progress,
        ),
        "verify": lambda delivery, progress: verify(
            delivery,
            archive=_known(archives, delivery.destination),
            spool=spool,
            signer=signer,
            clock=clock,
            progress=progress,
        ),
        "audit": lambda delivery, _: audit(delivery, archive=_known(archives, delivery.destination), spool=spool),
        **_of_images(config, clock=clock, archives=archives, largest=largest),
    }


def _of_images(
    config: Config, *, clock: Clock, archives: Mapping[str, Any], largest: Callable[[str], int]
) -> dict[str, Stage]:
    return {
        "forward": lambda delivery, progress: forward(
            delivery,
            archive=_known(archives, delivery.destination),
            routes=config.route,
            clock=clock,
            quiet_s=config.quiet_s,
            most_bytes=largest(delivery.destination),
            progress=progress,
        ),
        "confirm": lambda delivery, progress: confirm(
            delivery,
            archive=_known(archives, delivery.destination),
            spool=config.relay.spool,
            routes=config.route,
            clock=clock,
            progress=progress,
        ),
        "observe": lambda delivery, progress: observe(
            delivery,
            archive=_known(archives, delivery.destination),
            spool=config.relay.spool,
            clock=clock,
            progress=progress,
        ),
    }


def _known(configured: Mapping[str, T], name: str) -> T:
    if name not in configured:
        raise ConfigError(f"The configuration no longer has {name!r}. Nothing is lost: put it back, then retry.")
    return configured[name]
