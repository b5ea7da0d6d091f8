"""PUT and POST of files into a resource, with XNAT's order of events and its ways to fail.

Source: FileList#handlePut, #handlePost; CatalogUtils#storeCatalogEntry; FileWriterWrapper#write.
"""

import gzip
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast
from urllib.parse import unquote_plus

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from transfer.sandbox.addressing import Address
from transfer.sandbox.bodies import demand_length, is_in_body, receive_raw
from transfer.sandbox.catalogs import Catalog, Catalogs, Entry
from transfer.sandbox.finding import find_item, find_resource
from transfer.sandbox.multipart import Form, receive_form
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item
from transfer.sandbox.tables import flag, plain

_MAX_INT = 2**31 - 1
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz")


def file_name(path: str) -> str:
    """Return the stored name for the rest of a URL: undecoded, unless it holds %20 or %2B (FileList constructor).

    Raises:
        HTTPException: 400, the name would leave the resource's folder.
    """
    return _inside(unquote_plus(path) if "%20" in path or "%2B" in path.upper() else path)


def _inside(name: str) -> str:
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise HTTPException(400, "Invalid file path.")
    return name


class Uploads:
    """Stores uploaded files."""

    def __init__(self, site: Site, catalogs: Catalogs) -> None:
        self._site, self._catalogs = site, catalogs

    async def put(self, request: Request, address: Address) -> Response:
        """Store what the body holds.

        200 with an empty body where it is stored, and also where the caller may read but not edit (trap 2b); 200
        with ``{"duplicates": [..]}`` where the file is there already and ``overwrite`` was not asked for (trap 2a).
        """
        _demand_small_offsets(request)
        item = await run_in_threadpool(find_item, self._site, caller(request), steps=address.steps)
        if not self._site.guard.may(caller(request), "edit", item=item):
            return plain()
        with self._site.working_on(item):
            return await self._receive(request, item, address=address)

    async def _receive(self, request: Request, item: Item, *, address: Address) -> Response:
        resource = find_resource(self._site, item, name=address.resource or "")
        name = file_name(address.path or "")
        if is_in_body(request):
            demand_length(request)
            resource = resource or self._create(item, address.resource or "")
            return await self._in_body(request, resource, name=name)
        form = await receive_form(request, self._site.scratch)
        if not form.uploads:
            raise HTTPException(400, f"You tried to {request.method} a payload but didn't provide any data.")
        resource = resource or self._create(item, address.resource or "")
        return await run_in_threadpool(self._multipart, request, resource, name=name, form=form)

    def _create(self, item: Item, label: str) -> Item:
        return self._site.store.add("resource", item, ident="", label=label, xsi="xnat:resourceCatalog")

    async def _in_body(self, request: Request, resource: Item, *, name: str) -> Response:
        folder = self._site.folder(resource)
        if flag(request.query_params.get("extract")):
            return await self._in_body_archive(request, resource, name=name)
        catalog = await run_in_threadpool(self._catalogs.read, folder)
        if not self._make_room(request, catalog, name=name):
            return _duplicates([name])
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            await receive_raw(request, file)
        await run_in_threadpool(self._enter, request, resource, catalog=catalog, names=[name])
        return plain()

    async def _in_body_archive(self, request: Request, resource: Item, *, name: str) -> Response:
        spooled = self._site.scratch / f"extract-{id(request)}-{PurePosixPath(name).name or 'upload.zip'}"
        try:
            with spooled.open("wb") as file:
                await receive_raw(request, file)
            work = partial(self._store_all, request, resource, files=[(name, spooled)])
            return await run_in_threadpool(work)
        finally:
            spooled.unlink(missing_ok=True)

    def _multipart(self, request: Request, resource: Item, *, name: str, form: Form) -> Response:
        try:
            files = [(name if name and not name.endswith("/") else name + u.filename, u.path) for u in form.uploads]
            return self._store_all(request, resource, files=files)
        finally:
            form.discard()

    def _store_all(self, request: Request, resource: Item, *, files: list[tuple[str, Path]]) -> Response:
        folder = self._site.folder(resource)
        catalog = self._catalogs.read(folder)
        stored, refused = [], []
        for name, spooled in files:
            extracts = flag(request.query_params.get("extract")) and name.lower().endswith(ARCHIVES)
            for inner, source in _unpack(name, spooled) if extracts else [(name, spooled)]:
                if not self._make_room(request, catalog, name=_inside(inner)):
                    refused.append(inner)
                    continue
                target = folder / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(source, target)
                stored.append(inner)
        self._enter(request, resource, catalog=catalog, names=stored)
        return _duplicates(refused) if refused else plain()

    def _make_room(self, request: Request, catalog: Catalog, *, name: str) -> bool:
        """Delete the old file where overwriting is asked for; say whether the name is free."""
        target = catalog.path.parent / name
        overwrites = flag(request.query_params.get("overwrite"))
        if name.endswith("_catalog.xml") or PurePosixPath(name).name.startswith(".~lock-") or target.is_dir():
            raise HTTPException(500, "The file could not be written.")
        if target.exists() and not overwrites:
            return False
        if name in catalog.entries:
            target.unlink(missing_ok=True)
        return True

    def _enter(self, request: Request, resource: Item, *, catalog: Catalog, names: list[str]) -> None:
        """Catalogue stored files: entry, MD5, comparison with the catalog that was read, rewrite, statistics."""
        query, folder = request.query_params, self._site.folder(resource)
        for name in names:
            self._site.mischief.stored(folder / name)
            catalog.entries[name] = Entry(
                name=name,
                size=(folder / name).stat().st_size,
                format=query.get("format", ""),
                content=query.get("content", ""),
                tags=query.get("tags", ""),
            )
        if self._site.checksums:
            for entry in catalog.entries.values():
                if not entry.digest and (folder / entry.name).exists():
                    entry.digest = self._site.digest(folder / entry.name)
        self._catalogs.write(catalog)
        if flag(query.get("update-stats"), default=True):
            count_files(self._site, resource, catalog=catalog)


