"""What is read of the box: the Reader port; one module a reader, each ending in its PLUGIN.

All are on unless ``[reading.KIND]`` says otherwise. A reader that lacks its tool says so once.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from hardware.records import Limit, Reading
from kspace.errors import KspaceError


class NotHere(KspaceError):
    """What the reader reads with is not on this machine: a fact, not a fault."""

    code = "not_here"


class NoAnswer(KspaceError):
    """It is there and does not answer."""

    code = "no_answer"


class ReaderSettings(BaseModel):
    """What the settings of every reader begin with."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    is_on: bool = True
    every_s: float = Field(default=60.0, ge=1)


class Reader(Protocol):
    """Reads one side of the box; runs in a thread of its own, so one that hangs keeps nothing else waiting."""

    @property
    def limits(self) -> Sequence[Limit]:
        """From which values on its readings are findings."""

    def read(self) -> Iterable[Reading]:
        """Look once.

        Raises:
            NotHere: the machine lacks what it reads with.
            NoAnswer: that is there and does not answer, or says what nobody understands.
        """
