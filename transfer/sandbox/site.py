"""What every part of the sandbox shares: the store, the guard, the faults, and where files lie."""

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from transfer.sandbox.catalogs import md5_of
from transfer.sandbox.faults import Mischief
from transfer.sandbox.guard import Guard, Right
from transfer.sandbox.settings import Project, SandboxSettings, User
from transfer.sandbox.store import Item, Store, lineage

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True, kw_only=True)
class Site:
    """One sandbox's parts. ``checksums`` is the site preference of that name, which may change at run time."""

    root: Path
    settings: SandboxSettings
    store: Store
    guard: Guard
    mischief: Mischief
    checksums: bool
    archive_delay_s: float
    being_written: set[tuple[int, str]] = field(default_factory=set)
    """DICOM instances under way: (prearchive session, SOP Instance UID)."""

    deletes: int = 0
    """How often ``overwrite=delete`` was asked for without being allowed."""

    at_work: Counter[int] = field(default_factory=Counter)
    """How many workflows are open on each session."""

    def folder(self, item: Item) -> Path:
        """Return the folder of a resource or of a prearchive session."""
        area = "prearchive" if item.kind == "prearchive" else "archive"
        return self.root / area / str(item.id)

    @contextmanager
    def working_on(self, item: Item) -> Iterator[None]:
        """Hold an open workflow on an item's session, which keeps the session from being archived into.

        Source: XNATTemplate#insertCatalogWrap, PrearcSessionArchiver#preventConcurrentArchiving.
        """
        sessions = [step.id for step in lineage(self.store, item) if step.kind == "experiment"]
        with self.store.lock:
            self.at_work.update(sessions)
        try:
            yield
        finally:
            with self.store.lock:
                self.at_work.subtract(sessions)

    def digest(self, path: Path) -> str:
        """Return the MD5 of a stored file, taken no faster than the settings say (CatalogUtils#getHash)."""
        if self.settings.digest_mb_per_s:
            threading.Event().wait(path.stat().st_size / 1e6 / self.settings.digest_mb_per_s)
        return md5_of(path)

    def project(self, ident: str) -> Project:
        """Return a project's settings; one that was made later has none of its own."""
        found = next((p for p in self.settings.projects if p.id == ident), None)
        return found or Project(id=ident)

    def watch(self, asked: Mapping[str, str]) -> None:
        """Count a request for ``overwrite=delete``; `Sandbox` ends in an error then."""
        self.deletes += asked.get("overwrite") == "delete" and not self.settings.forgives_delete

    @property
    def scratch(self) -> Path:
        """Where bodies are spooled before they are looked at."""
        return self.root / "tmp"

    def demand(self, user: User, right: Right, *, item: Item | None) -> None:
        """Refuse a caller: 404 for what they cannot read, 403 for what they may only read (XNATTemplate)."""
        if not self.guard.may(user, "read", item=item):
            raise HTTPException(404, "Unable to identify the requested object.")
        if not self.guard.may(user, right, item=item):
            raise HTTPException(403, "User does not have permission for this operation.")


def caller(request: Request) -> User:
    """Return who is asking; only behind URLs that need a log-in."""
    user: User = request.scope["login"].user
    return user
