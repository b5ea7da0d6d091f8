"""The prearchive: the waiting room between import and archive, its list, commit, deletion.

Source: PrearcSessionListResource, PrearcSessionResource, PrearcUtils, DatabaseSession.
"""

import shutil
from collections.abc import Iterable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transfer.sandbox.archiver import Archiver, Conflict, is_auto
from transfer.sandbox.multipart import Form, receive_form
from transfer.sandbox.site import Handler, Site, caller
from transfer.sandbox.store import Item
from transfer.sandbox.tables import flag, plain, table

COLUMNS = (
    "project", "timestamp", "lastmod", "uploaded", "scan_date", "scan_time", "subject", "folderName", "name", "tag",
    "status", "url", "autoarchive", "prevent_anon", "prevent_auto_commit", "SOURCE", "VISIT", "PROTOCOL", "TIMEZONE",
)  # fmt: skip
FREE = frozenset({"RECEIVING", "READY", "CONFLICT", "ERROR"})


def url(session: Item) -> str:
    """Return a session's prearchive path, without ``/data``."""
    return f"/prearchive/projects/{session.ident}"


class Prearchive:
    """Answers everything below ``/data/prearchive`` and the archive service."""

    def __init__(self, site: Site, archiver: Archiver) -> None:
        self._site, self._archiver = site, archiver

    def routes(self) -> list[Route]:
        """Return the routes."""
        projects = "/data/prearchive/projects"
        session, services = projects + "/{project}/{timestamp}/{folder}", "/data/services"
        return [
            Route(projects, self.settled(self._on_projects)),
            Route(projects + "/{project}", self.settled(self._on_projects)),
            Route(session, self.settled(self._on_session), methods=["GET", "POST", "DELETE"]),
            Route(session + "/scans", self.settled(self._on_scans)),
            Route(f"{services}/archive", self.settled(self._on_archive), methods=["POST"]),
            Route(f"{services}/prearchive/delete", self.settled(self._on_delete), methods=["POST"]),
        ]

    def settled(self, handler: Handler) -> Handler:
        """Let what became due in the prearchive happen before a request is answered."""

        async def answer(request: Request) -> Response:
            await run_in_threadpool(self.settle)
            return await handler(request)

        return answer

    async def _on_projects(self, request: Request) -> Response:
        return await run_in_threadpool(self.waiting, request, request.path_params.get("project"))

    async def _on_session(self, request: Request) -> Response:
        path, project = "{project}/{timestamp}/{folder}".format(**request.path_params), request.path_params["project"]
        is_orphan = project != "Unassigned" and self._site.store.find("project", project) is None
        if is_orphan and self._site.store.find("prearchive", path):
            raise HTTPException(410, "The project of the prearchive session is gone.")
        session = self.find(request, path)
        answers = {"POST": self.act, "DELETE": self.delete}
        return await run_in_threadpool(answers.get(request.method, self.show), request, session)

    async def _on_scans(self, request: Request) -> Response:
        session = self.find(request, "{project}/{timestamp}/{folder}".format(**request.path_params))
        return await run_in_threadpool(self.scans, request, session)

    async def _on_archive(self, request: Request) -> Response:
        form = await receive_form(request, self._site.scratch)
        query = {**form.fields, **dict(request.query_params)}
        return await run_in_threadpool(self.archive, request, _sources(request, form), query=query)

    async def _on_delete(self, request: Request) -> Response:
        for source in _sources(request, await receive_form(request, self._site.scratch)):
            await run_in_threadpool(self.delete, request, self.find(request, source))
        return await run_in_threadpool(self.waiting, request, None)

    def settle(self) -> None:
        """Do what became due since the last request: delayed archiving, and sessions left alone for long enough.

        Stands for XNAT's session rebuilder, which builds and, where the project says so, archives quiet sessions.
        """
        with self._site.store.lock:
            for session in self._site.store.every("prearchive"):
                fields, now = session.fields, self._site.guard.now()
                if fields["status"] == "ARCHIVING" and float(fields["due"]) <= now:
                    self._archive(session)
                elif fields["status"] == "RECEIVING" and self._is_quiet(session, now):
                    self._rebuild(session)
                elif fields["status"] == "READY" and self._is_picked_up(session, now):
                    self._start(session, {"overwrite": "append"})

    def _is_quiet(self, session: Item, now: float) -> bool:
        held = flag(session.fields.get("prevent_auto_commit"))
        return not held and float(session.fields["touched"]) + self._site.settings.rebuild_after_s <= now

    def _is_picked_up(self, session: Item, now: float) -> bool:
        after_s = self._site.project(session.ident.partition("/")[0]).person_after_s
        return after_s is not None and float(session.fields["touched"]) + after_s <= now

    def _archive(self, session: Item) -> None:
        try:
            self._archiver.archive(session)
        except Conflict:
            self._set_status(session, "ERROR")

    def _rebuild(self, session: Item) -> None:
        self._set_status(session, "READY")
        if is_auto(self._site, session):
            self._start(session, {})

    def _start(self, session: Item, options: dict[str, str]) -> None:
        try:
            self._archiver.start(session, options)
        except Conflict:
            self._set_status(session, "CONFLICT")

    def waiting(self, request: Request, project: str | None) -> Response:
        """Return the sessions waiting; 403 without read access to the project named."""
        user, tag = caller(request), request.query_params.get("tag")
        if tag and not (user.admin or user.data_admin):
            raise HTTPException(403, "Only data administrators search the prearchive by tag.")
        rows = []
        for session in self._site.store.every("prearchive"):
            owner = session.ident.partition("/")[0]
            if project in {None, owner} and self._may_read(request, owner) and tag in {None, session.fields["tag"]}:
                rows.append(self._row(session))
        if project is not None and not self._may_read(request, project):
            raise HTTPException(403, "User does not have permission to access this project.")
        return table(request, COLUMNS, rows=rows, title="prearchiveSessions")

    def _may_read(self, request: Request, project: str) -> bool:
        user, found = caller(request), self._site.store.find("project", project)
        return user.admin or (found is not None and self._site.guard.may(user, "read", item=found))

    def _row(self, session: Item) -> dict[str, str]:
        project, timestamp, folder = session.ident.split("/")
        place = {"project": project, "timestamp": timestamp, "folderName": folder, "name": session.label}
        return {**session.fields, **place, "url": url(session)}

    def find(self, request: Request, path: str) -> Item:
        """Return the session at ``P/TS/FOLDER``; 403 without access to the project, 404 where there is none."""
        if not self._may_read(request, path.partition("/")[0]):
            raise HTTPException(403, "User does not have permission to access this project.")
        session = self._site.store.find("prearchive", path)
        if session is None:
            raise HTTPException(404, "Unable to find the prearchive session.")
        return session

    def show(self, request: Request, session: Item) -> Response:
        """Return one session as a table of one row, or its XML once built."""
        if request.query_params.get("format") != "xml":
            return table(request, COLUMNS, rows=[self._row(session)], title="prearchiveSession")
        if session.fields["status"] == "RECEIVING":
            raise HTTPException(404, "The session has not been built.")
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<xnat:Session label="{session.label}"/>', media_type="text/xml"
        )

    def scans(self, request: Request, session: Item) -> Response:
        """Return the series of a waiting session."""
        numbers: dict[str, dict[str, str]] = {}
        for fields in self._archiver.instances(session):
            numbers.setdefault(fields["series_uid"], {
                "ID": fields["number"], "xsiType": session.xsi.replace("Session", "Scan"),
                "series_description": fields["description"], "type": fields["description"],
            })  # fmt: skip
        return table(
            request, ("ID", "xsiType", "series_description", "type"), rows=list(numbers.values()), title="Scans"
        )

    def act(self, request: Request, session: Item) -> Response:
        """Answer ``?action=``: commit, build, move, reset-status."""
        query = request.query_params
        self._demand_edit(request, session.ident.partition("/")[0])
        match query.get("action"):
            case "commit":
                return self._commit(request, session)
            case "build":
                self._demand_free(session)
                self._set_status(session, "READY")
            case "reset-status":
                self._set_status(session, "READY")
            case "move":
                return self._move(request, session, project=query.get("newProject", ""))
            case action:
                raise HTTPException(400, f"Unknown action: {action}")
        return plain(f"/data{url(session)}")

    def _commit(self, request: Request, session: Item) -> Response:
        """Build, and archive where asked or where the project says so: 301 with the archive's URI in the body."""
        with self._site.store.lock:
            self._demand_free(session)
            self._set_status(session, "READY")
            query = request.query_params
            asked = query.get("AA", query.get("auto-archive", session.fields.get("autoarchive") or None))
            if not (flag(asked) if asked is not None else is_auto(self._site, session)):
                return plain(f"/data{url(session)}")
            try:
                merge = {"merge": "true", **{k: query.get(k, "") for k in ("overwrite", "overwrite_files")}}
                found = self._archiver.start(session, merge)
            except Conflict as conflict:
                self._set_status(session, "CONFLICT")
                raise HTTPException(500, str(conflict)) from conflict
            return plain(found, 301, location=found)

    def _move(self, request: Request, session: Item, *, project: str) -> Response:
        self._demand_free(session)
        self._demand_edit(request, project)
        session.ident = "/".join((project, *session.ident.split("/")[1:]))
        self._site.store.save(session)
        found = f"/data{url(session)}"
        return plain(found, 301, location=found)

    def delete(self, request: Request, session: Item) -> Response:
        """Throw a waiting session away."""
        self._demand_edit(request, session.ident.partition("/")[0])
        self._demand_free(session)
        self._archiver.forget(session)
        shutil.rmtree(self._site.folder(session), ignore_errors=True)
        return plain()

    def archive(self, request: Request, sources: Iterable[str], *, query: dict[str, str]) -> Response:
        """Answer ``POST /data/services/archive?src=..``: 200 with the archive's URI, 409 on a conflict."""
        found = []
        for source in sources:
            session = self.find(request, source)
            project = session.ident.partition("/")[0]
            if project == "Unassigned":
                raise HTTPException(400, "An unassigned session cannot be archived.")
            self._demand_edit(request, project)
            if session.fields["status"] not in FREE:
                raise HTTPException(403, "The session is busy.")
            try:
                found.append(self._archiver.start(session, query))
            except Conflict as conflict:
                self._set_status(session, "CONFLICT")
                raise HTTPException(409, str(conflict)) from conflict
        if not found:
            raise HTTPException(400, "Unknown prearchive path.")
        if len(found) == 1 and (flag(query.get("redirect")) or flag(query.get("auto-archive"))):
            return plain(found[0], 303, location=found[0])
        return Response("".join(f"{u}\r\n" for u in found), media_type="text/uri-list")

    def _demand_edit(self, request: Request, project: str) -> None:
        user, found = caller(request), self._site.store.find("project", project)
        if not user.admin and not self._site.guard.may(user, "edit", item=found):
            raise HTTPException(403, "User does not have permission for this operation.")

    def _demand_free(self, session: Item) -> None:
        if session.fields["status"] not in FREE:
            raise HTTPException(409, "The session is locked.")

    def _set_status(self, session: Item, status: str) -> None:
        session.fields["status"] = status
        self._site.store.save(session)


def _sources(request: Request, form: Form) -> list[str]:
    """Return the places named by ``src``, each as P/TS/FOLDER."""
    named = request.query_params.getlist("src") or [form.fields.get("src", "")]
    return [source.removeprefix("/data").removeprefix("/prearchive/projects/") for source in named if source]
