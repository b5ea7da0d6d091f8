"""A folder into which people export raw files at the console (RaidTool, `twix`)."""

from ipaddress import IPv4Address
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kspace.registry import Plugin
from kspace.sources.settings import Scope
from kspace.sources.share import Share, ShareSettings


class Serving(BaseModel):
    """The folder is the relay's own, and it serves it to one console by SMB: there one may create, not delete."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    share: str = Field(pattern=r"^[A-Za-z0-9_-]{1,12}$")
    """The share's name as the console sees it."""
    address: IPv4Address
    """The console's: nobody else is let in."""
    user: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    """The account, of this box and for this alone, as which the console signs in."""
    quota_gb: float = Field(gt=0)
    """The most that may lie there."""
    hold_s: float = Field(default=86_400.0, ge=0)
    """How long after every archive's receipt a file goes."""


class DropSettings(ShareSettings):
    """Where the folder is. It never shows all that the scanner has."""

    scope: Literal[Scope.EXPORTS] = Scope.EXPORTS
    listings: tuple[str, ...] = ("*.txt",)
    """Names of text files that may be listings of RaidTool; empty: none is read."""
    serve: Serving | None = None
    """None: somebody else serves the folder, and the relay deletes nothing in it."""

    @model_validator(mode="after")
    def _emptied_in_one_way(self) -> "DropSettings":
        if self.serve and self.delete:
            raise ValueError("a folder that the relay serves is emptied by the relay: take `delete` away")
        return self


PLUGIN = Plugin("drop", DropSettings, Share)
