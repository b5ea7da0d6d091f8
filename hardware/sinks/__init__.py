"""Where people are told: the Sink port, what it is handed, and the settings all kinds share; one module a kind."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from hardware.records import Alert, Severity
from kspace.calendar import TimeZone, When
from kspace.errors import KspaceError


class NotTold(KspaceError):
    """The other side did not take a message; it will be tried again."""

    code = "not_told"


class SinkSettings(BaseModel):
    """What the settings of every kind of sink begin with: what it is told, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    least: Severity = Severity.INFO
    """Nothing less severe is told."""
    gather_s: float = Field(default=30.0, ge=0, le=3600)
    """How long news of one topic are gathered into one message; what is critical does not wait."""
    apart_s: float = Field(default=600.0, ge=0, le=86_400)
    """How far apart two messages of one topic are, unless it became more severe."""
    remind_after_s: float = Field(default=14_400.0, gt=0)
    """When an open alert that nobody acknowledged is told again; each further gap is twice as long, up to a week."""
    quiet: tuple[When, ...] | None = None
    """Times of the week at which only what is critical is told; the rest waits."""
    time_zone: TimeZone | None = None
    reports: tuple[Literal["daily", "weekly"], ...] | None = None
    report_at: str = Field(default="07:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


Occasion = Literal["alert", "reminder", "over", "report", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside a message: PNG, and what it shows in words."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    png: bytes
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one sink is told, once: ids, counts and sentences without patient data.

    ``id`` is fixed before the first attempt, so that a message that comes twice after a crash is recognised.
    """

    id: str
    kind: Occasion
    topic: str
    severity: Severity
    relay: str
    site: str
    at: datetime
    subject: str
    text: str
    alerts: tuple[Alert, ...] = ()
    """Those that are listed, of those that are open or over since the last message."""
    count: int = 0
    """How many are open."""
    picture: Picture | None = None
    only: tuple[str, ...] = ()
    """Those of its recipients whom it is still for, where the others have it; none: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the other side answered; ``problem``: what of it was refused, where some of it was taken.

    ``left`` are recipients who were refused for a while: it is still for them.
    """

    answer: str
    problem: str | None = None
    left: tuple[str, ...] = ()


class Sink(Protocol):
    """Tells people."""

    def answers(self) -> str | None:
        """Return what the other side says without being told anything; None: only a message shows whether it takes one.

        Raises:
            NotTold: it would not take a message now.
            ConfigError: a secret or certificate cannot be used.
        """

    def tell(self, message: Message) -> Told:
        """Hand a message over and return what the other side said to it.

        Raises:
            NotTold: it was not taken, or nobody can know; it will be tried again under the same id.
            ConfigError: a secret or certificate cannot be used.
        """
