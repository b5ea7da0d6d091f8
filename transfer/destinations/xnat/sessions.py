"""DICOM sessions into XNAT: the import service, the prearchive, and what the archive then says it holds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from dicom.bulk import bulk_digest
from transfer.destinations import Body
from transfer.destinations.errors import DestinationDown, NotHeld, Refused
from transfer.destinations.xnat.client import XnatClient, XnatSettings
from transfer.destinations.xnat.raw import scans_of

_STUCK = {"CONFLICT", "ERROR"}
_ARCHIVED = 301
_NOT_FOUND = 404
_BLOCK = 1 << 18


class XnatSessions:
    """The DicomArchive port on XNAT."""

    _client: XnatClient
    _settings: XnatSettings

    def find(self, *, project: str, study_uid: str) -> str | None:
        """Look in the archive by UID (XMLPathShortcuts), then whether the prearchive waits for a person."""
        rows = self._client.rows(f"/data/projects/{project}/experiments", {"columns": "ID,UID", "UID": study_uid})
        for row in rows:
            if row.get("UID") == study_uid:
                return row["ID"]
        for row in self._client.rows(f"/data/prearchive/projects/{project}"):
            if row.get("tag") == study_uid and row.get("status", "").strip("_") in _STUCK:
                raise Refused(
                    f"The session waits in the prearchive of project {project} ({row['status']}). The data are safe "
                    "in the spool. Settle it there, then retry."
                )
        return None

    def scripts(self, project: str) -> tuple[bool, bool]:
        """Return whether the site and whether the project anonymise incoming images (AnonymizeApi)."""
        base = "/xapi/anonymize"
        site = self._client.request("GET", f"{base}/site/enabled")
        own = self._client.request("GET", f"{base}/projects/{project}/enabled")
        return site.text.strip() == "true", own.text.strip() == "true"

    def waits(self, place: str) -> bool:
        """Ask for the place itself, in the prearchive or in the archive."""
        answer = self._client.request("GET", place, accept=(200, 404), params={"format": "json"})
        return answer.status_code != _NOT_FOUND

    def sop_uids(self, experiment: str) -> frozenset[str]:
        """Return the UIDs of the DICOM catalogs' entries (cat:dcmEntry)."""
        return frozenset(uid for scan in self._scans(experiment) for uid, _ in self._entries(experiment, scan))

    def bulk_digests(self, experiment: str) -> dict[str, str]:
        """Read every DICOM file back; XNAT rewrites headers, never pixels, unless a script of the site does."""
        digests: dict[str, str] = {}
        for scan in self._scans(experiment):
            base = f"/data/experiments/{experiment}/scans/{scan}/resources/DICOM/files"
            for row in self._client.rows(base):
                with tempfile.NamedTemporaryFile() as copy:
                    with self._client.stream(f"{base}/{row['URI'].partition('/files/')[2]}") as blocks:
                        copy.writelines(blocks)
                    copy.flush()
                    uid, digest = bulk_digest(Path(copy.name))
                digests[uid] = digest
        return digests

    def import_zip(self, zipped: Path, *, project: str, subject: str, session: str) -> str:
        """Send a zip to the DICOM-zip importer, without a destination: it waits in the prearchive (Importer).

        The labels go as form fields, not in the URL, which proxies log.
        """

        def blocks() -> Iterator[bytes]:
            with zipped.open("rb") as handle:
                while block := handle.read(_BLOCK):
                    yield block

        fields = {
            "import-handler": "DICOM-zip",
            "project": project,
            "subject": subject,
            "session": session,
            "overwrite": "append",
            "overwrite_files": "true",
            "prevent_auto_commit": "true",
            "SOURCE": "kspace-relay",
        }
        body = Body(size=zipped.stat().st_size, md5="", sha256="", blocks=blocks, suffix=".zip")
        answer = self._client.send("POST", "/data/services/import", body, fields=fields)
        place = answer.text.split()
        if not place:
            raise Refused("The archive took the images and kept none: a filter there refuses this series.")
        return place[0]

    def finish(self, place: str) -> str:
        """Commit the prearchive session; 301 means archived, and its body says where (PrearcSessionResource)."""
        if "/prearchive/" not in place:
            return place
        params = {"action": "commit"} | ({"AA": "true"} if self._settings.auto_archive else {})
        answer = self._client.request("POST", place, accept=(200, _ARCHIVED), params=params)
        where = answer.text.split()
        if not where:
            raise DestinationDown("The archive committed the session without saying where; the relay looks again.")
        return where[0]

    def _scans(self, experiment: str) -> list[str]:
        item = self._client.request("GET", f"/data/experiments/{experiment}", params={"format": "json"}).json()[
            "items"
        ][0]
        return [scan["ID"] for scan in scans_of(item)]

    def _entries(self, experiment: str, scan: str) -> list[tuple[str, str]]:
        path = f"/data/experiments/{experiment}/scans/{scan}/resources/DICOM"
        answer = self._client.request("GET", path, accept=(200, 404))
        if answer.status_code == _NOT_FOUND:
            return []
        try:
            catalog = ET.fromstring(answer.content)  # noqa: S314 -- from the archive we are signed in to
        except ET.ParseError as error:
            raise NotHeld(f"The DICOM catalog of scan {scan} cannot be read; it is looked at again.") from error
        return [(e.get("UID", ""), e.get("URI", "")) for e in catalog.iter() if e.get("UID") and e.get("URI")]
