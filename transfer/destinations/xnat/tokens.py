"""Alias tokens: a pair that stands for its user for a while, and by which the user may have a fresh one issued.

`tokens/show` lists the user's tokens as XNAT keeps them, with times in milliseconds since 1970; `tokens/issue` is for
every user but the guest, however signed in (AliasTokenRestlet, AliasToken).
"""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kspace.errors import ConfigError
from kspace.secretpair import SecretPair
from transfer.destinations.errors import DestinationDown, Unauthorized
from transfer.destinations.renewing import Term
from transfer.destinations.xnat.client import XnatClient


def term_of(client: XnatClient, pair: SecretPair) -> Term:
    """Return how long the token that is signed in with holds.

    Raises:
        DestinationError: the archive cannot be asked, or the token has ended.
    """
    hindrance = pair.hindrance()
    if hindrance is None:
        with suppress(OSError, ConfigError):  # it is told where it must be replaced
            pair.finish()
    alias, _ = _revealed(pair)
    rows = _asked(client, "show")
    own: dict[str, Any] = next((row for row in rows if row.get("alias") == alias), {}) if isinstance(rows, list) else {}
    return _term(own, hindrance=hindrance)


def renew(client: XnatClient, pair: SecretPair) -> Term:
    """Have a token issued, sign in with it, and only then replace the files; the old token is left to end by itself.

    Others may read the files too, and requests are under way: so nothing is invalidated here.

    Raises:
        DestinationError: it gives none, or does not take what it gave.
    """
    old = _revealed(pair)
    given = _asked(client, "issue")
    try:
        new = (str(given["alias"]), str(given["secret"]))
    except (KeyError, TypeError) as error:
        raise DestinationDown("The archive issues an alias token that cannot be read; the old one goes on.") from error
    client.demand(new)
    try:
        if not pair.replace(new, instead_of=old):
            return term_of(client, pair)
    except OSError as error:
        return replace(term_of(client, pair), hindrance=f"the files cannot be written ({error.strerror})")
    return _term(given, hindrance=None)


def _asked(client: XnatClient, what: str) -> Any:  # noqa: ANN401 -- what JSON can hold
    try:
        return client.request("GET", f"/data/services/tokens/{what}").json()
    except ValueError as error:
        raise DestinationDown("The archive tells nothing of alias tokens that can be read.") from error


def _revealed(pair: SecretPair) -> tuple[str, str]:
    try:
        return pair.reveal()
    except ConfigError as error:
        raise Unauthorized(str(error)) from error


def _term(row: dict[str, Any], *, hindrance: str | None) -> Term:
    began, ends = (_instant(row.get(key)) for key in ("created", "estimatedExpirationTime"))
    return Term(began_at=began, ends_at=ends, hindrance=hindrance)


def _instant(told: object) -> datetime | None:
    return datetime.fromtimestamp(told / 1000, UTC) if isinstance(told, int | float) else None
