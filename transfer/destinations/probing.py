"""Asking an archive how it behaves before relying on it: the optional port for that, and what comes of it.

An archive that cannot be probed, and one that was not yet, is used in its most careful mode.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question and what came back, in plain words."""

    about: str
    asked: str
    answered: str
    normally: str
    """What the known kind of archive answers; the sandbox does."""
    source: str
    """Where that is written: the archive's class, or a standard."""

    @property
    def is_as_known(self) -> bool:
        """Whether it behaves as its kind does."""
        return self.answered == self.normally


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one probe found."""

    server: str
    """Kind, version and address of what answered; the findings hold for exactly this."""
    answers: tuple[Answer, ...]
    facts: Mapping[str, Any]
    """What the destination itself relies on; JSON values."""
    largest: int | None
    """The largest body it took in one request where it refused a larger one; None: it refused none."""
    left: tuple[str, ...]
    """What could not be removed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """What the relay's account may do: the offices it holds, and the projects it may write to."""

    offices: tuple[str, ...]
    projects: frozenset[str]


@runtime_checkable
class Advising(Protocol):
    """An archive that can tell what of its settings, or of the account's rights, a person should change."""

    def advice(self) -> list[str]:
        """Return one sentence each; none where all is as it should be."""


@runtime_checkable
class Probed(Protocol):
    """An archive that can be probed."""

    def server(self) -> str:
        """Return kind, version and address of what answers now."""

    def powers(self) -> Powers:
        """Return what the account may do there."""

    def believe(self, known: Callable[[str], Mapping[str, Any] | None]) -> None:
        """Rely on the facts that ``known`` returns for the `server`; where it returns None, on nothing."""

    def probe(self, *, project: str, tell: Callable[[Answer], None]) -> Profile:
        """Ask everything, in a scratch project as a plain member, in a few minutes; remove what may be removed.

        Raises:
            DestinationError: it cannot be asked.
        """
