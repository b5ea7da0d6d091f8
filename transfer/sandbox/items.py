"""Projects, subjects, experiments, scans: lists and single items. Source: XNAT's restlet.resources package."""

import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from transfer.sandbox.addressing import Address
from transfer.sandbox.finding import find_item, uri
from transfer.sandbox.site import Site, caller
from transfer.sandbox.store import Item
from transfer.sandbox.tables import table, variant

if TYPE_CHECKING:
    from transfer.sandbox.guard import Right

COLUMNS = {
    "project": ("ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname", "URI"),
    "subject": ("ID", "project", "label", "insert_date", "insert_user", "URI"),
    "experiment": ("ID", "project", "date", "xsiType", "label", "insert_date", "subject_ID", "subject_label", "URI"),
    "scan": ("xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description", "URI"),
    "assessor": (
        "ID", "project", "date", "xsiType", "label", "insert_date", "session_ID", "session_label", "URI",
    ),
}  # fmt: skip
COLUMNS["reconstruction"] = ("ID", "type", "baseScanType", "URI")
MORE_COLUMNS = frozenset(
    """UID studyInstanceUID dcmPatientId dcmPatientName dcmAccessionNumber scanner session_type modality time
    last_modified note insert_user condition frames quality type series_description gender group yob age""".split()  # noqa: SIM905 -- a table of names
)
CHILDREN = {"subject": ("experiment",), "experiment": ("scan", "assessor")}
FIELD_OF = {
    "experiment": "experiments/experiment",
    "scan": "scans/scan",
    "assessor": "assessors/assessor",
    "resource": "resources/resource",
}


class Items:
    """Answers GET of lists and of single items."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def table(self, request: Request, address: Address) -> Response:
        """Return the items of a kind: of the site, or below an item; filtered by any column given as a parameter.

        Source: ProjectListResource, ProjectSubjectList, ExperimentListResource, ProjSubExptList, ScanList,
        QueryOrganizerResource.
        """
        kind = address.collection
        rows = [self.row(item) for item in self._below(request, address)]
        asked = [_short(c) for c in request.query_params.get("columns", "").split(",") if c]
        known = {*COLUMNS[kind], *MORE_COLUMNS, "URI", "xsiType", "label", "ID", "project"}
        columns = [c for c in dict.fromkeys(asked) if c in known] or list(COLUMNS[kind])
        if asked and "URI" not in columns:
            columns.append("URI")
        for key, wanted in request.query_params.items():
            if _short(key) in known and (key != "format"):
                rows = [row for row in rows if _matches(row.get(_short(key), ""), wanted)]
        return table(request, columns, rows=rows, title=f"{kind.capitalize()}s")

    def _below(self, request: Request, address: Address) -> list[Item]:
        store, user, kind = self._site.store, caller(request), address.collection
        if not address.steps:
            found = store.every(kind)
        else:
            above = find_item(self._site, user, steps=address.steps)
            is_project = above.kind == "project" and kind == "experiment"
            found = store.every(kind, project=above) if is_project else store.children(kind, above)
        asked = request.query_params.get("permissions")
        right: Right = "delete" if asked == "delete" else "edit" if asked == "edit" else "read"
        return [item for item in found if self._site.guard.may(user, right, item=item)]

    def row(self, item: Item) -> Mapping[str, str]:
        """Return every column known of an item; all values are text."""
        project, above = self._site.store.get(item.project), self._site.store.get(item.parent)
        subject = above if above and above.kind == "subject" else None
        uid = item.fields.get("UID", "")
        return {
            **item.fields,
            "ID": item.ident,
            "label": item.label,
            "name": item.fields.get("name", "") or item.ident,
            "project": project.ident if project else "",
            "xsiType": item.xsi,
            "UID": uid,
            "studyInstanceUID": uid,
            "subject_ID": subject.ident if subject else "",
            "subject_label": subject.label if subject else "",
            "session_ID": above.ident if above and item.kind == "assessor" else "",
            "session_label": above.label if above and item.kind == "assessor" else "",
            "xnat_imagescandata_id": str(item.id),
            "URI": uri(self._site, item),
        }

    def show(self, request: Request, item: Item) -> Response:
        """Return one item, as XML unless JSON is asked for."""
        if variant(request, ("xml", "json", "html")) == "json":
            return Response(json.dumps({"items": [self.tree(item)]}), media_type="application/json")
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?>\n{self._xml(item, is_root=True)}', media_type="text/xml"
        )

    def tree(self, item: Item) -> dict[str, object]:
        """Return an item with its children as XNAT's item JSON."""
        children = []
        kinds = (*CHILDREN.get(item.kind, ()), "resource")
        for kind in kinds:
            below = self._site.store.children(kind, item)
            if below:
                field = "file" if kind == "resource" and item.kind == "scan" else FIELD_OF[kind]
                children.append({"field": field, "items": [self.tree(child) for child in below]})
        meta = {"xsi:type": item.xsi, "isHistory": False, "start_date": item.fields.get("insert_date", "")}
        return {"children": children, "meta": meta, "data_fields": self._data(item)}

    def _data(self, item: Item) -> dict[str, str]:
        if item.kind == "resource":
            own = {"xnat_abstractresource_id": str(item.id), "label": item.label}
        else:
            project = self._site.store.get(item.project)
            own = {"ID": item.ident, "label": item.label, "project": project.ident if project else ""}
            above = self._site.store.get(item.parent)
            own |= {"subject_ID": above.ident} if above and item.kind == "experiment" else {}
            own |= {"name": item.fields.get("name", "") or item.ident} if item.kind == "project" else {}
        return {k: v for k, v in {**item.fields, **own}.items() if v}

    def _xml(self, item: Item, *, is_root: bool = False) -> str:
        data = self._data(item)
        spaces = ' xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        keys = [k for k in ("ID", "project", "label", "UID", "type") if k in data]
        head = "".join(f' {k}="{escape(data[k])}"' for k in keys)
        body = "".join(f"<xnat:{k}>{escape(v)}</xnat:{k}>" for k, v in data.items() if k not in keys)
        body += "".join(
            f"<xnat:{kind}s>{''.join(map(self._xml, below))}</xnat:{kind}s>"
            for kind in (*CHILDREN.get(item.kind, ()), "resource")
            if (below := self._site.store.children(kind, item))
        )
        name = _element(item)
        return f'<xnat:{name}{spaces if is_root else ""}{head} xsi:type="{escape(item.xsi)}">{body}</xnat:{name}>'


def _element(item: Item) -> str:
    if item.kind == "experiment":
        name = item.xsi.partition(":")[2].removesuffix("Data")
        return "MRSession" if name == "mrSession" else name[:1].upper() + name[1:]
    return item.kind if item.kind in {"scan", "resource", "assessor"} else item.kind.capitalize()


def _short(column: str) -> str:
    """Return the short name of a column; ``xnat:mrSessionData/UID`` is UID (XMLPathShortcuts)."""
    return column.rpartition("/")[2]


def _matches(value: str, wanted: str) -> bool:
    """Exact text, ``*`` or ``%`` as wildcards, a comma as OR (QueryOrganizerResource)."""
    for choice in wanted.split(","):
        parts = choice.replace("%", "*").split("*")
        if len(parts) == 1 and value == choice:
            return True
        if len(parts) > 1 and value.startswith(parts[0]) and value.endswith(parts[-1]):
            return all(part in value for part in parts)
    return False
