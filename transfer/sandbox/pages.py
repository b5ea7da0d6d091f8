"""The sandbox's own pages: what arrived, the log of requests, the faults at play."""

from collections import deque
from html import escape

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from transfer.sandbox.faults import Seen
from transfer.sandbox.settings import Faults
from transfer.sandbox.site import Site
from transfer.sandbox.store import Item
from transfer.sandbox.tables import plain

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:600;padding:.6rem 0}
td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}td.n{text-align:right}"""


class Pages:
    """Answers ``/``, the log-in page and ``/sandbox/``: nothing of XNAT's."""

    def __init__(self, site: Site, log: deque[Seen]) -> None:
        self._site, self._log = site, log

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/", self.home),
            Route("/app/template/Login.vm", self.log_in_page),
            Route("/sandbox/faults", self.faults, methods=["GET", "PUT"]),
            Route("/sandbox/settings", self.change, methods=["PUT"]),
            Route("/sandbox/log", self.log, methods=["GET", "DELETE"]),
        ]

    async def home(self, _: Request) -> Response:
        """Show every project, session, scan and resource with its files and bytes."""
        tables = "".join(map(self._project, self._site.store.every("project")))
        waiting = len(self._site.store.every("prearchive"))
        intro = f"<p>What this stand-in for an archive holds. {waiting} session(s) wait in the prearchive.</p>"
        return _page("k-space relay sandbox", intro + tables)

    def _project(self, project: Item) -> str:
        sessions = self._site.store.every("experiment", project=project)
        rows = "".join(self._rows(project, "", scan="")) + "".join(map(self._session, sessions))
        head = "<tr><th>Session</th><th>Scan</th><th>Resource</th><th>Files</th><th>Bytes</th></tr>"
        body = rows or '<tr><td colspan="5">Nothing has arrived yet.</td></tr>'
        return f"<table><caption>Project {escape(project.ident)}</caption>{head}{body}</table>"

    def _session(self, session: Item) -> str:
        label = escape(f"{session.label} ({session.ident})")
        rows = self._rows(session, label, scan="")
        for scan in self._site.store.children("scan", session):
            about = scan.fields.get("series_description", "")
            rows += self._rows(scan, label, scan=escape(f"{scan.ident} {about}"))
        return "".join(rows or [f"<tr><td>{label}</td><td></td><td></td><td></td><td></td></tr>"])

    def _rows(self, owner: Item, session: str, *, scan: str) -> list[str]:
        return [
            f"<tr><td>{session}</td><td>{scan}</td><td>{escape(r.label)}</td>"
            f'<td class="n">{r.fields.get("file_count", "")}</td>'
            f'<td class="n">{r.fields.get("file_size", "")}</td></tr>'
            for r in self._site.store.children("resource", owner)
        ]

    async def log_in_page(self, _: Request) -> Response:
        """Show where a browser without a session ends."""
        return _page("k-space relay sandbox: log in", "<p>Log in with HTTP Basic credentials.</p>")

    async def faults(self, request: Request) -> Response:
        """GET: the faults at play. PUT: replace them."""
        if request.method == "PUT":
            try:
                self._site.mischief.set(Faults.model_validate_json(await request.body()))
            except ValidationError as error:
                return plain(f"These faults cannot be played: {error}", 400)
        return JSONResponse(self._site.mischief.faults.model_dump(mode="json"))

    async def change(self, request: Request) -> Response:
        """Change ``checksums`` and ``archive_delay_s`` while the site runs."""
        asked = await request.json()
        self._site.checksums = bool(asked.get("checksums", self._site.checksums))
        self._site.archive_delay_s = float(asked.get("archive_delay_s", self._site.archive_delay_s))
        return JSONResponse({"checksums": self._site.checksums, "archive_delay_s": self._site.archive_delay_s})

    async def log(self, request: Request) -> Response:
        """GET: every request seen, oldest first. DELETE: begin anew."""
        seen = list(self._log)
        if request.method == "DELETE":
            self._log.clear()
        return JSONResponse(seen)


def _page(title: str, body: str) -> Response:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1><main>{body}</main></body></html>'
    )
