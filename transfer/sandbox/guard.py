"""Who a caller is and what they may do: passwords, HTTP sessions, alias tokens, lock-out, project roles."""

import secrets
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from starlette.exceptions import HTTPException

from kspace.clock import Clock
from transfer.sandbox.settings import SandboxSettings, User
from transfer.sandbox.store import Item, Store

Right = Literal["read", "edit", "delete"]
RIGHTS = {"owner": {"read", "edit", "delete"}, "member": {"read", "edit"}, "collaborator": {"read"}}


@dataclass(slots=True)
class Login:
    """A live HTTP session. ``csrf`` is the token browsers must send with every write."""

    id: str
    user: User
    seen: float
    csrf: str = field(default_factory=lambda: str(uuid.uuid4()))


class Guard:
    """Checks credentials and rights. Sessions live in memory, as in Tomcat; alias tokens in the store.

    Source: XnatBasicAuthenticationFilter, XnatAuthenticationEventPublisher, SecurityConfig, AliasTokenRestlet.
    """

    def __init__(self, settings: SandboxSettings, store: Store, clock: Clock) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._users = {user.name: user for user in settings.users}
        self._logins: dict[str, Login] = {}
        self._failures: dict[str, list[float]] = defaultdict(list)
        for user in settings.users:
            for project, role in user.roles.items():
                self.grant(project, user.name, role=role)

    def now(self) -> float:
        """Return the present instant, seconds since 1970."""
        return self._clock.now().timestamp()

    def stamp(self) -> str:
        """Return the present instant as XNAT prints an insert_date."""
        return self._clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]

    def folder_stamp(self) -> str:
        """Return the present instant as the prearchive names a folder after it."""
        return self._clock.now().strftime("%Y%m%d_%H%M%S%f")[:-3]

    def grant(self, project: str, user: str, *, role: str) -> None:
        """Give a user a role in a project."""
        self._store.run("INSERT OR REPLACE INTO role VALUES (?,?,?)", project, user, role)

    def check(self, name: str, password: str) -> User:
        """Return the user with this password or alias token.

        Raises:
            HTTPException: 401 on wrong credentials, and on right ones while the account is locked.
        """
        with self._store.lock:
            recent = [at for at in self._failures[name] if at > self.now() - self._settings.lockout_s]
            self._failures[name] = recent
            user = self._users.get(name.rpartition("/")[2])
            found = user if user and secrets.compare_digest(user.password, password) else self.alias(name, password)
            if found and len(recent) < self._settings.max_failed_logins:
                return found
            recent.append(self.now())
        raise HTTPException(401, "Login attempt failed. Please try again.")

    def open(self, user: User) -> Login:
        """Return a new session; refuses (401) beyond the limit of sessions for one user."""
        with self._store.lock:
            self._logins = {i: login for i, login in self._logins.items() if self._is_live(login)}
            if sum(login.user.name == user.name for login in self._logins.values()) >= self._settings.max_sessions:
                raise HTTPException(401, "Maximum sessions for this user exceeded.")
            login = Login(secrets.token_hex(16).upper(), user, self.now())
            self._logins[login.id] = login
            return login

    def resume(self, session_id: str | None) -> Login | None:
        """Return the live session of a cookie, and note that it was used."""
        with self._store.lock:
            login = self._logins.get(session_id or "")
            if login is None or not self._is_live(login):
                return None
            login.seen = self.now()
            return login

    def close(self, session_id: str | None) -> None:
        """End a session."""
        with self._store.lock:
            self._logins.pop(session_id or "", None)

    def issue(self, user: User) -> dict[str, str | bool | int]:
        """Return a new alias token of a user (AliasToken)."""
        alias, secret = str(uuid.uuid4()), secrets.token_hex(32)
        expires = self.now() + self._settings.alias_timeout_s
        self._store.run("INSERT INTO alias VALUES (?,?,?,?)", alias, secret, user.name, expires)
        return next(token for token in self.tokens(user) if token["alias"] == alias)

    def tokens(self, user: User) -> list[dict[str, str | bool | int]]:
        """Return a user's live alias tokens with all XNAT tells of them: secret, and times in milliseconds since 1970.

        Source: AliasToken, AliasTokenRestlet (show).
        """
        sql = "SELECT alias, secret, expires FROM alias WHERE user=? AND expires>?"
        return [
            {
                "alias": alias,
                "secret": secret,
                "created": int((expires - self._settings.alias_timeout_s) * 1000),
                "estimatedExpirationTime": int(expires * 1000),
                "singleUse": False,
                "xdatUserId": user.name,
            }
            for alias, secret, expires in self._store.run(sql, user.name, self.now())
        ]

    def alias(self, alias: str, secret: str | None = None) -> User | None:
        """Return the owner of an alias token that is not expired and, where a secret is given, has that secret."""
        sql = "SELECT user, secret FROM alias WHERE alias=? AND expires>?"
        for name, kept in self._store.run(sql, alias, self.now()):
            if secret is None or secrets.compare_digest(kept, secret):
                return self._users.get(name)
        return None

    def invalidate(self, alias: str) -> None:
        """Forget an alias token."""
        self._store.run("DELETE FROM alias WHERE alias=?", alias)

    def role(self, user: User, project: Item | None) -> str:
        """Return a user's role in a project, "" for none; admins own every project."""
        if user.admin or user.data_admin:
            return "owner"
        rows = self._store.run("SELECT role FROM role WHERE project=? AND user=?", project and project.ident, user.name)
        return rows[0][0] if rows else ""

    def may(self, user: User, right: Right, *, item: Item | None) -> bool:
        """Return whether a user has a right on an item, by the role in its project.

        Source: standard XNAT roles: owners delete, members edit, collaborators read.
        """
        project = item if item is None or item.kind == "project" else self._store.get(item.project)
        if user.read_only and right != "read":
            return False
        return right in RIGHTS.get(self.role(user, project), set())

    def _is_live(self, login: Login) -> bool:
        return login.seen + self._settings.session_timeout_s > self.now()
