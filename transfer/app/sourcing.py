"""The sources of the configuration, each behind its scanner's one limiter, and what looks at them now and then."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from kspace import sources
from kspace.clock import Clock
from kspace.registry import plugins
from kspace.sources import Source
from kspace.sources.answering import AnsweringSource
from kspace.sources.drop import DropSettings
from kspace.sources.limiting import LimitedSource, Limiter
from kspace.sources.settings import Scope
from kspace.sources.share import Share, ShareSettings
from kspace.sources.yielding import Yielding
from transfer.catalog.database import Database
from transfer.config import Config, Scanner, settings_of
from transfer.engine import Feed
from transfer.feeds.endangered import watch_store
from transfer.feeds.find import find
from transfer.feeds.listings import Listings

_STORE_S = 60.0


def limiters_of(config: Config, *, rate: Callable[[Scanner], float], clock: Clock) -> dict[str, Limiter]:
    """Return each scanner's one limiter, by its name; ``rate`` tells what it may be read at now, in Mbit/s."""
    return {
        s.name: Limiter(mbit_per_s=partial(rate, s), clock=clock, yielding=Yielding() if s.adaptive else None)
        for s in config.scanner
    }


def sources_of(config: Config, limiters: Mapping[str, Limiter]) -> dict[str, tuple[str, Source]]:
    """Return every source by its name (``scanner/1``…), with its scanner's name."""
    built: dict[str, tuple[str, Source]] = {}
    for scanner in config.scanner:
        for number, given in enumerate(scanner.source, start=1):
            plugin = plugins(sources)[given["kind"]]
            bare = AnsweringSource(plugin.build(settings_of(sources, given)), within_s=scanner.answer_s)
            built[f"{scanner.name}/{number}"] = (scanner.name, LimitedSource(bare, limiters[scanner.name]))
    return built


def looking_feeds(
    config: Config,
    found: Mapping[str, tuple[str, Source]],
    *,
    limiters: Mapping[str, Limiter],
    database: Database,
    clock: Clock,
) -> Iterator[Feed]:
    """Yield for each source what lists it, and for each scanner what knows when it overwrites."""
    here: dict[str, Any] = {"database": database, "clock": clock}
    for scanner in config.scanner:
        shows = []
        for number, given in enumerate(scanner.source, start=1):
            name = f"{scanner.name}/{number}"
            scope, source = settings_of(sources, given).scope, found[name][1]
            shows += [source] if scope is Scope.STORE else []
            told: dict[str, Any] = {"scanner": scanner.name, "name": name, "quiet_s": scanner.quiet_s, "scope": scope}
            yield Feed(f"find {name}", scanner.poll_s, _finding(source, **told, **here))
            if texts := _listings(scanner, given, limiters[scanner.name]):
                listings = Listings(texts, scanner=scanner.name, name=name, **here)
                yield Feed(f"listings {name}", _STORE_S, listings)
        most = None if scanner.store_gb is None else int(scanner.store_gb * 1e9)
        watch = partial(watch_store, shows, scanner=scanner.name, capacity_bytes=most, **here)
        yield Feed(f"endangered {scanner.name}", _STORE_S, watch)


def _listings(scanner: Scanner, given: dict[str, Any], limiter: Limiter) -> Source | None:
    """Return the text files of an export folder as a source."""
    settings = settings_of(sources, given)
    if not isinstance(settings, DropSettings) or not settings.listings:
        return None
    texts = Share(ShareSettings(path=settings.path, patterns=settings.listings))
    return LimitedSource(AnsweringSource(texts, within_s=scanner.answer_s), limiter)


def _finding(source: Source, **told: Any) -> Callable[[], None]:  # noqa: ANN401 -- what `find` takes
    def run() -> None:
        find(source, **told)

    return run
