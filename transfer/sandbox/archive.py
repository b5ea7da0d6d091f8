"""Everything below ``/data`` and ``/data/archive`` that names a project, subject, experiment or scan."""

from typing import Literal
from xml.etree import ElementTree as ET

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from transfer.sandbox.addressing import Address, parse, raw_path
from transfer.sandbox.bodies import content_type
from transfer.sandbox.catalogs import Catalogs
from transfer.sandbox.changes import Changes
from transfer.sandbox.files import Files
from transfer.sandbox.finding import find_item, find_resource
from transfer.sandbox.items import Items
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item
from transfer.sandbox.tables import flag, plain
from transfer.sandbox.uploads import Uploads, count_files, entries_on_disk


class Archive:
    """Finds what a URL means and hands it to the part that answers (XNATApplication#addRoutes)."""

    def __init__(self, site: Site, catalogs: Catalogs) -> None:
        self._site, self._catalogs = site, catalogs
        self._items, self._changes = Items(site), Changes(site)
        self._files, self._uploads = Files(site, catalogs), Uploads(site, catalogs)

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        address = parse(raw_path(request))
        if not address.steps and not address.collection:
            raise HTTPException(404, "Not Found")
        if request.method not in {"GET", "HEAD"} and self._site.settings.require_reason:
            self._demand_reason(request)
        if request.method in {"PUT", "POST"} and address.path is not None:
            return await self._uploads.put(request, address)
        if request.method in {"PUT", "POST"} and address.resource is None and content_type(request).endswith("/xml"):
            _demand_well_formed(await request.body())
        return await run_in_threadpool(self._answer, request, address)

    def _demand_reason(self, request: Request) -> None:
        """Refuse (500) a change without a justification where the site wants one (PersistentWorkflowUtils)."""
        if not request.query_params.get("event_reason"):
            raise HTTPException(500, "A justification is required for this operation.")

    def _answer(self, request: Request, address: Address) -> Response:
        if address.rest:
            return self._rest(request, address)
        if address.path is not None:
            return self._on_files(request, address)
        if address.resource is not None:
            return self._on_resource(request, address)
        return self._on_item(request, address)

    def _on_item(self, request: Request, address: Address) -> Response:
        match request.method, bool(address.collection):
            case ("GET" | "HEAD", True):
                return self._items.table(request, address)
            case ("GET" | "HEAD", False):
                return self._items.show(request, self._find(request, address))
            case ("PUT", False):
                return self._changes.put(request, address)
            case ("POST", True):
                return self._changes.post(request, address)
            case ("DELETE", False):
                return self._changes.delete(request, self._find(request, address))
        raise HTTPException(405, "Method Not Allowed")

    def _on_files(self, request: Request, address: Address) -> Response:
        if request.method == "DELETE":
            return self._files.delete_files(request, self._find(request, address), address=address)
        return self._files.get(request, address)

    def _on_resource(self, request: Request, address: Address) -> Response:
        item = find_item(self._site, caller(request), steps=address.steps, is_get=request.method == "GET")
        if not address.resource:
            if request.method in {"GET", "HEAD"}:
                return self._files.list_resources(request, item)
            raise HTTPException(405, "Method Not Allowed")
        if request.method in {"PUT", "POST"}:
            return self._files.create_resource(request, item, label=address.resource)
        resource = find_resource(self._site, item, name=address.resource)
        if resource is None:
            raise HTTPException(404, "Unable to find the specified resource.")
        if request.method == "DELETE":
            return self._files.delete_resource(request, resource)
        return self._files.show_resource(request, resource)

    def _rest(self, request: Request, address: Address) -> Response:
        """Answer a project's prearchive_code; refuse a path after a resource (400) and anything unknown (404)."""
        if address.resource is not None:
            raise HTTPException(400, "A resource is followed by files only.")
        item = self._find(request, address)
        if item.kind != "project" or address.rest[0] != "prearchive_code":
            raise HTTPException(404, "Not Found")
        if request.method == "PUT" and len(address.rest) == 2:
            self._site.demand(caller(request), "delete", item=item)
            item.fields["prearchive_code"] = address.rest[1]
            self._site.store.save(item)
            return plain()
        return plain(item.fields.get("prearchive_code", "0"))

    def _find(self, request: Request, address: Address) -> Item:
        return find_item(self._site, caller(request), steps=address.steps)

    async def refresh(self, request: Request) -> Response:
        """Bring catalogs in line with the disk, as the options say (RefreshCatalog, DefaultCatalogService)."""
        query = request.query_params
        names: tuple[Literal["append", "delete", "checksum", "populateStats"], ...]
        names = ("append", "delete", "checksum", "populateStats")
        asked = set(query.get("options", "").split(",")) | {n for n in names if flag(query.get(n))}
        sources = query.getlist("resource")
        if not sources:
            raise HTTPException(400, "Please specify a resource.")
        for source in sources:
            for resource in self._named(request, source):
                await run_in_threadpool(self._refresh, resource, asked)
        return plain()

    def _named(self, request: Request, source: str) -> list[Item]:
        path = source.removeprefix("/data").removeprefix("/REST").removeprefix("/archive").lstrip("/")
        address = parse(path)
        if not address.steps:
            raise HTTPException(400, "Unknown resource URI.")
        item = self._find(request, address)
        self._site.demand(caller(request), "edit", item=item)
        if not address.resource:
            return self._site.store.children("resource", item)
        found = find_resource(self._site, item, name=address.resource)
        if found is None:
            raise HTTPException(400, "Unknown resource URI.")
        return [found]

    def _refresh(self, resource: Item, asked: set[str]) -> None:
        folder = self._site.folder(resource)
        catalog = self._catalogs.read(folder)
        if "append" in asked:
            for entry in entries_on_disk(folder):
                catalog.entries.setdefault(entry.name, entry)
        if "delete" in asked:
            catalog.entries = {n: e for n, e in catalog.entries.items() if (folder / n).exists()}
        if "checksum" in asked:
            for entry in catalog.entries.values():
                if (folder / entry.name).exists():
                    entry.digest = self._site.digest(folder / entry.name)
        if asked & {"append", "delete", "checksum"}:
            self._catalogs.write(catalog)
        if "populateStats" in asked:
            count_files(self._site, resource, catalog=catalog)


def _demand_well_formed(document: bytes) -> None:
    """Refuse (422) a document that is no XML; what it says of an item is not taken over."""
    try:
        ET.fromstring(document)  # noqa: S314 -- only whether it can be read
    except ET.ParseError as error:
        raise HTTPException(422, "The document is not well-formed.") from error
