"""POST /data/services/import: DICOM in a zip (or a tar, or alone) into the prearchive.

Source: Importer, DicomZipImporter, GradualDicomImporter, PrearcDatabase.
"""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from transfer.sandbox import unzip
from transfer.sandbox.archiver import Archiver, Conflict
from transfer.sandbox.bodies import content_type, is_in_body, receive_raw
from transfer.sandbox.dicomfile import Incoming, NotDicom, label_of, read, types_for
from transfer.sandbox.multipart import receive_form
from transfer.sandbox.prearchive import url
from transfer.sandbox.settings import User
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item
from transfer.sandbox.tables import flag

HANDLERS = frozenset({"", "DICOM-zip", "SI", "gradual-DICOM"})
KEPT = ("prevent_anon", "prevent_auto_commit", "SOURCE", "VISIT")


class Imports:
    """Answers the import service."""

    def __init__(self, site: Site, archiver: Archiver) -> None:
        self._site, self._archiver = site, archiver

    async def post(self, request: Request) -> Response:
        """Take one body; parameters come from the query and from form fields.

        Returns:
            200 ``text/uri-list``: one URI per line, CRLF; the prearchive session's, or the archive's where
            ``dest=/archive`` asked for it. The same URI for every zip of one study and project.
        """
        with tempfile.TemporaryDirectory(dir=self._site.scratch) as folder:
            body = Path(folder) / "body"
            asked = dict(request.query_params)
            is_cut = False
            if is_in_body(request):
                with body.open("wb") as file:
                    try:
                        await receive_raw(request, file)
                    except ClientDisconnect:
                        is_cut = True
                files = [(f"upload.{content_type(request).rpartition('/')[2]}", body)]
            else:
                form = await receive_form(request, Path(folder))
                asked = {**form.fields, **asked}
                files = [(upload.filename, upload.path) for upload in form.uploads]
            if len(files) != 1:
                raise HTTPException(400, "Unable to identify upload format: exactly one file is expected.")
            work = _Import(self._site, self._archiver, caller(request), asked)
            response = await run_in_threadpool(work.run, *files[0])
            if is_cut:
                raise ClientDisconnect
            return response


