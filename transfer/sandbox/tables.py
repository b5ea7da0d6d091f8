"""How XNAT answers: ResultSet tables as JSON, CSV, XML or HTML, and HTML status pages."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

_Row = Mapping[str, str]

_VARIANTS = {"application/json": "json", "text/csv": "csv", "text/xml": "xml", "application/xml": "xml"}
_RFC = "http://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html"
_RESTLET_WORDS = {
    404: "The server has not found anything matching the request URI",
    405: "The method specified in the request is not allowed for the resource identified by the request URI",
    406: "The resource identified by the request is only capable of generating other kinds of entities",
}


def table(request: Request, columns: Sequence[str], *, rows: Sequence[_Row], title: str = "") -> Response:
    """Return a list in the format the caller asked for; every value is text, null is "".

    Source: JSONTableRepresentation, XFTTable#toJSON.
    """
    rows = [{c: row.get(c, "") for c in columns} for row in _ordered(request, rows)]
    is_page = "limit" in request.query_params
    if is_page:
        start = number(request, "offset")
        rows = rows[start : start + number(request, "limit")]
    kind = variant(request, ("json", "csv", "xml", "html"))
    if kind == "csv":
        return Response(_csv(columns, rows), media_type="text/csv")
    if kind == "json":
        shown = {"Columns": [{"key": c} for c in columns], "Result": rows, "title": title}
        if not is_page:
            shown["totalRecords"] = str(len(rows))
        return Response(json.dumps({"ResultSet": shown}), media_type="application/json")
    if kind == "xml":
        return Response(_xml(columns, rows, title=title), media_type="text/xml")
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row.values()) + "</tr>" for row in rows)
    return HTMLResponse(f"<html><body><table><tr>{head}</tr>{body}</table></body></html>")


def variant(request: Request, offered: Sequence[str]) -> str:
    """Return which of the offered formats is wanted: ``format=`` beats ``Accept``, else the first.

    Raises:
        HTTPException: 406, nothing in ``Accept`` is offered (Restlet 1.1 Resource#handleGet).
    """
    asked = request.query_params.get("format")
    if asked and asked in offered:
        return asked
    accepted = [part.split(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")]
    if any(a in {"", "*/*"} for a in accepted):
        return offered[0]
    known = {**_VARIANTS, "text/html": "html"}
    for name in accepted:
        if known.get(name) in offered:
            return known[name]
    raise HTTPException(406, "Not Acceptable")


def status_page(status: int, message: str) -> HTMLResponse:
    """Return an error as XNAT shows it: a status page from Restlet, a container page for 401 and 403.

    Source: com.noelios.restlet StatusFilter; Spring and Tomcat pages begin with a doctype.
    """
    known = message and message != HTTPStatus(status).phrase
    text = escape(message if known else _RESTLET_WORDS.get(status, HTTPStatus(status).description))
    if status in {401, 403}:
        html = f'<!doctype html><html lang="en"><head><title>HTTP Status {status}</title></head><body><h1>HTTP Status {status}</h1><h3>{text}</h3></body></html>'  # noqa: E501
    else:
        details = f'<p>You can get technical details <a href="{_RFC}">here</a>.<br>\n</p>'
        head = "<html>\n<head>\n   <title>Status page</title>\n</head>\n"
        html = f"{head}<body>\n<h3>{text}</h3>{details}\n</body>\n</html>\n"
    return HTMLResponse(html, status_code=status)


def plain(text: str = "", status: int = 200, **headers: str) -> Response:
    """Return plain text, as XNAT does after most writes."""
    return PlainTextResponse(text, status_code=status, headers=headers)


def number(request: Request, name: str, *, default: int = 0) -> int:
    """Return a query parameter that counts something.

    Raises:
        HTTPException: 400, it is no number.
    """
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise HTTPException(400, f"{name}: not a number.")
    return int(value)


def flag(value: str | None, *, default: bool = False) -> bool:
    """Return what a query flag means: anything but ``false`` and ``0`` is yes (SecureResource)."""
    return default if value is None else value.lower() not in {"false", "0"}


def _ordered(request: Request, rows: Sequence[_Row]) -> Iterable[_Row]:
    by = request.query_params.get("sortBy")
    if not by:
        return rows
    falling = request.query_params.get("sortOrder", "").upper() == "DESC"
    return sorted(rows, key=lambda row: row.get(by, ""), reverse=falling)


def _csv(columns: Sequence[str], rows: Iterable[_Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _xml(columns: Sequence[str], rows: Iterable[_Row], *, title: str) -> str:
    head = "".join(f"<column>{escape(c)}</column>" for c in columns)
    body = "".join("<row>" + "".join(f"<cell>{escape(v)}</cell>" for v in row.values()) + "</row>" for row in rows)
    results = f"<results><columns>{head}</columns><rows>{body}</rows></results>"
    return f'<ResultSet title="{escape(title)}">{results}</ResultSet>'
