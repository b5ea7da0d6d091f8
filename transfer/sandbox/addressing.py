"""What a REST path means. Source: XNATApplication#addRoutes."""

from dataclasses import dataclass
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request

_COLLECTIONS = {
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
    while at < len(parts) and parts[at] in _COLLECTIONS:
        kind = _COLLECTIONS[parts[at]]
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
