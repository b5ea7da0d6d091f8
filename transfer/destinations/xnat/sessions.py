"""DICOM sessions into XNAT: the import service, the prearchive, and what the archive then says it holds."""

import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from dicom.bulk import Bulk, bulk_of
from transfer.destinations import Body
from transfer.destinations.errors import DestinationDown, NotHeld, NotTaken
from transfer.destinations.imaging import Labels, Stand, Whereabouts
from transfer.destinations.xnat.client import XnatClient, XnatSettings
from transfer.destinations.xnat.raw import scans_of

_READ_TRIES = 3
_JSON = {"format": "json"}
_SAFE = "The images are safe in the spool."
_STUCK = frozenset({"CONFLICT", "ERROR"})
_ON_ITS_WAY = frozenset({"ARCHIVING", "QUEUED_ARCHIVING", "BUILDING", "QUEUED_BUILDING"})
"""PrearcUtils; a leading underscore is a lock."""
_STANDS = {"READY": Stand.WAITS, "RECEIVING": Stand.OPEN, **dict.fromkeys(_STUCK, Stand.STUCK)}


class XnatSessions:
    """The DicomArchive port on XNAT."""

    _client: XnatClient
    _settings: XnatSettings

    def follow(self, place: str, labels: Labels) -> Whereabouts:
        """Ask for the place itself: the prearchive says how it stands, the archive what it is called there.

        What a person archives leaves the prearchive without a word of where to, and what a commit archives may be
        called otherwise by then. So it is looked for in its project by its label, then by its UID; what it holds is
        proved all the same.
        """
        is_waiting = "/prearchive/" in place
        there = self._waiting(place) if is_waiting else self._merging(labels) or self._experiment(place)
        return there or self._archived(place, labels) or Whereabouts(stand=Stand.GONE)

    def search(self, labels: Labels, *, date: str | None, scanner: str | None) -> str | None:
        """Look by UID (XMLPathShortcuts), then by label, where date and scanner must not say otherwise."""
        if found := self._by_uid(labels):
            return found
        item = self._item(f"/data/projects/{labels.project}/experiments/{quote(labels.session, safe='')}")
        if item is None:
            return None
        fields = item["data_fields"]
        told = {"date": date and f"{date[:4]}-{date[4:6]}-{date[6:8]}", "scanner": scanner}
        is_same = all(not said or fields.get(key) in {None, "", said} for key, said in told.items())
        return str(fields["ID"]) if is_same and any(fields.get(k) for k, said in told.items() if said) else None

    def scripts(self, project: str) -> tuple[bool, bool]:
        """Return whether the site and whether the project anonymise incoming images (AnonymizeApi)."""
        base = "/xapi/anonymize"
        site = self._client.request("GET", f"{base}/site/enabled")
        own = self._client.request("GET", f"{base}/projects/{project}/enabled")
        return site.text.strip() == "true", own.text.strip() == "true"

    def sop_uids(self, experiment: str) -> frozenset[str]:
        """Return the UIDs of the DICOM catalogs' entries (cat:dcmEntry)."""
        return frozenset(uid for scan in self._scans(experiment) for uid in self._entries(experiment, scan))

    def images(self, experiment: str, *, scratch: Path) -> Iterator[Bulk]:
        """Read every DICOM file back; XNAT rewrites headers, never pixels, unless a script of the site does."""
        for scan in self._scans(experiment):
            base = f"/data/experiments/{experiment}/scans/{quote(scan, safe='')}/resources/DICOM/files"
            for row in self._client.rows(base):
                yield self._shown(f"{base}/{row['URI'].partition('/files/')[2]}", scratch)

    def import_zip(self, body: Body, labels: Labels) -> str | None:
        """Send a zip to the DICOM-zip importer, without a destination: it waits in the prearchive (Importer).

        The labels go as form fields, not in the URL, which proxies log. 400 is the importer's answer to everything
        (GradualDicomImporter#call): a session locked for now, no room, an image it cannot read.
        """
        fields = {
            "import-handler": "DICOM-zip",
            "project": labels.project,
            "subject": labels.subject,
            "session": labels.session,
            "overwrite": "append",
            "overwrite_files": "true",
            "prevent_auto_commit": "true",
            "SOURCE": "kspace-relay",
        }
        answer = self._client.send("POST", "/data/services/import", body, fields=fields, accept=(200, 400, 409))
        if answer.status_code != HTTPStatus.OK:
            raise NotTaken(
                f"The importer of {self._settings.name} did not take a series (status {answer.status_code}): the "
                f"session is locked there, it has no room, or it cannot read an image. {_SAFE} It is sent again."
            )
        return next(iter(answer.text.split()), None)

    def finish(self, place: str, *, archive: bool | None, again: bool = False) -> str:
        """Commit the prearchive session; 301 means archived, and its body says where (PrearcSessionResource).

        500 is the answer to a conflict as to any failure: the session's status tells them apart, now and when followed.
        """
        if "/prearchive/" not in place:
            return place
        is_auto = self._settings.auto_archive if archive is None else archive
        params = {"action": "commit", "AA": "true" if is_auto else "false", "overwrite": "append"}
        params |= {"overwrite_files": "true"} if again else {}
        answer = self._client.request("POST", place, accept=(200, 301, 409, 500), params=params)
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.MOVED_PERMANENTLY}:
            stands = self._waiting(place)
            if stands is not None and stands.stand is Stand.STUCK:
                return place
            raise NotTaken(
                f"{self._settings.name} did not archive the session (status {answer.status_code}): somebody works on "
                f"it there. {_SAFE} The relay tries again."
            )
        where = answer.text.split()
        if not where:
            raise DestinationDown("The archive committed the session without saying where; the relay looks again.")
        return where[0]

    def _shown(self, path: str, scratch: Path) -> Bulk:
        """Read one file back; a broken line costs this file, not the session."""
        for left in reversed(range(_READ_TRIES)):
            try:
                # Without a name on Linux, so that a crash leaves nothing behind.
                with tempfile.TemporaryFile(dir=scratch) as copy:
                    with self._client.stream(path) as blocks:
                        copy.writelines(blocks)
                    return bulk_of(copy)
            except DestinationDown:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _waiting(self, place: str) -> Whereabouts | None:
        answer = self._client.request("GET", place, accept=(200, 404, 410), params=_JSON)
        if answer.status_code != HTTPStatus.OK:
            return None
        rows = answer.json()["ResultSet"]["Result"]
        status = str(rows[0].get("status", "")).strip("_") if rows else ""
        return Whereabouts(stand=_STANDS.get(status, Stand.MOVING), said=status)

    def _merging(self, labels: Labels) -> Whereabouts | None:
        """Return how a committed session stands that still is on its way from the prearchive, or stuck there."""
        for row in self._client.rows(f"/data/prearchive/projects/{labels.project}"):
            status = row.get("status", "").strip("_")
            if row.get("tag") == labels.study_uid and status in _ON_ITS_WAY | _STUCK:
                return Whereabouts(stand=Stand.STUCK if status in _STUCK else Stand.MOVING, said=status)
        return None

    def _archived(self, place: str, labels: Labels) -> Whereabouts | None:
        named = dict.fromkeys((place.rstrip("/").rpartition("/")[2], labels.session))
        for label in named:
            path = f"/data/projects/{labels.project}/experiments/{quote(label, safe='')}"
            if (found := self._experiment(path)) is not None:
                return found
        experiment = self._by_uid(labels)
        return self._experiment(f"/data/experiments/{experiment}") if experiment else None

    def _by_uid(self, labels: Labels) -> str | None:
        asked = {"columns": "ID,UID", "UID": labels.study_uid}
        rows = self._client.rows(f"/data/projects/{labels.project}/experiments", asked)
        return next((row["ID"] for row in rows if row.get("UID") == labels.study_uid), None)

    def _experiment(self, path: str) -> Whereabouts | None:
        item = self._item(path)
        if item is None:
            return None
        fields = item["data_fields"]
        experiment, session = str(fields["ID"]), str(fields.get("label", ""))
        rows = self._client.rows(
            f"/data/projects/{fields['project']}/experiments",
            {"columns": "ID,label,subject_label", "ID": experiment},
        )
        subject = next((row.get("subject_label", "") for row in rows if row.get("ID") == experiment), "")
        return Whereabouts(stand=Stand.ARCHIVED, experiment=experiment, subject=subject, session=session)

    def _item(self, path: str) -> dict[str, Any] | None:
        answer = self._client.request("GET", path, accept=(200, 404), params=_JSON)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        item: dict[str, Any] = answer.json()["items"][0]
        return item

    def _scans(self, experiment: str) -> list[str]:
        item = self._client.request("GET", f"/data/experiments/{experiment}", params=_JSON).json()["items"][0]
        return [scan["ID"] for scan in scans_of(item)]

    def _entries(self, experiment: str, scan: str) -> list[str]:
        path = f"/data/experiments/{experiment}/scans/{quote(scan, safe='')}/resources/DICOM"
        answer = self._client.request("GET", path, accept=(200, 404))
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        try:
            catalog = ET.fromstring(answer.content)  # noqa: S314 -- from the archive we are signed in to
        except ET.ParseError as error:
            raise NotHeld(f"The DICOM catalog of scan {scan} cannot be read; it is looked at again.") from error
        return [uid for e in catalog.iter() if e.get("URI") and (uid := e.get("UID"))]
