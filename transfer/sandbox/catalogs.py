"""A resource's catalog: an XML file beside the stored files, read and rewritten as CatalogUtils does."""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from starlette.exceptions import HTTPException

_CAT = "http://nrg.wustl.edu/catalog"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(slots=True, kw_only=True)
class Entry:
    """One catalogued file. ``name`` is its path below the resource, ``instance_uid`` a DICOM file's SOP UID."""

    name: str
    size: int = 0
    digest: str = ""
    format: str = ""
    content: str = ""
    tags: str = ""
    instance_uid: str = ""


@dataclass(slots=True)
class Catalog:
    """The catalog of one resource as it was read, and the MD5 of the file it was read from."""

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    md5: str = ""
    series_uid: str = ""


class Catalogs:
    """Reads and rewrites catalogs.

    The lock guards one read or one rewrite, never both together: a catalog changed in between makes the second
    writer fail (trap 4; CatalogUtils$CatalogData, #writeCatalogToFile).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def read(self, folder: Path) -> Catalog:
        """Return the catalog of a resource folder; an empty one where none was written yet."""
        path = folder / "_catalog.xml"
        with self._lock:
            raw = path.read_bytes() if path.exists() else b""
        catalog = Catalog(path, md5=hashlib.md5(raw, usedforsecurity=False).hexdigest())
        if raw:
            root = ET.fromstring(raw)  # noqa: S314 -- the sandbox wrote it itself
            catalog.series_uid = root.get("UID", "")
            for entry in map(_entry, root.iter(f"{{{_CAT}}}entry")):
                catalog.entries[entry.name] = entry
        return catalog

    def write(self, catalog: Catalog) -> None:
        """Rewrite a catalog in place.

        Raises:
            HTTPException: 500, it is not the file that was read any more.
        """
        with self._lock:
            raw = catalog.path.read_bytes() if catalog.path.exists() else b""
            if hashlib.md5(raw, usedforsecurity=False).hexdigest() != catalog.md5:
                raise HTTPException(500, "java.util.ConcurrentModificationException: the catalog file was changed.")
            catalog.path.parent.mkdir(parents=True, exist_ok=True)
            written = to_xml(catalog).encode()
            catalog.path.write_bytes(written)
            catalog.md5 = hashlib.md5(written, usedforsecurity=False).hexdigest()


def to_xml(catalog: Catalog) -> str:
    """Return the catalog as XNAT serves it; a DICOM scan's is a DCMCatalog with the series UID."""
    kind = "DCMCatalog" if catalog.series_uid else "Catalog"
    uid = f" UID={quoteattr(catalog.series_uid)}" if catalog.series_uid else ""
    entries = "".join(map(_to_xml, catalog.entries.values()))
    head = f'<cat:{kind}{uid} xmlns:cat="{_CAT}" xmlns:xsi="{_XSI}"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}>\n<cat:entries>\n{entries}</cat:entries>\n</cat:{kind}>\n'


def within(catalog: Catalog, path: str) -> Iterable[Entry]:
    """Yield the entries a DELETE means: every name that *begins* with the path, or matches ``path*``.

    Source: CatalogUtils#findCatEntriesWithinPath (trap 5).
    """
    prefix = path.removesuffix("*")
    return [entry for name, entry in catalog.entries.items() if name.startswith(prefix)]


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes on disk, lower-case hex (CatalogUtils#getHash)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _entry(node: ET.Element) -> Entry:
    return Entry(
        name=node.get("URI", ""),
        size=int(node.get("size", "0")),
        digest=node.get("digest", ""),
        format=node.get("format", ""),
        content=node.get("content", ""),
        tags=node.get("tags", ""),
        instance_uid=node.get("UID", ""),
    )


def _to_xml(entry: Entry) -> str:
    values = {
        "URI": entry.name,
        "ID": entry.name,
        "name": entry.name.rpartition("/")[2],
        "size": str(entry.size),
        "digest": entry.digest,
        "format": entry.format,
        "content": entry.content,
        "tags": entry.tags,
        "UID": entry.instance_uid,
    }
    kind = ' xsi:type="cat:dcmEntry"' if entry.instance_uid else ""
    shown = "".join(f" {key}={quoteattr(value)}" for key, value in values.items() if value)
    return f"<cat:entry{kind}{shown}/>\n"
