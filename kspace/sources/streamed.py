"""A folder into which a sender inside the reconstruction writes while the scan runs.

It names files by the time alone, without an ending, and one name may come again on another day: what a file is, its
header says, and whether it is whole, its end marker. It sends what it was put into, so by default its scope is that of
exports.
"""

import re
from collections.abc import Iterator

from pydantic import Field

from kspace.records import SourceFile
from kspace.registry import Plugin
from kspace.sources.settings import Scope
from kspace.sources.share import Share, ShareSettings

_TIME = re.compile(r"[0-9]{4,}[0-9T._:-]*(?:\.dat)?", re.IGNORECASE)


class StreamedSettings(ShareSettings):
    """Where the sender writes."""

    patterns: tuple[str, ...] = Field(default=("*",), min_length=1)
    scope: Scope = Scope.EXPORTS


class Streamed(Share):
    """A mounted folder of which only files named by a time are raw files: what else a sender leaves is not."""

    def find(self) -> Iterator[SourceFile]:
        """Yield every regular file that is named by a time."""
        return (file for file in super().find() if _TIME.fullmatch(file.path.rpartition("/")[2]))


PLUGIN = Plugin("streamed", StreamedSettings, Streamed)
