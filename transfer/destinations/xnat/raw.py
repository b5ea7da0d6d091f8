"""Captures as files of a scan's resource. One part = one file; nothing is believed before it is seen in the archive."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from transfer.destinations import Body, Proof, Stored
from transfer.destinations.errors import Missing, NotHeld
from transfer.destinations.proving import prove_each
from transfer.destinations.xnat.client import XnatClient, XnatSettings

_NOT_FOUND, _CONFLICT = 404, 409
_JSON = {"format": "json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class XnatFacts:
    """What a probe must have seen before the relay relies on it. The defaults are the most careful."""

    digest: bool = False
    """The listed MD5 is of the stored bytes, also after overwriting."""
    refresh_fills: bool = False
    """``refresh/catalog`` lists a right MD5 where there was none, or leaves a right one."""
    refresh_recomputes: bool = False
    """It was seen to take the MD5 of bytes that had changed on the archive's disk."""


class XnatRaw:
    """The RawArchive port on XNAT."""

    _client: XnatClient
    _settings: XnatSettings
    _known: Callable[[str], Mapping[str, Any] | None]
    """What a probe of a `server` found, if there was one."""

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

    def places(self, *, project: str, session: str, scan: str | None) -> list[str]:
        """Return the relay's resources of the session, by its label, id or Study Instance UID, and of its scans.

        The experiment is asked for first, as in `open_place`; then each scan for its resources.
        """
        base = f"/data/projects/{quote(project, safe='')}/experiments"
        if "." in session:  # no label has one (XftStringUtils)
            rows = self._client.rows(base, {"columns": "ID,UID", "UID": session})
            session = next((row["ID"] for row in rows if row.get("UID") == session), session)
        path = f"{base}/{quote(session, safe='')}"
        answer = self._client.request("GET", path, accept=(200, _NOT_FOUND), params=_JSON)
        if answer.status_code == _NOT_FOUND:
            raise Missing(f"{self._settings.name} has no such session in that project, or hides it from the relay.")
        item = answer.json()["items"][0]
        base = f"/data/experiments/{item['data_fields']['ID']}"
        scans = [found["ID"] for found in scans_of(item)]
        if scan is not None and scan not in scans:
            raise Missing(f"The session has no scan {scan}; it has: {', '.join(scans) or 'none'}.")
        wanted = [
            *([base] if scan is None else []),
            *(f"{base}/scans/{quote(s, safe='')}" for s in scans if scan in {None, s}),
        ]
        return [
            f"{owner}/resources/{row['label']}"
            for owner in wanted
            for row in self._client.rows(f"{owner}/resources")
            if row["label"] == self._settings.resource
        ]

    def listing(self, place: str) -> dict[str, Stored]:
        """Return the resource's files by their path in it; sizes and digests are the catalog's."""
        found: dict[str, Stored] = {}
        for row in self._client.rows(f"{place}/files"):
            name = row["URI"].partition("/files/")[2]
            found[name] = Stored(size=int(row["Size"] or -1), md5=(row.get("digest") or "").lower() or None)
        return found

    def put(self, place: str, name: str, body: Body, *, progress: Callable[[], None] = lambda: None) -> None:
        """Send one file with overwrite: without it a leftover would be answered with 200 and kept."""
        answer = self._client.send("PUT", f"{place}/files/{name}", body, fields={}, params={"overwrite": "true"})
        if b"duplicates" in answer.content:
            raise NotHeld(f"The archive kept what it had instead of {name}; the relay looks and tries again.")
        progress()

    def prove(self, place: str, files: Mapping[str, Body], *, afresh: bool = False) -> dict[str, Proof]:
        """Compare the archive's own MD5 and length where a probe showed what that MD5 is worth, else read back.

        A listed MD5 was taken when the file was stored (CatalogUtils#getEntryDetails). ``refresh/catalog`` takes it
        anew from the disk (DefaultCatalogService#_refreshCatalog); it is asked where the site keeps no MD5, and for a
        fresh proof.
        """
        facts, listed = self._facts(), self.listing(place)
        has_blank = any(name in listed and listed[name].md5 is None for name in files)
        is_refreshed = facts.refresh_recomputes if afresh else facts.refresh_fills and has_blank
        if is_refreshed:
            resource = place.replace("/data/", "/archive/", 1)
            options = {"resource": resource, "options": "checksum"}
            self._client.request("POST", "/data/services/refresh/catalog", params=options)
            listed = self.listing(place)
        is_trusted = is_refreshed or (facts.digest and not afresh)
        return prove_each(
            files,
            lambda name, body: self._proof(place, name, body, listed=listed.get(name), is_trusted=is_trusted),
        )

    @contextmanager
    def read(self, place: str, name: str) -> Iterator[Iterator[bytes]]:
        """Open one file for reading back."""
        try:
            with self._client.stream(f"{place}/files/{name}") as blocks:
                yield blocks
        except Missing as error:
            raise NotHeld(f"The archive has no file {name} at the place it was sent to.") from error

    def _facts(self) -> "XnatFacts":
        """Return what a probe of this very version at this address found; without one nothing is taken for granted."""
        known = self._known(self.server()) or {}
        return XnatFacts(**{name: bool(known.get(name)) for name in XnatFacts.__slots__})

    def server(self) -> str:
        """Return the kind, version and address of what answers (SiteConfigApi, buildInfo)."""
        return f"XNAT {self._client.version()} at {self._settings.url.rstrip('/')}"

    def _proof(self, place: str, name: str, body: Body, *, listed: Stored | None, is_trusted: bool) -> Proof:
        if listed is None:
            raise NotHeld(f"The archive does not list {name}; it is sent again.")
        path = f"{place}/files/{name}"
        try:
            if int(self._client.request("HEAD", path).headers.get("content-length", -1)) != body.size:
                raise NotHeld(f"The archive holds {name} with another length; it is sent again.")
            if is_trusted and listed.md5 is not None:
                if listed.md5 != body.md5:
                    raise NotHeld(f"The archive holds other bytes under {name}; it is sent again.")
                return Proof(digest=f"md5:{body.md5}", how="the archive's own MD5 over the stored file, and its length")
            if self._client.sha256(path) != body.sha256:
                raise NotHeld(f"The archive gives back other bytes for {name}; it is sent again.")
        except Missing as error:
            raise NotHeld(f"The archive lists {name} and does not have it; it is sent again.") from error
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