class _Import:
    """One import request."""

    def __init__(self, site: Site, archiver: Archiver, user: User, asked: dict[str, str]) -> None:
        self._site, self._archiver, self._user, self._asked = site, archiver, user, asked
        self._sessions: dict[str, Item] = {}
        site.watch(asked)
        if asked.get("import-handler", "") not in HANDLERS:
            raise HTTPException(404, "Unknown import handler.")

    def run(self, name: str, path: Path) -> Response:
        try:
            with path.open("rb") as file:
                for entry_name, content in self._objects(name, file):
                    self._take(entry_name, content)
        except (unzip.BrokenZip, tarfile.TarError, EOFError) as error:
            raise HTTPException(400, f"unable to read DICOM object: {error}") from error
        finally:
            self._touch()
        found = [self._finish(session) for session in self._sessions.values()]
        return Response("".join(f"{u}\r\n" for u in found), media_type="text/uri-list")

    def _objects(self, name: str, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
        low = name.lower()
        if self._asked.get("import-handler") == "gradual-DICOM" or low.endswith((".dcm", "dicom", ".ima")):
            yield name, file.read()
        elif low.endswith((".tar", ".tgz", ".tar.gz", "tar", "gzip")):
            with tarfile.open(fileobj=file, mode="r|*") as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    if content:
                        yield member.name, content.read()
        elif low.endswith("zip") or "compressed" in low:
            yield from unzip.entries(file)
        else:
            raise HTTPException(400, "Unsupported format: the import takes zip, tar and tar.gz.")

    def _take(self, name: str, content: bytes) -> None:
        try:
            incoming = read(content)
        except NotDicom as error:
            if flag(self._asked.get("Ignore-Unparsable")):
                return
            raise HTTPException(400, f"unable to read DICOM object {name}") from error
        if self._is_filtered(incoming):
            return
        with self._site.store.lock:
            session = self._sessions.get(incoming.study_uid) or self._session(incoming)
            self._sessions[incoming.study_uid] = session
            fields = incoming.instance_fields()
            key = (session.id, fields["sop_uid"])
            if key in self._site.being_written:
                raise HTTPException(400, f"unable to read DICOM object {name}: it is being written by another request")
            self._site.being_written.add(key)
        try:
            incoming.write(self._site.folder(session) / f"{fields['sop_uid']}.dcm")
            with self._site.store.lock:
                if self._site.store.find("instance", fields["sop_uid"], parent=session) is None:
                    self._site.store.add("instance", session, ident=fields["sop_uid"], label="", xsi="", **fields)
        finally:
            self._site.being_written.discard(key)

    def _is_filtered(self, incoming: Incoming) -> bool:
        """Whether the project's series import filter leaves the object out (DicomFilterService)."""
        project = self._project(self._place().get("project", ""), incoming.routes()["candidates"])
        return any(re.search(p, incoming.text("SeriesDescription")) for p in self._site.project(project).rejects)

    def _session(self, incoming: Incoming) -> Item:
        """Return the waiting session an object joins, by study and project, or a new one."""
        routes, place = incoming.routes(), self._place()
        project = self._project(place.get("project", ""), routes["candidates"])
        if self._sessions:
            raise HTTPException(400, "The objects of one import must share one Study Instance UID.")
        for session in self._site.store.every("prearchive"):
            owner, timestamp, _ = session.ident.split("/")
            if owner == project and place.get("timestamp") == timestamp and session.fields["tag"] != incoming.study_uid:
                raise HTTPException(400, "The prearchive session belongs to another Study Instance UID.")
            if owner == project and session.fields["tag"] == incoming.study_uid:
                if session.fields["status"] in {"ARCHIVING", "BUILDING"}:
                    raise HTTPException(400, "unable to read DICOM object: the session is locked.")
                return session
        label = label_of(place.get("session") or routes["session"])
        timestamp = place.get("timestamp") or self._site.guard.folder_stamp()
        subject = place.get("subject") or routes["subject"]
        kept = {k: self._asked[k] for k in KEPT if k in self._asked}
        return self._create(
            incoming, f"{project}/{timestamp}/{label}", subject=subject, kept={**kept, "aa": routes.get("aa", "")}
        )

    def _create(self, incoming: Incoming, ident: str, *, subject: str, kept: dict[str, str]) -> Item:
        about, stamp = incoming.session_fields(), self._site.guard.stamp()
        auto = self._asked.get("AA", self._asked.get("auto-archive", kept.pop("aa")))
        fields = {**kept, "status": "RECEIVING", "tag": incoming.study_uid, "subject": subject, "autoarchive": auto}
        fields |= {"uploaded": stamp, "lastmod": stamp, "scan_date": about["date"], "scan_time": about["time"]}
        session = self._site.store.add(
            "prearchive", None, ident=ident, label=ident.split("/")[2], xsi=types_for(incoming.modality)[0], **fields
        )
        session.fields |= {"session": json.dumps(about), "touched": str(self._site.guard.now())}
        self._site.store.save(session)
        self._site.folder(session).mkdir(parents=True)
        return session

    def _place(self) -> dict[str, str]:
        """Return where the caller wants it: explicit parameters win over ``dest``, both over the object."""
        asked, parts = self._asked, [p for p in self._asked.get("dest", "").split("/") if p]
        found = {}
        if parts[:2] == ["prearchive", "projects"]:
            found = dict(zip(("project", "timestamp", "session"), parts[2:], strict=False))
        elif parts[:1] == ["archive"]:
            found = {k.rstrip("s"): v for k, v in zip(parts[1::2], parts[2::2], strict=False)}
            found["session"] = found.pop("experiment", "")
        names = {
            "project": ("project", "PROJECT_ID"),
            "subject": ("subject", "SUBJECT_ID"),
            "session": ("session", "EXPT_LABEL"),
        }
        for key, spellings in names.items():
            found[key] = next((asked[s] for s in spellings if asked.get(s)), found.get(key, ""))
        return found

    def _project(self, asked: str, candidates: str) -> str:
        if asked:
            self._site.demand(self._user, "edit", item=self._site.store.find("project", asked))
            return asked
        for name in filter(None, candidates.split("\n")):
            found = self._site.store.find("project", name)
            if found and self._site.guard.may(self._user, "edit", item=found):
                return found.ident
        return "Unassigned"

    def _touch(self) -> None:
        for session in self._sessions.values():
            session.fields |= {"touched": str(self._site.guard.now()), "lastmod": self._site.guard.stamp()}
            self._site.store.save(session)

    def _finish(self, session: Item) -> str:
        dest = self._asked.get("dest", "")
        options = {k: self._asked.get(k, "") for k in ("overwrite", "overwrite_files")}
        try:
            if dest.startswith("/archive") or self._asked.get("import-handler") == "SI":
                return self._archiver.start(session, options)
        except Conflict as conflict:
            session.fields["status"] = "CONFLICT"
            self._site.store.save(session)
            status = 409 if self._asked.get("import-handler") == "SI" else 400
            raise HTTPException(status, str(conflict)) from conflict
        if dest.startswith("/prearchive") or self._asked.get("action") == "commit":
            session.fields["status"] = "READY"
            self._site.store.save(session)
        return f"/data{url(session)}"
