"""What may be deleted at sources, as the configuration consents to it, bound to its ports."""

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any

from hardware.served import ServedReader
from kspace import sources
from kspace.clock import Clock
from kspace.errors import NotFound
from kspace.sources.deleting import Deleter
from kspace.sources.drop import DropSettings
from kspace.sources.limiting import Limiter
from kspace.sources.share import ShareSettings
from transfer.catalog.database import Database
from transfer.config import Config, Scanner, settings_of
from transfer.engine import Feed
from transfer.feeds.delete import Deleting, Terms
from transfer.receipts import Signer
from transfer.stages.manners import Manners

_EVERY_S = 60.0


def terms_of(config: Config, source: str) -> Terms:
    """Return the terms on which files of a source, by its name, may be deleted.

    Raises:
        NotFound: there is no such source, or nothing is ever deleted there.
    """
    for name, _, settings in _consented(config):
        if name == source:
            return _terms(config, name, settings)
    raise NotFound(
        f"Nothing is ever deleted at {source}: no source of that name has `delete` in the configuration. See "
        "docs/howto/sources.md."
    )


def deleting_feeds(  # noqa: PLR0913 -- the ports
    config: Config,
    *,
    limiters: Mapping[str, Limiter],
    manners: Mapping[str, Manners],
    prove: Callable[[int], bool],
    database: Database,
    clock: Clock,
) -> Iterator[Feed]:
    """Yield a feed for each source at which something may be deleted."""
    for name, scanner, settings in _consented(config):
        root = (settings.delete and settings.delete.path) or settings.path
        deleter = Deleter(root, limiter=limiters[scanner.name], within_s=scanner.answer_s)
        ports: dict[str, Any] = {"prove": prove, "database": database, "clock": clock}
        may_wait = manners[scanner.name]
        run = Deleting(_terms(config, name, settings), deleter, waits=may_wait.must_wait, **ports)
        yield Feed(f"delete {name}", _EVERY_S, run)


def served_readers(config: Config) -> Iterator[ServedReader]:
    """Yield the reader of each folder that the relay serves to a console."""
    for name, _, settings in _consented(config):
        if isinstance(settings, DropSettings) and settings.serve:
            yield ServedReader(settings.path, name=name, quota_bytes=settings.serve.quota_gb * 1e9)


def _consented(config: Config) -> Iterator[tuple[str, Scanner, ShareSettings]]:
    for scanner in config.scanner:
        for number, given in enumerate(scanner.source, start=1):
            settings = settings_of(sources, given)
            if isinstance(settings, ShareSettings) and (settings.delete or _is_served(settings)):
                yield f"{scanner.name}/{number}", scanner, settings


def _is_served(settings: ShareSettings) -> bool:
    return isinstance(settings, DropSettings) and settings.serve is not None


def _terms(config: Config, name: str, settings: ShareSettings) -> Terms:
    key = Signer(config.relay.folder / "receipt-key.pem").public_key
    own: dict[str, Any] = {"source": name, "machine": config.relay.name, "public_key": key}
    if isinstance(settings, DropSettings) and settings.serve:
        return Terms(**own, hold_s=settings.serve.hold_s, files_per_day=10**9, bytes_per_day=inf, is_own=True)
    asked = settings.delete
    if asked is None:
        raise AssertionError("only sources with consent are asked")
    per_day: dict[str, Any] = {"files_per_day": asked.files_per_day, "bytes_per_day": asked.gb_per_day * 1e9}
    return Terms(**own, hold_s=asked.hold_s, **per_day)
