"""What the host must know of the relay: the facts of a configuration from which its files are made."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from hardware import sinks
from hardware.host import host_files
from hardware.host.advice import warnings
from hardware.host.records import Door, Facts, Served
from hardware.host.settings import HostSettings
from hardware.sinks.mail import MailSettings
from hardware.sinks.syslog import SyslogSettings
from kspace import sources
from kspace.errors import ConfigError
from kspace.sources.drop import DropSettings
from kspace.sources.settings import ServerSettings
from transfer.config import Config, settings_of

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "postgresql+psycopg": 5432}


def files_of(config: Config) -> dict[str, str]:
    """Return the files of a configuration's host by path.

    Raises:
        ConfigError: there is no table [host], or the firewall cannot admit exactly what is configured.
    """
    return host_files(settings_of_host(config), _facts(config))


def warnings_of(config: Config) -> list[str]:
    """Return what a person should know before the files go into their places; nothing where there is no [host]."""
    return [] if config.host is None else list(warnings(config.host, _facts(config)))


def settings_of_host(config: Config) -> HostSettings:
    """Return the table [host].

    Raises:
        ConfigError: there is none.
    """
    if config.host is None:
        raise ConfigError("The configuration has no table [host]; see relay.example.toml.")
    return config.host


def _facts(config: Config) -> Facts:
    consoles = {place for d in config.dicom for place in (d.report_to or {}).values()}
    shares = {place for scanner in config.scanner for given in scanner.source for place in _places(given)}
    return Facts(
        name=config.relay.name,
        folder=config.relay.folder,
        doors=tuple(Door(title=d.ae_title, host=d.host, port=d.port, allowed=d.allowed_ip) for d in config.dicom),
        metrics=config.relay.metrics,
        out_ports=tuple(sorted(set(_ports(config)))),
        calls=(calls := tuple(sorted(consoles | shares | set(_told(config))))),
        hosts=(*(place.rpartition(":")[0].removeprefix("udp ") for place in calls), *_called(config)),
        served=tuple(_served(config)),
    )


def _served(config: Config) -> Iterator[Served]:
    for scanner in config.scanner:
        for given in scanner.source:
            settings = settings_of(sources, given)
            if isinstance(settings, DropSettings) and (serve := settings.serve):
                told = serve.model_dump(include={"share", "address", "user", "quota_gb"})
                yield Served(scanner=scanner.name, path=settings.path, **told)


def _places(source: dict[str, Any]) -> Iterator[str]:
    settings = settings_of(sources, source)
    if isinstance(settings, ServerSettings):
        yield f"{settings.host}:{settings.port}"
        if source["kind"] == "ftp":  # the server names the port of its data
            yield f"{settings.host}:1024-65535"


def _told(config: Config) -> Iterator[str]:
    """Yield what is called to tell people of alerts."""
    for given in config.sink:
        settings = settings_of(sinks, given)
        if isinstance(settings, MailSettings | SyslogSettings) and settings.host:
            is_udp = isinstance(settings, SyslogSettings) and settings.transport == "udp"
            yield f"{'udp ' if is_udp else ''}{settings.host}:{settings.called}"


def _ports(config: Config) -> Iterator[int]:
    for address in _urls(config):
        parts = urlsplit(address)
        if parts.hostname and (port := parts.port or _PORTS.get(parts.scheme)):
            yield port


def _called(config: Config) -> Iterator[str]:
    """Yield the hosts of archives, proxies and the catalog; what is behind a proxy the proxy finds."""
    urls = [config.relay.catalog or ""]
    urls += [next(_addresses(given), "") for given in (*config.destination, *config.sink)]
    yield from (host for url in urls if (host := urlsplit(url).hostname))


def _urls(config: Config) -> Iterator[str]:
    yield config.relay.catalog or ""
    for given in (*config.destination, *config.sink):
        yield from _addresses(given)


def _addresses(given: dict[str, Any]) -> Iterator[str]:
    """Yield what a destination or a sink calls: its own address, and its proxy's."""
    proxy = given.get("proxy")
    yield from (
        url for url in ((proxy or {}).get("url"), given.get("url"), given.get("endpoint")) if isinstance(url, str)
    )
