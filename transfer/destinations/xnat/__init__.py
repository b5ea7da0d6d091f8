"""An unmodified XNAT 1.7 or later, by its REST interface (docs/design/xnat.md)."""

from collections.abc import Callable, Mapping
from typing import Any

from kspace.registry import Plugin
from transfer.destinations import Body
from transfer.destinations.probing import Answer, Powers, Profile
from transfer.destinations.renewing import Term
from transfer.destinations.timing import Line
from transfer.destinations.xnat import tokens
from transfer.destinations.xnat.account import powers
from transfer.destinations.xnat.client import XnatClient, XnatSettings
from transfer.destinations.xnat.probe import probe
from transfer.destinations.xnat.raw import XnatRaw
from transfer.destinations.xnat.sessions import XnatSessions
from transfer.destinations.xnat.timing import time_upload


class Xnat(XnatRaw, XnatSessions):
    """Both ports over one client."""

    def __init__(self, settings: XnatSettings) -> None:
        self._client = XnatClient(settings)
        self._known = lambda _: None
        self._settings = settings

    def believe(self, known: Callable[[str], Mapping[str, Any] | None]) -> None:
        """Let it rely on what a probe of its `server` found; ``known`` returns the facts of one, if there was one."""
        self._known = known

    def obey(self, ceiling: Callable[[], float]) -> None:
        """Upload no faster than what it returns, in Mbit/s."""
        self._client.pace.obey(ceiling)

    def probe(self, *, project: str, tell: Callable[[Answer], None]) -> Profile:
        """Ask how this XNAT behaves (transfer/destinations/xnat/questions.py)."""
        size = self._settings.part_bytes
        return probe(self._client, server=self.server(), project=project, part_bytes=size, tell=tell)

    def time_upload(self, body: Body, *, project: str) -> Line:
        """Send a body as often at once as deliveries run at once, to a scratch session."""
        return time_upload(self._client, body, project=project, at_once=self._settings.at_once)

    def powers(self) -> Powers:
        """Return what the account may do."""
        return powers(self._client)

    def term(self) -> Term | None:
        """Return how long the alias token holds, if it signs in with one."""
        pair = self._settings.token
        return None if pair is None else tokens.term_of(self._client, pair)

    def renew(self) -> Term:
        """Put a fresh alias token in the place of the one in the files."""
        pair = self._settings.token
        if pair is None:
            raise AssertionError("only what has a term is renewed")
        return tokens.renew(self._client, pair)

    def check(self) -> str:
        """Sign in and return one line about the server."""
        return self._client.check()

    def server_date(self) -> str | None:
        """Return the server's own time, for comparing clocks."""
        return self._client.server_date()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


PLUGIN = Plugin("xnat", XnatSettings, Xnat)
