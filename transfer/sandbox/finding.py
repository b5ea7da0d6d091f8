"""From an address to the item it means, with XNAT's rules about what is there and what is not. Source: XNATTemplate."""

from starlette.exceptions import HTTPException

from transfer.sandbox.settings import User
from transfer.sandbox.site import Site
from transfer.sandbox.store import Item


def find_item(site: Site, user: User, *, steps: tuple[tuple[str, str], ...], is_get: bool = False) -> Item:
    """Return the item at the end of the steps.

    With ``is_get`` an experiment that does not exist falls back to its parent, as XNATTemplate does for GET of
    resources and files (trap 6).

    Raises:
        HTTPException: 404, there is no such item or the caller may not read it.
    """
    item = project = None
    for kind, name in steps:
        found = _step(site, kind, name=name, above=item)
        if found is None:
            if is_get and kind == "experiment" and item is not None:
                return item
            raise HTTPException(404, f"Unable to identify {kind}.")
        item = found
        project = item if kind == "project" else project or site.store.get(item.project)
        site.demand(user, "read", item=project)
    if item is None:
        raise HTTPException(404, "Not Found")
    return item


def find_items(site: Site, user: User, *, steps: tuple[tuple[str, str], ...], is_get: bool) -> list[Item]:
    """Return the item at the end of the steps, or the scans of a list: ``scans/ALL``, ``scans/*``, ``scans/1,2``."""
    *above, (kind, name) = steps
    if kind != "scan" or not (name in {"ALL", "*"} or "," in name):
        return [find_item(site, user, steps=steps, is_get=is_get)]
    scans = site.store.children("scan", find_item(site, user, steps=tuple(above)))
    return [scan for scan in scans if name in {"ALL", "*"} or scan.ident in name.split(",")]


def _step(site: Site, kind: str, *, name: str, above: Item | None) -> Item | None:
    if above is None:
        return site.store.find(kind, name) if kind in {"project", "subject", "experiment"} else None
    if kind == "experiment" and above.kind == "project":
        return site.store.find(kind, name, project=above)
    return site.store.find(kind, name, parent=above)


def find_resource(site: Site, item: Item, *, name: str) -> Item | None:
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
