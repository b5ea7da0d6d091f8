"""Resources and their files: lists, catalogs, downloads, deletion. Source: FileList, CatalogResource(List)."""

import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from transfer.sandbox.addressing import Address
from transfer.sandbox.catalogs import Catalogs, Entry, to_xml, within
from transfer.sandbox.finding import find_items, find_resource, uri
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item, lineage
from transfer.sandbox.tables import flag, number, plain, table, variant
from transfer.sandbox.uploads import count_files, file_name

INSIDE = re.compile(r"\.(?:zip|jar|rar|ear|gar|mrb)(?:!/?|/)", re.IGNORECASE)
"""Where a path goes on inside a stored archive."""
FILE_COLUMNS = (
    "Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID", "digest",
)  # fmt: skip
RESOURCE_COLUMNS = (
    "xnat_abstractresource_id", "label", "element_name", "category", "cat_id", "cat_desc", "file_count", "file_size",
    "tags", "content", "format",
)  # fmt: skip
SHOWN_TYPES = {
    "bmp": "image/bmp", "gif": "image/gif", "html": "text/html", "jpg": "image/jpeg", "pdf": "application/pdf",
    "png": "image/png", "svg": "image/svg+xml", "tiff": "image/tiff", "txt": "text/plain", "xml": "text/xml",
}  # fmt: skip


class BigFileResponse(FileResponse):
    """A stored file, read in blocks of 1 MiB, with XNAT's headers: no ETag."""

    chunk_size = 1024 * 1024

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """Leave the ETag out, which XNAT does not send."""
        super().set_stat_headers(stat_result)
        del self.headers["etag"]


