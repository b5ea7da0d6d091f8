"""A folder into which people export raw files at the console (RaidTool, `twix`)."""

from typing import Literal

from kspace.registry import Plugin
from kspace.sources.settings import Scope
from kspace.sources.share import Share, ShareSettings


class DropSettings(ShareSettings):
    """Where the folder is. It never shows all that the scanner has."""

    scope: Literal[Scope.EXPORTS] = Scope.EXPORTS


PLUGIN = Plugin("drop", DropSettings, Share)
