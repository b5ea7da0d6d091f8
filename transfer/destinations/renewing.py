"""Credentials that end by themselves: the optional port of a destination whose credentials the relay can renew."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

_LIFE = timedelta(days=2)
"""How long XNAT's alias tokens hold unless the site says otherwise (SiteConfigPreferences, aliasTokenTimeout)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """When credentials end, as far as the archive tells, and what keeps the relay from renewing them."""

    began_at: datetime | None = None
    ends_at: datetime | None = None
    hindrance: str | None = None
    """None: nothing does."""

    @property
    def renew_at(self) -> datetime | None:
        """When half of their life is over; None: nobody knows."""
        if self.ends_at is None:
            return None
        life = _LIFE if self.began_at is None else self.ends_at - self.began_at
        return self.ends_at - life / 2

    def is_due(self, now: datetime) -> bool:
        """Whether they must be renewed now, so that there is time left for a second try."""
        return self.renew_at is None or now >= self.renew_at

    def told(self) -> str:
        """Return in one sentence when they end and who renews them."""
        ends = "when the archive does not say" if self.ends_at is None else f"{self.ends_at:%Y-%m-%d %H:%M} UTC"
        if self.hindrance is None:
            return f"the alias token ends {ends}; the relay renews it before that"
        return (
            f"the alias token ends {ends}, and the relay cannot renew it: {self.hindrance}; write alias and secret "
            "anew before that"
        )


@runtime_checkable
class Renewable(Protocol):
    """A destination whose credentials may end."""

    def term(self) -> Term | None:
        """Return how long they hold; None: they do not end.

        Raises:
            DestinationError: the archive cannot be asked.
        """

    def renew(self) -> Term:
        """Get fresh credentials, prove them, and put them in the place of the old ones, which go on until they end.

        Raises:
            DestinationError: the archive gives none, or does not take what it gave; the old ones stay.
        """
