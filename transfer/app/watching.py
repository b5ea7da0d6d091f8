"""What watches the box: its pools, and every reader that the configuration leaves on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url

from hardware import readings
from hardware.host.units import LEFT_IN
from hardware.pools import Pool, PoolReader, WriteReader
from hardware.readings import Reader
from kspace.clock import Clock
from kspace.registry import plugins
from transfer.app.deleting import served_readers
from transfer.catalog.database import Database
from transfer.catalog.flow import FlowReader
from transfer.config import Config, settings_of
from transfer.engine import Feed
from transfer.feeds.sample import Sampling, thin

_THIN_S = 3600.0
_SERVED_S = 60.0


def pools_of(config: Config) -> tuple[Pool, ...]:
    """Return the spool's disk, and the catalog's where it is another."""
    spool, url = config.relay.spool, make_url(config.relay.catalog_url)
    pools = [Pool(spool, config.pool)]
    if url.get_backend_name() == "sqlite" and url.database:
        folder = Path(url.database).parent
        if folder.stat().st_dev != spool.stat().st_dev:
            pools.append(Pool(folder, config.pool, name="catalog"))
    return tuple(pools)


def watch(config: Config, pools: Sequence[Pool], *, database: Database, clock: Clock) -> list[Feed]:
    """Return the feeds that read the box."""
    ours: dict[str, Any] = {"database": database, "clock": clock, "machine": config.relay.name}

    def feed(kind: str, every_s: float, reader: Reader) -> Feed:
        return Feed(f"read {kind}", every_s, Sampling(kind, reader, **ours))

    flow = FlowReader(config.flow, **ours)
    feeds = [
        feed("pool", config.pool.every_s, PoolReader(pools)),
        feed("write", config.pool.every_s, WriteReader(pools)),
        feed("flow", config.flow.every_s, flow),
    ]
    feeds += [feed(f"served folder {n}", _SERVED_S, reader) for n, reader in enumerate(served_readers(config), start=1)]
    for kind, plugin in plugins(readings).items():
        settings = settings_of(readings, {"kind": kind, **_given(config, kind)})
        if settings.is_on:
            feeds.append(feed(kind, settings.every_s, plugin.build(settings)))
    return [*feeds, Feed("thin readings", _THIN_S, partial(_thin, ours))]


def _thin(ours: dict[str, Any]) -> None:
    thin(**ours)


def _given(config: Config, kind: str) -> dict[str, Any]:
    """Return what the configuration says of a reader; the certificates are also those that it names elsewhere."""
    given = dict(config.reading.get(kind, {}))
    if kind == "smart" and config.host:
        given.setdefault("left_in", LEFT_IN)
    if kind == "certificates":
        own = [d.tls_cert for d in config.dicom] + [d.get("client_cert") for d in config.destination]
        own += [config.web.tls_cert] if config.web else []
        given["files"] = [*given.get("files", ()), *(file for file in own if file)]
        shown = [urlsplit(d.get("url") or d.get("endpoint") or "") for d in config.destination if not d.get("proxy")]
        servers = [f"{_bracketed(url.hostname)}:{url.port or 443}" for url in shown if url.scheme == "https"]
        given["servers"] = list(dict.fromkeys([*given.get("servers", ()), *servers]))
    return given


def _bracketed(host: str | None) -> str:
    """Return a host as it stands before a port: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if host and ":" in host else str(host)
