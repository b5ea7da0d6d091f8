"""What every source is told: which names are raw files, and how much of the scanner's work can be seen there."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from kspace.errors import ConfigError, SourceRefused
from kspace.secret import Secret


class Scope(StrEnum):
    """How much of what a scanner measured a source can show."""

    STORE = "store"
    """All that the scanner has: what is missing there was not measured, or is lost."""
    EXPORTS = "exports"
    """Only what somebody exported: what is missing may still be on the scanner."""


class SourceSettings(BaseModel):
    """Which names are raw files, and what their absence means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patterns: tuple[str, ...] = Field(default=("*.dat",), min_length=1)
    scope: Scope = Scope.STORE

    @property
    def warning(self) -> str | None:
        """Return what a person should know who set it so; None: nothing."""
        return None


class ServerSettings(SourceSettings):
    """How a server on the scanner's side is reached, and as whom."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65_535)
    user: str = Field(min_length=1)
    password: Secret | None = None
    folder: str = Field(default="", pattern="^[^\\x00]*$")
    """Where the raw files are, with ``/`` between its parts."""
    timeout_s: float = Field(default=15.0, gt=0, le=60)
    """How long one answer of the server may take."""

    def reveal(self) -> str:
        """Return the password, which may be none.

        Raises:
            SourceRefused: its file or variable is not there; it may come, and no file on the share is to blame.
        """
        try:
            return self.password.reveal() if self.password else ""
        except ConfigError as error:
            raise SourceRefused(str(error)) from error
