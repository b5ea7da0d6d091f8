"""A person's own account on an XNAT: a password becomes an alias token at once, and their projects are asked for.

`tokens/issue` gives every user but the guest a token of their own rights (AliasTokenRestlet); `/data/auth` says who is
signed in (UserAuth); `permissions=edit` or `read` lists the projects whose data somebody may edit or read, the latter
being collaborators too, and everybody where a project is public; `delete` those that they own, since members may not
delete (ProjectListResource, PermissionsProjectHandler).
"""

import re
from contextlib import suppress
from dataclasses import dataclass

import httpx

from kspace.errors import DestinationError
from kspace.secretpair import Pair
from transfer.destinations.errors import DestinationDown, Unauthorized
from transfer.destinations.xnat.client import XnatClient, XnatSettings

_NAME = re.compile(r"User '([^']+)' is logged in")
_GUEST = "guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose account it is, the token that stands for it, and the projects whose data it may delete, edit, read."""

    name: str
    token: Pair
    owned: frozenset[str]
    editable: frozenset[str]
    readable: frozenset[str]


def sign_in(settings: XnatSettings, given: Pair, *, is_token: bool) -> Account:
    """Return the account that a name and a password, or an alias token, let in; a password is used once.

    Raises:
        Unauthorized: XNAT does not take them.
        DestinationError: it cannot be asked.
    """
    token = given if is_token else _issued(settings, given)
    client = _client(settings, token)
    try:
        name = _NAME.search(client.request("GET", "/data/auth").text)
        if name is None or name[1] == _GUEST:
            raise Unauthorized(f"{settings.name} lets nobody in with this.")
        own, edit, read = (_projects(client, right) for right in ("delete", "edit", "read"))
        return Account(name=name[1], token=token, owned=own & edit, editable=edit, readable=read | edit)
    finally:
        client.close()


def another(settings: XnatSettings, token: Pair) -> Pair:
    """Return a further alias token of the same person.

    Raises:
        Unauthorized: XNAT takes this one no more.
        DestinationError: it cannot be asked.
    """
    return _issued(settings, token)


def end(settings: XnatSettings, token: Pair) -> None:
    """Let a token end now; where XNAT does not answer it ends by itself, two days after it was issued."""
    client = _client(settings, token)
    with suppress(DestinationError):
        client.request("GET", f"/data/services/tokens/invalidate/{token[0]}")
    client.close()


def _projects(client: XnatClient, right: str) -> frozenset[str]:
    rows = client.rows("/data/projects", {"permissions": right, "dataType": "xnat:subjectData"})
    return frozenset(row.get("ID") or row["id"] for row in rows)


def _issued(settings: XnatSettings, given: Pair) -> Pair:
    client = _client(settings, given)
    try:
        told = client.request("GET", "/data/services/tokens/issue").json()
        return str(told["alias"]), str(told["secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise DestinationDown(f"{settings.name} issues no alias token that can be read.") from error
    finally:
        client.close()


def _client(settings: XnatSettings, pair: Pair) -> XnatClient:
    return XnatClient(settings, sign_in=httpx.BasicAuth(*pair))