class Files:
    """Answers everything below ``/resources`` and ``/files`` but uploads."""

    def __init__(self, site: Site, catalogs: Catalogs) -> None:
        self._site, self._catalogs = site, catalogs

    def list_resources(self, request: Request, item: Item) -> Response:
        """Return the table of resources; ``all=true`` on an experiment includes those of scans and assessors."""
        owners = [item]
        if item.kind == "experiment" and flag(request.query_params.get("all")):
            owners += [x for kind in ("scan", "assessor") for x in self._site.store.children(kind, item)]
        rows = [self._row(owner, r) for owner in owners for r in self._site.store.children("resource", owner)]
        return table(request, RESOURCE_COLUMNS, rows=rows, title="Resources")

    def _row(self, owner: Item, resource: Item) -> Mapping[str, str]:
        category = "resources" if owner.kind in {"project", "subject", "experiment"} else f"{owner.kind}s"
        return {
            **resource.fields,
            "xnat_abstractresource_id": str(resource.id),
            "label": resource.label,
            "element_name": "xnat:resourceCatalog",
            "category": category,
            "cat_id": "" if owner.kind in {"project", "subject"} else owner.ident,
            "cat_desc": resource.fields.get("description", ""),
        }

    def create_resource(self, request: Request, item: Item, *, label: str) -> Response:
        """Create a resource: 200, 409 where its label is taken, 403 without the right (CatalogResource)."""
        self._site.demand(caller(request), "edit", item=item)
        with self._site.store.lock:
            if find_resource(self._site, item, name=label):
                raise HTTPException(409, "Specified resource already exists.")
            kept = {k: v for k, v in request.query_params.items() if k in {"format", "content", "tags", "description"}}
            made = self._site.store.add("resource", item, ident="", label=label, xsi="xnat:resourceCatalog", **kept)
        self._catalogs.write(self._catalogs.read(self._site.folder(made)))
        return plain()

    def show_resource(self, request: Request, resource: Item) -> Response:
        """Return the catalog, as XML whatever ``format`` says; 406 where only JSON is accepted."""
        if "format" not in request.query_params:
            variant(request, ("xml",))
        return Response(to_xml(self._catalogs.read(self._site.folder(resource))), media_type="text/xml")

    def delete_resource(self, request: Request, resource: Item) -> Response:
        """Remove a resource and its files; needs the right to delete."""
        self._site.demand(caller(request), "delete", item=self._site.store.get(resource.project))
        self._site.store.remove(resource)
        shutil.rmtree(self._site.folder(resource), ignore_errors=True)
        return plain()

    def get(self, request: Request, address: Address) -> Response:
        """Answer GET and HEAD below ``files``: a list, an archive, or one file."""
        items = find_items(self._site, caller(request), steps=address.steps, is_get=request.method == "GET")
        resources = [r for item in items for r in self._resources(item, address.resource)]
        path = file_name(address.path or "")
        if packed_at := INSIDE.search(path):
            return self._unpacked(resources, name=path[: packed_at.start() + 4], entry=path[packed_at.end() :])
        found = self._entries(request, resources, path=path)
        if path and not path.endswith("/"):
            return self._download(request, resources, name=path)
        if "index" in request.query_params:
            at = number(request, "index")
            if at >= len(found):
                raise HTTPException(404, "Unable to find matching file.")
            resource, entry = found[at]
            return self._download(request, [resource], name=entry.name)
        packed = request.query_params.get("format", "")
        if packed in {"zip", "tar", "tar.gz"}:
            return self._archive(request, found, packed=packed)
        return self._list(request, found)

    def _resources(self, item: Item, name: str | None) -> list[Item]:
        resources = self._site.store.children("resource", item)
        if name is None:
            return resources
        return [r for r in resources if name in {r.label, str(r.id)}]

    def _entries(self, request: Request, resources: list[Item], *, path: str) -> list[tuple[Item, Entry]]:
        wanted = {k: request.query_params.get(f"file_{k}") for k in ("content", "format")}
        found = [
            (resource, entry)
            for resource in resources
            for entry in self._catalogs.read(self._site.folder(resource)).entries.values()
            if entry.name.startswith(path)
        ]
        return [(r, e) for r, e in found if all(v is None or getattr(e, k) == v for k, v in wanted.items())]

    def _list(self, request: Request, found: list[tuple[Item, Entry]]) -> Response:
        columns = list(FILE_COLUMNS)
        locator = request.query_params.get("locator", "")
        if locator in {"absolutePath", "projectPath"}:
            columns[2] = locator
        rows = []
        for resource, entry in found:
            path = self._site.folder(resource) / entry.name
            rows.append({
                "Name": entry.name.rpartition("/")[2],
                "Size": str(entry.size),
                "URI": f"{uri(self._site, resource)}/files/{entry.name}",
                "absolutePath": str(path),
                "projectPath": str(path.relative_to(self._site.root)),
                "collection": resource.label,
                "file_tags": entry.tags,
                "file_format": entry.format,
                "file_content": entry.content,
                "cat_ID": str(resource.id),
                "digest": entry.digest,
            })  # fmt: skip
        return table(request, columns, rows=rows, title="Files")

    def _download(self, request: Request, resources: list[Item], *, name: str) -> Response:
        for resource in resources:
            if name not in self._catalogs.read(self._site.folder(resource)).entries:
                continue
            path = self._site.folder(resource) / name
            path = path if path.exists() else path.with_name(path.name + ".gz")
            if path.is_file():
                return _file(request, path)
        raise HTTPException(404, "Unable to find matching file.")

    def _unpacked(self, resources: list[Item], *, name: str, entry: str) -> Response:
        """Return an entry of a stored archive; 415 where the archive cannot be read."""
        for resource in resources:
            path = self._site.folder(resource) / name
            if path.is_file():
                try:
                    with zipfile.ZipFile(path) as archive:
                        return Response(archive.read(entry), media_type="application/octet-stream")
                except zipfile.BadZipFile as error:
                    raise HTTPException(415, "The archive cannot be read.") from error
                except KeyError as error:
                    raise HTTPException(404, "Unable to find matching file.") from error
        raise HTTPException(404, "Unable to find matching file.")

    def _archive(self, request: Request, found: list[tuple[Item, Entry]], *, packed: str) -> Response:
        if not found:
            raise HTTPException(404, "No files were found.")
        if "range" in request.headers:
            raise HTTPException(500, "Ranges of an archive are not supported.")
        with tempfile.NamedTemporaryFile(dir=self._site.scratch, delete=False) as file:
            path = Path(file.name)
            files = [(self._entry_name(r, e), self._site.folder(r) / e.name) for r, e in found]
            if packed == "zip":
                stored = request.query_params.get("compression") == "0"
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
                    for name, source in files:
                        archive.write(source, name)
            else:
                with tarfile.open(fileobj=file, mode="w:gz" if packed == "tar.gz" else "w") as tar:
                    for name, source in files:
                        tar.add(source, name)
        kind = {"zip": "application/zip", "tar": "application/x-tar"}.get(packed, "application/gzip")
        return BigFileResponse(
            path, media_type=kind, background=BackgroundTask(path.unlink), filename=f"files.{packed}"
        )

    def _entry_name(self, resource: Item, entry: Entry) -> str:
        owner = next(i for i in lineage(self._site.store, resource) if i.kind in {"experiment", "subject", "project"})
        above = self._site.store.get(resource.parent)
        scan = f"/scans/{above.ident}" if above and above.kind == "scan" else ""
        return f"{owner.label or owner.ident}{scan}/resources/{resource.label}/files/{entry.name}"

    def delete_files(self, request: Request, item: Item, *, address: Address) -> Response:
        """Remove every file whose name begins with the path (trap 5); 404 where none does."""
        resource = find_resource(self._site, item, name=address.resource or "")
        if resource is None:
            raise HTTPException(400, "Unknown resource.")
        self._site.demand(caller(request), "delete", item=item)
        folder = self._site.folder(resource)
        catalog = self._catalogs.read(folder)
        gone = within(catalog, file_name(address.path or ""))
        if not gone:
            if flag(request.query_params.get("accept-not-found")):
                return Response(status_code=204)
            raise HTTPException(404, "No matched files found.")
        for entry in gone:
            del catalog.entries[entry.name]
            (folder / entry.name).unlink(missing_ok=True)
        self._catalogs.write(catalog)
        count_files(self._site, resource, catalog=catalog)
        return plain()


def _file(request: Request, path: Path) -> Response:
    if "," in request.headers.get("range", ""):
        raise HTTPException(501, "Several ranges are not supported.")
    since = request.headers.get("if-modified-since")
    if since and parsedate_to_datetime(since).timestamp() >= int(path.stat().st_mtime):
        return Response(status_code=304)
    kind = SHOWN_TYPES.get(path.suffix.lstrip(".").lower(), "application/octet-stream")
    headers = {"cache-control": "must-revalidate"}
    return BigFileResponse(path, media_type=kind, filename=path.name, headers=headers)
