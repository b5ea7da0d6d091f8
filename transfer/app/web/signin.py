"""The door: an XNAT's password or alias token, or the local administrator's password."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from kspace.clock import Clock
from kspace.errors import BadInput, DestinationError, KspaceError
from transfer.app.web.access import Tries, Visit, local_visit, visit_of
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY, note
from transfer.destinations.errors import Unauthorized
from transfer.destinations.xnat.client import XnatSettings
from transfer.destinations.xnat.person import sign_in
from transfer.websettings import WebSettings

LOCAL = "@relay"
_N, _R, _P = 1 << 15, 8, 1
"""scrypt's cost: 32 MiB and a tenth of a second (RFC 7914)."""
_MEMORY = 64 << 20
_LONGEST = 256


class Refused(KspaceError):
    """Nobody was let in."""

    code = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody put into the form: ``where`` is a destination or `LOCAL`."""

    where: str
    user: str
    password: str
    is_token: bool = False
    address: str = ""


class Door:
    """Lets people in, a limited number of tries for each account and each address."""

    def __init__(
        self, settings: WebSettings, xnats: Mapping[str, XnatSettings], *, database: Database, clock: Clock
    ) -> None:
        self._settings = settings
        self._xnats = xnats
        self._database = database
        self._clock = clock
        hour = timedelta(hours=1)
        self._of_accounts = Tries(most=5, within=hour, now=clock.now)
        self._of_addresses = Tries(most=60, within=hour, now=clock.now)

    def let_in(self, given: Given) -> Visit:
        """Return the visit of whoever this is; each try that was made is an event.

        Raises:
            Refused: it is not let in, or has to wait.
            BadInput: a field is missing or impossible.
        """
        if not given.user or not given.password or max(len(given.user), len(given.password)) > _LONGEST:
            raise BadInput("Fill in both fields.")
        if given.where != LOCAL and (given.where not in self._xnats or ":" in given.user):
            raise BadInput("Choose where your account is, and give its name.")
        # The local account is counted by address: nobody far away can shut it for the day when it is needed.
        account = f"{given.where}/{given.user.lower()}" + (given.address if given.where == LOCAL else "")
        if not (self._of_addresses.take(given.address) and self._of_accounts.take(account)):
            raise Refused("Too many tries failed. Wait an hour, so that the account is not locked in the archive too.")
        try:
            visit = self._local(given) if given.where == LOCAL else self._at_xnat(given)
        except Refused:
            self._note(RELAY, "web.refused", given.where)
            raise
        self._of_accounts.forget(account)
        self._of_addresses.give_back(given.address)
        self._note(visit.actor, "web.signed_in", "administrator" if visit.is_admin else None)
        return visit

    def note_leaving(self, visit: Visit) -> None:
        """Write that somebody signed out."""
        self._note(visit.actor, "web.signed_out", None)

    def _at_xnat(self, given: Given) -> Visit:
        try:
            account = sign_in(self._xnats[given.where], (given.user, given.password), is_token=given.is_token)
        except Unauthorized:
            what = "token" if given.is_token else "name and password"
            raise Refused(
                f"{given.where} does not take this {what}. After five tries in an hour you must wait."
            ) from None
        except DestinationError:
            raise Refused(f"{given.where} does not answer now, so it cannot say who you are. Try later.") from None
        return visit_of(
            account,
            destination=given.where,
            admins=self._settings.admins,
            is_own=not given.is_token,
            now=self._clock.now(),
        )

    def _local(self, given: Given) -> Visit:
        kept = self._settings.local_admin
        if given.user != "admin" or kept is None or not fits(given.password, kept.reveal()):
            raise Refused("The local administrator is called admin, and this is not the password.")
        return local_visit(self._clock.now())

    def _note(self, actor: str, verb: str, detail: str | None) -> None:
        at = self._clock.now()
        with self._database.write() as connection:
            note(connection, at=at, actor=actor, subject="web", subject_id=0, verb=verb, detail=detail)


def hashed(password: str) -> str:
    """Return what is kept of a password: ``scrypt$salt$hash``."""
    salt = secrets.token_bytes(16)
    return f"scrypt${b64encode(salt).decode()}${b64encode(_scrypt(password, salt)).decode()}"


def fits(password: str, kept: str) -> bool:
    """Return whether it is the password whose hash was kept."""
    kind, _, rest = kept.strip().partition("$")
    salt, _, digest = rest.partition("$")
    try:
        return kind == "scrypt" and hmac.compare_digest(_scrypt(password, b64decode(salt)), b64decode(digest))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)
