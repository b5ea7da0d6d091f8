"""The settings as they are, without a secret, and a test of each thing outside; for administrators."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from pydantic import BaseModel
from starlette.responses import Response

from hardware import readings, sinks
from kspace import sources
from kspace.errors import BadInput
from transfer import destinations
from transfer.app.checks import Finding, check_item, items
from transfer.app.web.access import Visit
from transfer.app.web.answers import ANSWERS
from transfer.app.web.pages.entrance import demand_own_form
from transfer.app.web.site import Site, admin_of, site_of
from transfer.config import settings_of

router = APIRouter()
_LISTS = {"destination": destinations, "sink": sinks}


@router.get("/settings", include_in_schema=False)
def show(request: Request, visit: Annotated[Visit, Depends(admin_of)]) -> Response:
    """Show the settings."""
    return _page(request, visit, tried="", findings=[])


@router.get("/api/settings", responses=ANSWERS, dependencies=[Depends(admin_of)])
def read(request: Request) -> dict[str, Any]:
    """Return the settings; of a secret only where it stands."""
    return tell(site_of(request))


@router.post("/settings/test", include_in_schema=False)
def try_one(
    request: Request,
    visit: Annotated[Visit, Depends(admin_of)],
    item: Annotated[str, Form(max_length=140)] = "",
    form: Annotated[str, Form()] = "",
) -> Response:
    """Try one thing, as `kspace check` does."""
    demand_own_form(visit, form)
    site = site_of(request)
    if item in items(site.box) and not site.tests.take(item):
        raise BadInput("That was tried often in the last minutes. Wait a little; nothing was changed.")
    return _page(request, visit, tried=item, findings=[*check_item(site.box, item)])


def tell(site: Site) -> dict[str, Any]:
    """Return what stands on the page: sections of the configuration, each a list of names and values."""
    config = site.box.config
    sections = [_section(title, getattr(config, title)) for title in ("relay", "pool", "flow")]
    for scanner in config.scanner:
        sections.append(_section(f"scanner {scanner.name}", scanner.model_copy(update={"source": ()})))
        sections += [
            _section(f"source {scanner.name}/{n}", settings_of(sources, given), given["kind"])
            for n, given in enumerate(scanner.source, start=1)
        ]
    sections += [_section(f"listener {one.ae_title}", one) for one in config.dicom]
    for what, folder in _LISTS.items():
        given: tuple[dict[str, Any], ...] = getattr(config, what)
        sections += [_section(f"{what} {one['name']}", settings_of(folder, one), one["kind"]) for one in given]
    sections += [_section(f"route {n}", route) for n, route in enumerate(config.route, start=1)]
    sections += [_section(f"rule {rule.name} of the file", rule) for rule in config.rule]
    for kind, reader in config.reading.items():
        sections.append(_section(f"reading {kind}", settings_of(readings, {"kind": kind, **reader})))
    sections += [_section(name, getattr(config, name)) for name in ("host", "web") if getattr(config, name)]
    return {"sections": sections, "tests": items(site.box)}


def _section(title: str, settings: BaseModel, kind: str | None = None) -> dict[str, Any]:
    rows = ([{"name": "kind", "value": kind}] if kind else []) + [
        {"name": name, "value": value} for name, value in _flat("", settings.model_dump(mode="json"))
    ]
    return {"title": title, "rows": rows}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- what JSON can hold
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, inner in enumerate(value, start=1):
            yield from _flat(f"{name}.{number}", inner)
    elif value not in (None, "", [], {}):
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _page(request: Request, visit: Visit, *, tried: str, findings: list[Finding]) -> Response:
    site = site_of(request)
    return site.page(request, "settings.html", {"told": tell(site), "tried": tried, "findings": findings}, visit=visit)
