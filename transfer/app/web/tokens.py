"""Tokens for programs: what a person may read, a program of theirs reads with one, for as long as XNAT agrees.

The relay keeps a token's digest, and beside it an alias token of the person's XNAT, sealed with a key that is made of
the token itself: whoever steals the catalog has neither. With each use, at most every few minutes, XNAT is asked with
it what the person may see now. While it is used it is renewed; where XNAT takes it no more, the token ends.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kspace.clock import Clock
from kspace.errors import BadInput, DestinationError
from kspace.secretpair import Pair
from transfer.app.web.access import FRESH, KNOWN, NotSignedIn, Visit, local_visit, visit_of
from transfer.catalog import tokens
from transfer.catalog.database import Database
from transfer.catalog.notices import RELAY
from transfer.destinations.errors import Unauthorized
from transfer.destinations.xnat.client import XnatSettings
from transfer.destinations.xnat.person import another, sign_in

DAYS = (7, 30, 90, 365)
_MOST = 20
_RENEWED_AFTER = timedelta(hours=1)
_NONCE = 12
_GONE = "There is no such token, or it has ended. Make a new one on the page, under Tokens."


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Where accounts are, who of them administers, and whether the local account may be used."""

    xnats: Mapping[str, XnatSettings]
    admins: Collection[str]
    has_local: bool


class Tokens:
    """Issues tokens and tells who comes with one."""

    def __init__(self, people: People, *, database: Database, clock: Clock) -> None:
        self._people = people
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._asked: dict[int, Visit] = {}

    def issue(self, visit: Visit, *, name: str, days: int) -> str:
        """Return a new token of a person; nobody can show it again.

        Raises:
            BadInput: it has no name, holds for no time that can be chosen, or the person has too many.
            NotSignedIn: XNAT gives no alias token for it.
        """
        if not name.strip() or days not in DAYS:
            raise BadInput("Give the token a name, and choose how long it holds. Nothing was changed.")
        now = self._clock.now()
        with self._database.read() as connection:
            mine = tokens.known(connection, actor=visit.actor, now=now)
        if sum(one["ended_at"] is None and one["expires_at"] > now for one in mine) >= _MOST:
            raise BadInput(f"You have {_MOST} tokens already; end one first. Nothing was changed.")
        given = f"kspace_{secrets.token_urlsafe(32)}"
        values: tokens.Row = {"name": name.strip(), "actor": visit.actor, "destination": visit.destination}
        values |= {"digest": _digest(given), "created_at": now, "expires_at": now + timedelta(days=days)}
        if visit.destination is not None and visit.token is not None:
            try:
                alias = another(self._people.xnats[visit.destination], visit.token)
            except DestinationError:
                raise NotSignedIn("The archive gives no token now. Nothing was changed; try again later.") from None
            values |= {"sealed": _sealed(alias, given), "issued_at": now}
        with self._database.write() as connection:
            tokens.add(connection, values)
        return given

    def visit(self, given: str) -> Visit:
        """Return who comes with a token, with their rights as XNAT tells them now.

        Raises:
            NotSignedIn: there is no such token, it has ended, or nobody knows the person's rights.
        """
        row = self._found(given)
        with self._lock:
            lock = self._locks.setdefault(row["id"], threading.Lock())
        with lock:  # one use of a token at a time: what one renews the other must not take for revoked
            row, now = self._found(given), self._clock.now()
            known = self._asked.get(row["id"])
            if known is None or now - known.asked_at > FRESH:
                known = self._asked[row["id"]] = self._ask(row, given, known, now)
            elif tokens.is_use_due(row, now=now):
                with self._database.write() as connection:
                    tokens.note_use(connection, row, at=now)
            return known

    def _found(self, given: str) -> tokens.Row:
        with self._database.read() as connection:
            row = tokens.find(connection, _digest(given), now=self._clock.now())
        if row is None:
            raise NotSignedIn(_GONE)
        return row

    def _ask(self, row: tokens.Row, given: str, known: Visit | None, now: datetime) -> Visit:
        name = row["destination"]
        if name is None and self._people.has_local:
            visit, sealed = local_visit(now), None
        elif name in self._people.xnats:
            try:
                visit, sealed = self._ask_xnat(row, given, now)
            except Unauthorized:
                self._give_up(row, now)
                raise NotSignedIn(
                    f"{name} takes this token's sign-in no more, so it has ended. Make a new one."
                ) from None
            except DestinationError:
                if known is not None and now - known.asked_at < KNOWN:
                    return known  # what was true a moment ago is good enough while the archive does not answer
                raise NotSignedIn(f"{name} does not answer, so nobody knows your rights. Try later.") from None
        else:
            raise NotSignedIn("People do not sign in any more where this token is from. Make a new one.")
        with self._database.write() as connection:
            tokens.note_use(connection, row, at=now, sealed=sealed)
        return visit

    def _ask_xnat(self, row: tokens.Row, given: str, now: datetime) -> tuple[Visit, bytes | None]:
        """Return the person's visit, and the seal of a fresh alias token where it was time for one.

        The old one is left to end by itself: should the new one get lost before it is kept, the old one goes on.
        """
        settings = self._people.xnats[row["destination"]]
        alias = _opened(row["sealed"], given)
        account = sign_in(settings, alias, is_token=True)
        admins, is_old = self._people.admins, now - row["issued_at"] > _RENEWED_AFTER
        visit = visit_of(account, destination=row["destination"], admins=admins, is_own=False, now=now)
        return visit, _sealed(another(settings, alias), given) if is_old else None

    def _give_up(self, row: tokens.Row, now: datetime) -> None:
        self._asked.pop(row["id"], None)
        with self._database.write() as connection:
            tokens.end(connection, row["id"], of=None, actor=RELAY, at=now)


def _digest(given: str) -> str:
    """A token is 256 random bits: nobody guesses it from a plain digest."""
    return hashlib.sha256(given.encode()).hexdigest()


def _cipher(given: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"seal:" + given.encode()).digest())


def _sealed(alias: Pair, given: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(given).encrypt(nonce, json.dumps(alias).encode(), _digest(given).encode())


def _opened(sealed: bytes | None, given: str) -> Pair:
    try:
        box = sealed or b""
        alias, secret = json.loads(_cipher(given).decrypt(box[:_NONCE], box[_NONCE:], _digest(given).encode()))
    except (InvalidTag, ValueError) as error:
        raise Unauthorized("The token's seal does not open.") from error
    return str(alias), str(secret)
