"""From a REST path to the item it means, with XNAT's rules about what is found and what is not there."""

from dataclasses import dataclass
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request

from transfer.sandbox.settings import User
from transfer.sandbox.site import Site
from transfer.sandbox.store import Item

COLLECTIONS = {
    "projects": "project",
    "subjects": "subject",
    "experiments": "experiment",
    "scans": "scan",
    "assessors": "assessor",
    "reconstructions": "reconstruction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A parsed path: ``steps`` down to an item, then one of the others.

    ``collection`` is the kind of a list, ``resource`` a resource's label or number ("" for the list of resources),
    ``path`` what follows ``files/`` ("" for the list of files), ``rest`` anything else.
    """

    steps: tuple[tuple[str, str], ...]
    collection: str = ""
    resource: str | None = None
    path: str | None = None
    rest: tuple[str, ...] = ()


def raw_path(request: Request) -> str:
    """Return the path as it came, not percent-decoded (Restlet 1.1 util.Template), below /data, /REST or /archive."""
    path: str = request.scope["raw_path"].decode("latin-1")
    for prefix in ("/data", "/REST", "/archive"):
        path = path.removeprefix(prefix) if path.startswith(prefix + "/") else path
    return path.lstrip("/")


def parse(path: str) -> Address:
    """Return what a path below ``/data`` or ``/data/archive`` means (XNATApplication#addRoutes).

    Raises:
        HTTPException: 404, there is no route below ``/projects/P/experiments/E/scans/N``.
    """
    parts, at = path.split("/"), 0
    steps: list[tuple[str, str]] = []
    while at < len(parts) and parts[at] in COLLECTIONS:
        kind = COLLECTIONS[parts[at]]
        if parts[at + 1 : at + 2] in ([], [""]):
            return Address(steps=tuple(steps), collection=kind)
        steps.append((kind, unquote(parts[at + 1]) if kind in {"scan", "reconstruction"} else parts[at + 1]))
        at += 2
    rest = parts[at:]
    rest = rest[1:] if rest[:1] in (["in"], ["out"]) else rest
    return _tail(tuple(steps), [] if rest == [""] else rest)


def _tail(steps: tuple[tuple[str, str], ...], rest: list[str]) -> Address:
    if rest and [kind for kind, _ in steps] == ["project", "experiment", "scan"]:
        raise HTTPException(404, "Not Found")
    resource = path = None
    if rest[:1] == ["resources"]:
        resource, rest = rest[1] if len(rest) > 1 else "", rest[2:]
    if rest[:1] == ["files"]:
        path, rest = "/".join(rest[1:]), []
    return Address(steps=steps, resource=resource, path=path, rest=tuple(filter(None, rest)))


def find_item(site: Site, user: User, steps: tuple[tuple[str, str], ...], *, is_get: bool = False) -> Item:
    """Return the item at the end of the steps.

    With ``is_get`` an experiment that does not exist falls back to its parent, as XNATTemplate does for GET of
    resources and files (trap 6).

    Raises:
        HTTPException: 404, there is no such item or the caller may not read it.
    """
    item = project = None
    for kind, name in steps:
        found = _step(site, kind, name, item)
        if found is None:
            if is_get and kind == "experiment" and item is not None:
                return item
            raise HTTPException(404, f"Unable to identify {kind}.")
        item = found
        project = item if kind == "project" else project or site.store.get(item.project)
        site.demand(user, "read", project)
    if item is None:
        raise HTTPException(404, "Not Found")
    return item


def find_items(site: Site, user: User, steps: tuple[tuple[str, str], ...], *, is_get: bool) -> list[Item]:
    """Return the item at the end of the steps, or the scans of a list: ``scans/ALL``, ``scans/*``, ``scans/1,2``."""
    *above, (kind, name) = steps
    if kind != "scan" or not (name in {"ALL", "*"} or "," in name):
        return [find_item(site, user, steps, is_get=is_get)]
    scans = site.store.children("scan", find_item(site, user, tuple(above)))
    return [scan for scan in scans if name in {"ALL", "*"} or scan.ident in name.split(",")]


def _step(site: Site, kind: str, name: str, above: Item | None) -> Item | None:
    if above is None:
        return site.store.find(kind, name) if kind in {"project", "subject", "experiment"} else None
    if kind == "experiment" and above.kind == "project":
        return site.store.find(kind, name, project=above)
    return site.store.find(kind, name, parent=above)


def find_resource(site: Site, item: Item, name: str) -> Item | None:
    """Return an item's resource by label or number."""
    for resource in site.store.children("resource", item):
        if name in {resource.label, str(resource.id)}:
            return resource
    return None


def uri(site: Site, item: Item) -> str:
    """Return the address XNAT prints for an item: built from ids, not from the caller's URL."""
    above = site.store.get(item.parent)
    if item.kind == "resource" and above:
        return f"{uri(site, above)}/resources/{item.id}"
    if item.kind in {"scan", "assessor", "reconstruction"} and above:
        return f"{uri(site, above)}/{item.kind}s/{item.ident}"
    return f"/data/{item.kind}s/{item.ident}"
