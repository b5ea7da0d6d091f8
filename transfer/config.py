"""The configuration: one TOML file, one frozen model; an unknown key is an error. See relay.example.toml."""

import socket
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from dicom.settings import ListenerSettings
from hardware import readings, sinks
from hardware.host.settings import HostSettings
from hardware.judgement import PoolSettings
from kspace import sources
from kspace.errors import ConfigError
from kspace.paths import AbsolutePath
from kspace.registry import plugins
from kspace.secret import PlainUrl
from transfer import destinations
from transfer.catalog.flow import FlowSettings
from transfer.routing import Route
from transfer.stages.manners import MannersSettings
from transfer.websettings import WebSettings
from transfer.wishes import Rule

_MIN_POLL_S = 20.0
"""A scanner's share is never listed more often than this."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Relay(_Model):
    """The box itself: its name in the catalog, and its folder on a local disk."""

    name: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    site: str = Field(default="", pattern=r"^[A-Za-z0-9 ._-]{0,64}$")
    folder: AbsolutePath
    catalog: PlainUrl | None = None
    """None: a SQLite file in the folder. Several boxes: postgresql+psycopg://…; the password by PGPASSFILE."""
    metrics: str | None = Field(default=None, pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$")
    """Where Prometheus asks, as host:port."""
    workers: int = Field(default=4, ge=1, le=64)
    backoff_s: float = Field(default=5.0, gt=0)
    keep_s: float = Field(default=7 * 86_400.0, ge=0)
    """How long a verified capture stays in the spool."""
    keep_images_s: float = Field(default=30 * 86_400.0, ge=0)
    """How long received images stay in the spool after every archive proved that it holds them."""
    keep_filtered_s: float | None = Field(default=None, ge=0)
    """How long images that a route's filter leaves out stay after the rest was verified; None: until a person says."""
    release_after_s: float = Field(default=14 * 86_400.0, ge=0)
    """How long a captured file that no project wants stays in the spool."""
    no_series_after_s: float = Field(default=86_400.0, ge=0)
    """After how long raw data of a known study without a series go to the session itself."""
    verify_per_day: int = Field(default=4, ge=0, le=86_400)
    """How many delivered captures the archives must prove again each day; 0: none by itself."""
    codec: Literal["auto", "zstd"] = "auto"
    """How captures are packed: zstd alone is restored by any zstd program, and takes about half as much more."""
    chunk_bytes: int = Field(default=16 << 20, ge=65_536, le=16 << 20)

    @property
    def spool(self) -> Path:
        """Where packed files and received images wait."""
        return self.folder / "spool"

    @property
    def catalog_url(self) -> str:
        """Where the catalog is."""
        return self.catalog or f"sqlite:///{self.folder / 'catalog.sqlite'}"


class Scanner(MannersSettings):
    """One scanner, its one limiter, its manners, and the shares on which its raw files appear."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    limit_mbit_per_s: float = Field(default=250.0, gt=0, le=100_000)
    adaptive: bool = False
    """Read slower while the share answers slower than when it is left alone."""
    store_gb: float | None = Field(default=None, gt=0)
    """How much its raw store holds, until the relay has seen it."""
    poll_s: float = Field(default=30.0, gt=0)
    answer_s: float = Field(default=25.0, gt=0, le=600)
    """How long one call to a share may take; a slow listing may take longer as long as it goes on."""
    quiet_s: float = Field(default=120.0, ge=0)
    """How long a file must stay the same before it is looked into."""
    patience_s: float = Field(default=1800.0, ge=0)
    """How long a quiet file that is not whole may still become whole."""
    practice: bool = False
    """True: no scanner at all, but a folder for practice; only then may poll_s be under 20 s."""
    source: tuple[dict[str, Any], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _kind_to_scanners(self) -> "Scanner":
        if self.poll_s < _MIN_POLL_S and not self.practice:
            raise ValueError(f"poll_s of scanner {self.name} is under {_MIN_POLL_S:.0f} s; only a practice folder may")
        return self


class Dicom(ListenerSettings):
    """The listener, and when a study counts as complete for now."""

    model_config = ConfigDict(allow_inf_nan=False)

    quiet_s: float = Field(default=300.0, ge=0)


class Config(_Model):
    """Everything the relay is told."""

    relay: Relay
    scanner: tuple[Scanner, ...] = ()
    dicom: tuple[Dicom, ...] = (Dicom(),)
    """The listeners: one table [dicom], or several [[dicom]]."""
    pool: PoolSettings = PoolSettings()
    flow: FlowSettings = FlowSettings()
    reading: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of readers of the box, by their kind; all of them are on unless it says otherwise."""
    destination: tuple[dict[str, Any], ...] = ()
    route: tuple[Route, ...] = ()
    rule: tuple[Rule, ...] = ()
    sink: tuple[dict[str, Any], ...] = ()
    host: HostSettings | None = None
    """None: nobody asks the relay for the files of its host."""
    web: WebSettings | None = None
    """None: there is no page."""
    log: Literal["text", "json"] = "text"

    @field_validator("dicom", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return ((given,) if isinstance(given, dict) else given) or (Dicom(),)

    @field_validator("dicom")
    @classmethod
    def _told_apart(cls, listeners: tuple[Dicom, ...]) -> tuple[Dicom, ...]:
        titles, places = {d.ae_title for d in listeners}, {(d.host, d.port) for d in listeners if d.port}
        is_told = len(titles) == len(listeners) == len(places) + sum(not d.port for d in listeners)
        if len(listeners) > 1 and (not is_told or any(d.any_called_ae for d in listeners)):
            raise ValueError(
                "several listeners need an ae_title and a port each, and none may say any_called_ae: routes tell them "
                "apart by called_ae"
            )
        return listeners

    @property
    def quiet_s(self) -> float:
        """Return how long a study must be quiet, whichever listener it came by."""
        return max(listener.quiet_s for listener in self.dicom)

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        names = [str(d.get("name")) for d in self.destination]
        for what, given in {
            "scanner": [s.name for s in self.scanner],
            "destination": names,
            "rule": [r.name for r in self.rule],
            "sink": ["log", *(str(s.get("name")) for s in self.sink)],
        }.items():
            twice = sorted({n for n in given if given.count(n) > 1})
            if twice:
                raise ValueError(f"two {what}s are called {', '.join(twice)}")
        for route in self.route:
            for name in route.destinations:
                if name not in names:
                    raise ValueError(f"a route names the destination {name!r}, which is not configured")
        xnats = {d.get("name") for d in self.destination if d.get("kind") == "xnat"}
        for name in self.web.sign_in if self.web else ():
            if name not in xnats:
                raise ValueError(f"[web] lets people sign in with {name!r}, which is no configured XNAT")
        of_sources = [source for scanner in self.scanner for source in scanner.source]
        of_readers = [{"kind": kind, **reader} for kind, reader in self.reading.items()]
        parts = ((sources, of_sources), (destinations, self.destination), (readings, of_readers), (sinks, self.sink))
        for folder, tables in parts:
            for table in tables:
                settings_of(folder, table)
        return self

    @model_validator(mode="after")
    def _consents_to_what_it_deletes(self) -> "Config":
        for scanner in self.scanner:
            for given in scanner.source:
                asked = getattr(settings_of(sources, given), "delete", None)
                sentence = f"{self.relay.name} may delete on {scanner.name}"
                if asked is not None and asked.consent != sentence:
                    raise ValueError(f'a source of {scanner.name} has `delete` without consent = "{sentence}"')
        return self

    @model_validator(mode="after")
    def _host_knows_its_scanners(self) -> "Config":
        if self.host is None:
            return self
        sources_of = {scanner.name: scanner.source for scanner in self.scanner}
        named = {tap.scanner for tap in self.host.tap} | {share.scanner for share in self.host.share}
        for name in named - set(sources_of):
            raise ValueError(f"[host] names the scanner {name!r}, which is not configured")
        for share in self.host.share:
            if str(share.path) not in {str(given.get("path")) for given in sources_of[share.scanner]}:
                raise ValueError(f"no source of {share.scanner} looks at {share.path}, where [host] mounts its share")
        for tap in self.host.tap:
            behind = {str(server.address): server.at for server in tap.server}
            for given in sources_of[tap.scanner]:
                if place := behind.get(str(given.get("host"))):
                    raise ValueError(f"a source of {tap.scanner} must call {place}: its server is behind the tap")
        return self


def load_config(path: Path) -> Config:
    """Read and check the configuration.

    Raises:
        ConfigError: it cannot be read, with every mistake in it on a line of its own.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        return Config.model_validate(given)
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is no TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"The configuration {path} has mistakes:\n" + "\n".join(lines)) from error


def settings_of(folder: Any, given: dict[str, Any]) -> Any:  # noqa: ANN401 -- a module, and any plug-in's settings
    """Return the checked settings of a plug-in: the key ``kind`` says which.

    Raises:
        ValueError: there is no such kind, or its settings are wrong.
    """
    known = plugins(folder)
    kind = given.get("kind")
    if kind not in known:
        raise ValueError(f"unknown kind {kind!r}; there are: {', '.join(sorted(known))}")
    wanted = known[kind].settings
    rest = given if "kind" in wanted.model_fields else {k: v for k, v in given.items() if k not in {"kind", "name"}}
    return TypeAdapter(wanted).validate_python(rest)
