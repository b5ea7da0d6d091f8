"""Creating, changing and deleting items by PUT, POST and DELETE. Source: XNAT's restlet.resources package."""

import re
import shutil
from datetime import date

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from transfer.sandbox.addressing import Address
from transfer.sandbox.finding import find_item, uri
from transfer.sandbox.items import MORE_COLUMNS
from transfer.sandbox.settings import User
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item, lineage
from transfer.sandbox.tables import plain

LEGAL = re.compile(r"[A-Za-z0-9_-]+$")
OWN_FIELDS = MORE_COLUMNS | {"date", "name", "secondary_ID", "description", "pi_firstname", "pi_lastname", "src"}
PREFIXES = {"subject": "S", "experiment": "E", "assessor": "A"}


class Changes:
    """Writes items."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def put(self, request: Request, address: Address) -> Response:
        """Create an item or change one, with the answers of its kind's resource class."""
        with self._site.store.lock:
            *above, (kind, name) = address.steps
            if kind == "project":
                return self._project(request, name)
            if not above and kind == "subject":
                raise HTTPException(404, "A subject needs a project.")
            parent = self._parent(caller(request), tuple(above), kind=kind, request=request)
            found = self._existing(kind, name, parent=parent)
            if kind in {"scan", "reconstruction"}:
                return self._scan(request, parent, found=found, name=name, kind=kind)
            return self._labelled(request, parent, found=found, name=name, kind=kind)

    def _parent(self, user: User, above: tuple[tuple[str, str], ...], *, kind: str, request: Request) -> Item:
        if not above:
            found = self._site.store.find(kind, request.url.path.rpartition("/")[2])
            parent = self._site.store.get(found.parent) if found else None
            if parent is None:
                raise HTTPException(404, f"Unable to identify {kind}.")
            self._site.demand(user, "edit", item=parent)
            return parent
        *higher, (above_kind, above_name) = above
        if kind == "experiment" and above_kind == "subject" and higher:
            project = find_item(self._site, user, steps=tuple(higher))
            self._site.demand(user, "edit", item=project)
            found = self._site.store.find("subject", above_name, parent=project)
            return found or self._create(project, "subject", label=above_name, xsi="xnat:subjectData", user=user)
        parent = find_item(self._site, user, steps=above)
        self._site.demand(user, "edit", item=parent)
        return parent

    def _existing(self, kind: str, name: str, *, parent: Item) -> Item | None:
        if kind == "experiment":
            project = self._site.store.get(parent.project) or parent
            return self._site.store.find(kind, name, project=project)
        return self._site.store.find(kind, name, parent=parent)

    def _project(self, request: Request, name: str) -> Response:
        found, user = self._site.store.find("project", name), caller(request)
        if found:
            self._site.demand(user, "delete", item=found)
            self._change(found, request)
            return plain()
        if user.read_only:
            raise HTTPException(403, "User does not have permission to create projects.")
        _demand_legal(name)
        if any(p.ident.lower() == name.lower() for p in self._site.store.every("project")):
            raise HTTPException(403, "Project ids differ by more than their case.")
        made = self._site.store.add("project", None, ident=name, label=name, xsi="xnat:projectData", **_fields(request))
        self._site.guard.grant(made.ident, user.name, role="owner")
        return plain()

    def _labelled(self, request: Request, parent: Item, *, found: Item | None, name: str, kind: str) -> Response:
        asked = _xsi(request)
        if found is None:
            xsi = "xnat:subjectData" if kind == "subject" else asked
            if not xsi:
                raise HTTPException(417, "Need PUT Contents")
            if kind == "experiment" and parent.kind != "subject":
                raise HTTPException(417, "A new experiment needs a subject.")
            made = self._create(
                parent, kind, label=request.query_params.get("label", name), xsi=xsi, user=caller(request)
            )
            self._change(made, request)
            return plain(made.ident, 201)
        if asked and asked != found.xsi and kind != "subject":
            raise HTTPException(409, "Specified xsiType differs from existing xsiType")
        label = request.query_params.get("label", found.label)
        other = self._existing(kind, label, parent=parent)
        if other and other.id != found.id:
            raise HTTPException(409, "Label already in use.")
        found.label = label
        self._change(found, request)
        return plain(found.ident)

    def _create(self, parent: Item, kind: str, *, label: str, xsi: str, user: User) -> Item:
        _demand_legal(label)
        ident = self._site.store.accession(kind, PREFIXES[kind])
        born = {"insert_date": self._stamp(), "insert_user": user.name}
        return self._site.store.add(kind, parent, ident=ident, label=label, xsi=xsi, **born)

    def _stamp(self) -> str:
        return self._site.guard.stamp()

    def _scan(self, request: Request, parent: Item, *, found: Item | None, name: str, kind: str) -> Response:
        xsi = _xsi(request) or (found.xsi if found else "")
        if kind == "reconstruction":
            xsi = "xnat:reconstructedImageData"
        if not xsi or xsi == "xnat:imageScanData":
            raise HTTPException(400, "A scan needs an xsiType of its own, such as xnat:mrScanData.")
        if found and found.xsi != xsi:
            raise HTTPException(409, "Specified xsiType differs from existing xsiType")
        scan = found or self._site.store.add(kind, parent, ident=name, label="", xsi=xsi)
        self._change(scan, request)
        return plain()

    def _change(self, item: Item, request: Request) -> None:
        item.fields |= _fields(request)
        self._site.store.save(item)

    def post(self, request: Request, address: Address) -> Response:
        """Create an item below a list: 200 with its URL, 409 where it exists (ProjSubExptList)."""
        name = request.query_params.get("label", request.query_params.get("ID", ""))
        if not name:
            raise HTTPException(417, "Need POST Contents")
        steps = (*address.steps, (address.collection, name))
        parent = find_item(self._site, caller(request), steps=address.steps)
        if self._existing(address.collection, name, parent=parent):
            raise HTTPException(409, "Specified item already exists.")
        self.put(request, Address(steps=steps))
        made = uri(self._site, find_item(self._site, caller(request), steps=steps))
        return plain(made, location=made)

    def delete(self, request: Request, item: Item) -> Response:
        """Delete an item; without ``removeFiles`` the files stay on disk."""
        self._site.demand(caller(request), "delete", item=item)
        doomed = [r for r in self._site.store.every("resource") if item.id in {i.id for i in self._above(r)}]
        self._site.store.remove(item)
        if request.query_params.get("removeFiles") == "true":
            for resource in doomed:
                shutil.rmtree(self._site.folder(resource), ignore_errors=True)
        return plain()

    def _above(self, item: Item) -> list[Item]:
        return list(lineage(self._site.store, item))


def _demand_legal(name: str) -> None:
    if not LEGAL.match(name):
        raise HTTPException(417, "Invalid characters in the ID or label.")


def _xsi(request: Request) -> str:
    """Return the data type asked for: ``xsiType``, or the type in front of a path such as xnat:mrSessionData/date."""
    asked = request.query_params.get("xsiType", "")
    paths = [key.partition("/")[0] for key in request.query_params if "/" in key and ":" in key]
    return asked or (paths[0] if paths else "")


def _fields(request: Request) -> dict[str, str]:
    fields = {}
    for key, value in request.query_params.items():
        name = key.rpartition("/")[2]
        if (name in OWN_FIELDS or "/" in key) and name not in {"ID", "label", "project"}:
            fields[name] = value
    try:
        date.fromisoformat(fields.get("date") or "2000-01-01")
    except ValueError as error:
        raise HTTPException(400, "date: not a date (YYYY-MM-DD).") from error
    return fields