def count_files(site: Site, resource: Item, *, catalog: Catalog) -> None:
    """Write a resource's file_count and file_size from its catalog."""
    resource.fields["file_count"] = str(len(catalog.entries))
    resource.fields["file_size"] = str(sum(entry.size for entry in catalog.entries.values()))
    site.store.save(resource)


def _demand_small_offsets(request: Request) -> None:
    """Fail (500) on a Content-Range beyond 31 bits: it is parsed, though never used (Restlet RangeUtils)."""
    if any(int(number) > _MAX_INT for number in re.findall(r"\d+", request.headers.get("content-range", ""))):
        raise HTTPException(500, "java.lang.NumberFormatException")


def _duplicates(names: list[str]) -> Response:
    return HTMLResponse(json.dumps({"duplicates": names}))


def _place(source: Path | IO[bytes], target: Path) -> None:
    if isinstance(source, Path):
        source.replace(target)
        return
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1024 * 1024)


def _unpack(name: str, spooled: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the files of an archive, named below the folder of its own name."""
    base, low = name.rpartition("/")[0], name.lower()
    prefix = base + "/" if base else ""
    try:
        if low.endswith(".zip"):
            with zipfile.ZipFile(spooled) as archive:
                yield from ((prefix + i.filename, archive.open(i)) for i in archive.infolist() if not i.is_dir())
        elif low.endswith((".tar", ".tar.gz", ".tgz")):
            with tarfile.open(spooled) as archive_file:
                for member in archive_file:
                    content = archive_file.extractfile(member)
                    if member.isfile() and content:
                        yield prefix + member.name, content
        else:
            yield name.removesuffix(".gz"), cast("IO[bytes]", gzip.open(spooled))  # noqa: SIM115 -- closed where it is copied
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile) as error:
        raise HTTPException(500, "The archive could not be read.") from error


def entries_on_disk(folder: Path) -> Iterator[Entry]:
    """Yield an entry for every file in a resource's folder, also for partial leftovers."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "_catalog.xml":
            yield Entry(name=path.relative_to(folder).as_posix(), size=path.stat().st_size)
