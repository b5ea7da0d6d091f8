"""Measuring the line to an archive: the optional port for that."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from transfer.destinations import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How fast the line to an archive was."""

    bytes_per_s: float
    left: tuple[str, ...] = ()
    """What could not be removed again; it holds no bytes any more."""


@runtime_checkable
class Timed(Protocol):
    """An archive the line to which can be measured."""

    def time_upload(self, body: Body, *, project: str) -> Line:
        """Send a body as often at once as deliveries run at once, and remove it again.

        ``project`` is a scratch project in which the account is a plain member.

        Raises:
            DestinationError: it does not take it.
        """
