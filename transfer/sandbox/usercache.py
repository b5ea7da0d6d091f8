"""Each user's own cache of files, as XNAT 1.8 has it. Source: UserCacheResource."""

import shutil
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transfer.sandbox.bodies import receive_raw
from transfer.sandbox.multipart import receive_form
from transfer.sandbox.site import Site, caller
from transfer.sandbox.tables import plain
from transfer.sandbox.uploads import file_name


class UserCache:
    """Takes files; gives back nothing usable, for a flag is inverted there (fixed in later versions)."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        folder = "/data/user/cache/resources/{label}"
        return [
            Route(folder, self.folder, methods=["PUT", "DELETE"]),
            Route(folder + "/files/{name:path}", self.file, methods=["PUT", "DELETE"]),
        ]

    async def folder(self, request: Request) -> Response:
        """PUT: make a folder, 412 where it exists. DELETE: remove it."""
        path = self._path(request)
        if request.method == "DELETE":
            return self._remove(path)
        if path.exists():
            raise HTTPException(412, "The folder exists.")
        path.mkdir(parents=True)
        return plain()

    async def file(self, request: Request) -> Response:
        """PUT: store a file, always in the place of an earlier one. DELETE: the whole folder goes."""
        folder = self._path(request)
        if request.method == "DELETE":
            return self._remove(folder)
        target = folder / file_name(request.path_params["name"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if request.query_params.get("inbody") == "true":
            with target.open("wb") as file:
                await receive_raw(request, file)
            return plain()
        form = await receive_form(request, self._site.scratch)
        if not form.uploads:
            raise HTTPException(400, "There is no file in the body.")
        await run_in_threadpool(form.uploads[0].path.replace, target)
        form.discard()
        return plain()

    def _path(self, request: Request) -> Path:
        return self._site.root / "cache" / caller(request).name / file_name(request.path_params["label"])

    def _remove(self, path: Path) -> Response:
        if not path.exists():
            raise HTTPException(404, "There is no such folder.")
        shutil.rmtree(path)
        return plain()
