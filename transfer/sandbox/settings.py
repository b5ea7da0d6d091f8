"""What a sandbox is started with: its users, projects, limits and the faults it plays."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["owner", "member", "collaborator"]


class _Frozen(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class User(_Frozen):
    """Somebody who may log in. ``roles`` maps project ids to roles; ``read_only`` wins over every role."""

    name: str
    password: str
    admin: bool = False
    data_admin: bool = False
    """Owns every project without administering the site (ALL_DATA_ADMIN)."""
    is_expired: bool = False
    """The password has expired: 403 for everything (XnatExpiredPasswordFilter)."""
    read_only: bool = False
    roles: dict[str, Role] = Field(default_factory=dict)


class Project(_Frozen):
    """A project that exists from the start. ``prearchive_code``: 0 manual, 4 auto-archive, 5 auto-archive overwrite."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    name: str = ""
    prearchive_code: Literal[0, 4, 5] = 0
    has_script: bool = False
    """Whether an anonymisation script is shown for it; none is ever run but for ``remaps_uids``."""
    remaps_uids: bool = False
    """Its script gives every UID anew when a session is archived (PrearcSessionArchiver; DicomEdit's hashUID)."""
    rejects: tuple[str, ...] = ()
    """Regular expressions: objects with such a SeriesDescription are left out of an import, without a word
    (DicomFilterService, seriesImportFilter)."""
    loses: tuple[str, ...] = ()
    """The same, when a session is archived: its script rejects them one by one (DicomEdit's reject)."""
    renames: str | None = None
    """The label a session gets when it is archived; ``{label}`` is the one it waited under (PrearcSessionArchiver,
    label given or made anew at archiving)."""
    person_after_s: float | None = None
    """Somebody archives what waits for a person so many seconds after it was built (ArchiveServlet, by hand)."""


class Faults(_Frozen):
    """What goes wrong, on purpose: chances between 0 and 1, drawn from ``seed``, one draw per request and fault.

    ``only`` is a regular expression searched in ``METHOD /path``; requests it does not match are left alone.
    ``limit`` is how many faults are played in all before the sandbox behaves again.
    """

    seed: int = 0
    only: str = ""
    limit: int | None = None
    drop_before: float = Field(default=0.0, ge=0, le=1)
    """The connection is reset before anything was done."""
    drop_after: float = Field(default=0.0, ge=0, le=1)
    """Everything was done, then the connection is reset instead of an answer."""
    drop_within: float = Field(default=0.0, ge=0, le=1)
    """The connection is reset in the middle of the request's body."""
    refuse: float = Field(default=0.0, ge=0, le=1)
    """``refuse_status`` before anything was done."""
    refuse_status: int = 503
    gateway_timeout: float = Field(default=0.0, ge=0, le=1)
    """Everything was done, but a proxy answers 504."""
    body_limit_bytes: int | None = None
    """A proxy answers 413 to longer bodies."""
    delay_s: float = Field(default=0.0, ge=0)
    """How long every matching request waits before it is handled."""
    corrupt_uploads: tuple[int, ...] = ()
    """Which stored files (the first is 1, counted since these faults were set) get one byte flipped on disk."""


class SandboxSettings(_Frozen):
    """Everything a sandbox is started with. The defaults are a site for a demonstration."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    site_id: str = "sandbox"
    version: str = "1.8.11"
    """The XNAT version whose behaviour is followed, as ``/xapi/siteConfig/buildInfo`` says it."""
    users: tuple[User, ...] = (
        User(name="admin", password="admin", admin=True),  # noqa: S106 -- a demonstration
        User(name="relay", password="relay", roles={"DEMO": "member", "SCRATCH": "member"}),  # noqa: S106 -- the same
        User(name="reader", password="reader", roles={"DEMO": "collaborator"}),  # noqa: S106 -- the same
    )
    has_script: bool = False
    """Whether the site says that it anonymises incoming images."""
    projects: tuple[Project, ...] = (
        Project(id="DEMO", name="Demonstration", prearchive_code=4),
        Project(id="SCRATCH", name="For probes"),
    )
    is_initialized: bool = True
    """False: an administrator has not set the site up yet, and Basic gets 403 (XnatInitCheckFilter)."""
    checksums: bool = True
    """XNAT's site preference: catalogue the MD5 of every stored file."""
    digest_mb_per_s: float | None = None
    """How fast the MD5 is taken; None: as fast as it goes."""
    session_timeout_s: float = 900.0
    max_sessions: int = 1000
    max_failed_logins: int = 20
    lockout_s: float = 3600.0
    alias_timeout_s: float = 172_800.0
    archive_delay_s: float = 0.0
    """How long a session stays ARCHIVING, and out of sight, before it is in the archive."""
    rebuild_after_s: float = 300.0
    """How long a prearchive session must be untouched before it is built (and archived where the project says so)."""
    forgives_delete: bool = False
    """Whether a client may ask for ``overwrite=delete``, which replaces a session's scans. Where it may not, the
    sandbox ends in an error: no program may do that by itself."""
    require_reason: bool = False
    """XNAT's site preference: every change needs a justification, the parameter ``event_reason``."""
    faults: Faults = Faults()
