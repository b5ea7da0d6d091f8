"""Who is signed in, until when, and what they may see and do."""

import hmac
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kspace.clock import Clock
from kspace.errors import DestinationError, KspaceError
from kspace.secretpair import Pair
from transfer.catalog.glance import Row
from transfer.catalog.sight import Sight
from transfer.destinations.errors import Unauthorized
from transfer.destinations.xnat.client import XnatSettings
from transfer.destinations.xnat.person import Account, end, sign_in

_LONG, _IDLE = timedelta(hours=10), timedelta(minutes=45)
FRESH, KNOWN = timedelta(minutes=5), timedelta(hours=1)
_MOST = 5000
_ACTOR = 64
LOCAL_ACTOR = "local admin"


class NotSignedIn(KspaceError):
    """Nobody is signed in, or no more."""

    code = "not_signed_in"


class NotAllowed(KspaceError):
    """This person may not see or do it."""

    code = "not_allowed"


@dataclass(slots=True, kw_only=True)
class Visit:
    """One signed-in browser."""

    actor: str
    """As the events name them: ``central/anna``."""
    destination: str | None = None
    """Where the account is; None: the local administrator."""
    is_admin: bool
    sight: Sight
    """What they see: what goes to projects whose data they may read."""
    edits: Sight
    """What they may change: what goes to projects whose data they may edit."""
    owns: Sight
    """Whose rules they may change: projects that they own."""
    token: Pair | None = field(default=None, repr=False)
    is_own_token: bool = False
    """The token was issued for this visit, so it ends with it."""
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    began_at: datetime
    used_at: datetime
    asked_at: datetime

    def may_change(self, goes_to: list[Row]) -> bool:
        """Return whether work may be held and retried: all that it goes to must be theirs."""
        return self.is_admin or (bool(goes_to) and all(self.edits.of(row) for row in goes_to))

    def owns_form(self, token: str) -> bool:
        """Return whether a form was made for this visit (against requests forged by other sites)."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())


def visit_of(account: Account, *, destination: str, admins: Collection[str], is_own: bool, now: datetime) -> Visit:
    """Return the visit of an XNAT account."""
    actor = f"{destination}/{account.name}"
    is_admin = actor in admins
    return Visit(
        actor=actor[:_ACTOR],
        destination=destination,
        is_admin=is_admin,
        sight=Sight() if is_admin else Sight(destination, account.readable),
        edits=Sight() if is_admin else Sight(destination, account.editable),
        owns=Sight() if is_admin else Sight(destination, account.owned),
        token=account.token,
        is_own_token=is_own,
        began_at=now,
        used_at=now,
        asked_at=now,
    )


def local_visit(now: datetime) -> Visit:
    """Return the visit of the local administrator."""
    everything = Sight()
    return Visit(
        actor=LOCAL_ACTOR,
        is_admin=True,
        sight=everything,
        edits=everything,
        owns=everything,
        began_at=now,
        used_at=now,
        asked_at=now,
    )


class Visits:
    """The visits of this process, in its memory alone: a restart signs everybody out."""

    def __init__(self, xnats: Mapping[str, XnatSettings], *, clock: Clock) -> None:
        self._xnats = xnats
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Visit] = {}

    def begin(self, visit: Visit) -> str:
        """Keep a visit; return the key for the browser's cookie."""
        key, now = secrets.token_urlsafe(32), self._clock.now()
        with self._lock:
            over = [old for old, other in self._open.items() if _is_over(other, now)]
            ended = [self._open.pop(old) for old in over]
            if len(self._open) >= _MOST:
                ended.append(self._open.pop(next(iter(self._open))))
            self._open[key] = visit
        for one in ended:
            self._let_go(one)
        return key

    def of(self, key: str, *, is_click: bool = True) -> Visit:
        """Return the visit of a cookie; its rights are asked for anew every few minutes.

        What a page renews by itself is no click: it keeps no visit open that a person has left.

        Raises:
            NotSignedIn: there is none, it has ended, or XNAT takes its token no more.
        """
        now = self._clock.now()
        with self._lock:
            visit = self._open.get(key)
            if visit is not None and _is_over(visit, now):
                visit = None
            if visit is None:
                raise NotSignedIn("You are not signed in, or your visit has ended. Nothing was changed.")
            if is_click:
                visit.used_at = now
        if visit.token is not None and now - visit.asked_at > FRESH:
            self._ask_anew(key, visit, now)
        return visit

    def end(self, key: str) -> None:
        """End a visit, and its token at XNAT."""
        with self._lock:
            visit = self._open.pop(key, None)
        if visit is not None:
            self._let_go(visit)

    def _ask_anew(self, key: str, visit: Visit, now: datetime) -> None:
        if visit.token is None or visit.destination is None:
            raise AssertionError("only who came with a token is asked about")
        try:
            account = sign_in(self._xnats[visit.destination], visit.token, is_token=True)
        except Unauthorized:
            self.end(key)
            raise NotSignedIn("The archive takes your sign-in no more. Sign in again; nothing was changed.") from None
        except DestinationError:
            if now - visit.asked_at < KNOWN:
                return  # what was true a moment ago is good enough while the archive does not answer
            self.end(key)
            raise NotSignedIn("The archive has not answered for an hour, so nobody knows your rights.") from None
        visit.asked_at = now
        if not visit.is_admin:
            visit.sight = Sight(visit.destination, account.readable)
            visit.edits = Sight(visit.destination, account.editable)
            visit.owns = Sight(visit.destination, account.owned)

    def _let_go(self, visit: Visit) -> None:
        if visit.token is not None and visit.destination is not None and visit.is_own_token:
            settings, token = self._xnats[visit.destination], visit.token
            threading.Thread(target=end, args=(settings, token), name="end a token", daemon=True).start()


def _is_over(visit: Visit, now: datetime) -> bool:
    return now - visit.began_at > _LONG or now - visit.used_at > _IDLE


class Tries:
    """Counts failed tries, so that nobody guesses on, and no account is locked at XNAT by what happens here.

    XNAT locks an account after 20 failures in an hour (SiteConfigPreferences); one try here may be three there.
    """

    def __init__(self, *, most: int, within: timedelta, now: Callable[[], datetime]) -> None:
        self._most = most
        self._within = within
        self._now = now
        self._lock = threading.Lock()
        self._tried: dict[str, list[datetime]] = {}

    def take(self, who: str) -> bool:
        """Count one try before it is made; return whether it may be made."""
        now = self._now()
        with self._lock:
            self._tried = {k: times for k, times in self._tried.items() if now - times[-1] < self._within}
            recent = [at for at in self._tried.get(who, []) if now - at < self._within]
            if len(recent) >= self._most:
                return False
            self._tried[who] = [*recent, now]
            return True

    def forget(self, who: str) -> None:
        """Forget the tries of somebody who got in."""
        with self._lock:
            self._tried.pop(who, None)

    def give_back(self, who: str) -> None:
        """Take back one try, which did not fail."""
        with self._lock:
            if times := self._tried.pop(who, [])[:-1]:
                self._tried[who] = times
