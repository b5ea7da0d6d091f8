"""Captures as files of a scan's resource. One part = one file; nothing is believed before it is seen in the archive."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from transfer.destinations import Body, Proof, Stored
from transfer.destinations.errors import Missing, NotHeld
from transfer.destinations.xnat.client import XnatClient, XnatSettings

_CONFLICT = 409
_JSON = {"format": "json"}


class XnatRaw:
    """The RawArchive port on XNAT."""

    _client: XnatClient
    _settings: XnatSettings

    def open_place(self, *, project: str, experiment: str, series_uid: str | None) -> str:
        """Return the resource's path below the scan of the series, or below the session.

        The experiment is asked for first: listings below an unknown one fall back to its project's (XNATTemplate).
        Creating the resource also shows the edit right, which a file upload does not (FileList#handlePost).
        """
        path = f"/data/experiments/{experiment}"
        item = self._client.request("GET", path, params=_JSON).json()["items"][0]
        if item["data_fields"].get("project") != project:
            raise Missing(f"Session {experiment} is not in project {project} any more; retry once it is settled there.")
        if series_uid is not None:
            path += f"/scans/{quote(_scan_of(item, series_uid), safe='')}"
        place = f"{path}/resources/{self._settings.resource}"
        # 409: it is there already, which is as good.
        self._client.request("PUT", place, accept=(200, 201, _CONFLICT), params={"format": "TWIX", "content": "RAW"})
        return place

    def listing(self, place: str) -> dict[str, Stored]:
        """Return the resource's files by their path in it; sizes and digests are the catalog's."""
        found: dict[str, Stored] = {}
        for row in self._client.rows(f"{place}/files"):
            name = row["URI"].partition("/files/")[2]
            found[name] = Stored(size=int(row["Size"] or -1), md5=row.get("digest") or None)
        return found

    def put(self, place: str, name: str, body: Body) -> None:
        """Send one file with overwrite: without it a leftover would be answered with 200 and kept."""
        answer = self._client.send("PUT", f"{place}/files/{name}", body, fields={}, params={"overwrite": "true"})
        if b"duplicates" in answer.content:
            raise NotHeld(f"The archive kept what it had instead of {name}; the relay looks and tries again.")

    def prove(self, place: str, files: Mapping[str, Body]) -> dict[str, Proof]:
        """Compare the archive's own MD5 and length; where it has no MD5, ask for it, else read back and hash."""
        listed = self.listing(place)
        if any(name in listed and listed[name].md5 is None for name in files):
            resource = place.replace("/data/", "/archive/", 1)
            options = {"resource": resource, "options": "checksum"}
            self._client.request("POST", "/data/services/refresh/catalog", params=options)
            listed = self.listing(place)
        return {name: self._proof(place, name, body, listed.get(name)) for name, body in files.items()}

    @contextmanager
    def read(self, place: str, name: str) -> Iterator[Iterator[bytes]]:
        """Open one file for reading back."""
        try:
            with self._client.stream(f"{place}/files/{name}") as blocks:
                yield blocks
        except Missing as error:
            raise NotHeld(f"The archive has no file {name} at the place it was sent to.") from error

    def _proof(self, place: str, name: str, body: Body, listed: Stored | None) -> Proof:
        if listed is None:
            raise NotHeld(f"The archive does not list {name}; it is sent again.")
        answer = self._client.request("HEAD", f"{place}/files/{name}")
        if int(answer.headers.get("content-length", -1)) != body.size:
            raise NotHeld(f"The archive holds {name} with another length; it is sent again.")
        if listed.md5 is not None:
            if listed.md5.lower() != body.md5:
                raise NotHeld(f"The archive holds other bytes under {name}; it is sent again.")
            return Proof(digest=f"md5:{body.md5}", how="the archive's own MD5 over the stored file, and its length")
        digest = sha256()
        with self.read(place, name) as blocks:
            for block in blocks:
                digest.update(block)
        if digest.hexdigest() != body.sha256:
            raise NotHeld(f"The archive gives back other bytes for {name}; it is sent again.")
        return Proof(digest=f"sha256:{body.sha256}", how="read back from the archive and hashed")


def scans_of(item: dict[str, Any]) -> list[dict[str, str]]:
    """Return the data fields of every scan in a session's item."""
    return [
        scan["data_fields"]
        for child in item.get("children", ())
        if child.get("field") == "scans/scan"
        for scan in child.get("items", ())
    ]


def _scan_of(item: dict[str, Any], series_uid: str) -> str:
    for scan in scans_of(item):
        if scan.get("UID") == series_uid:
            return scan["ID"]
    raise Missing("The archived session has no scan of this series. The data are safe in the spool; see the session.")
