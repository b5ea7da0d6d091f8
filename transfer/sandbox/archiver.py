"""From the prearchive into the archive: when it is allowed, what merges, what is written.

Source: PrearcSessionArchiver#checkForConflicts.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from transfer.sandbox.catalogs import Catalogs, Entry
from transfer.sandbox.dicomfile import hashed_uid, label_of, remapped
from transfer.sandbox.settings import Project
from transfer.sandbox.site import Site
from transfer.sandbox.store import Item
from transfer.sandbox.uploads import count_files

Options = Mapping[str, str]


class Conflict(Exception):
    """The session cannot be archived as it stands; it stays in the prearchive."""


def is_auto(site: Site, session: Item) -> bool:
    """Return whether a session goes on by itself: the project's prearchive code is 4 or 5 (PrearchiveCode)."""
    project = site.store.find("project", session.ident.partition("/")[0])
    return project is not None and project.fields.get("prearchive_code") in {"4", "5"}


class Archiver:
    """Moves sessions. Instances of a waiting session are rows of kind ``instance`` below it."""

    def __init__(self, site: Site, catalogs: Catalogs) -> None:
        self._site, self._catalogs = site, catalogs

    def instances(self, session: Item) -> list[dict[str, str]]:
        """Return what is known of each instance of a waiting session."""
        return [item.fields for item in self._site.store.children("instance", session)]

    def forget(self, session: Item) -> None:
        """Forget a waiting session; its files are the caller's to move or remove."""
        self._site.store.remove(session)

    def start(self, session: Item, options: Options) -> str:
        """Archive a session now, or after the site's delay; return the URI it has, or will have, in the archive.

        Raises:
            Conflict: it may not be archived.
        """
        self._site.watch(options)
        with self._site.store.lock:
            self._rename(session)
            existing = self._check(session, options)
            if existing and options.get("overwrite") == "delete":
                self._clear(existing)
            if self._site.archive_delay_s:
                due = str(self._site.guard.now() + self._site.archive_delay_s)
                session.fields |= {"status": "ARCHIVING", "due": due}
                self._site.store.save(session)
            else:
                self.archive(session)
            project, *_ = session.ident.split("/")
            subject = label_of(session.fields["subject"])
            return f"/data/archive/projects/{project}/subjects/{subject}/experiments/{session.label}"

    def archive(self, session: Item) -> None:
        """Archive a session at once."""
        project = self._site.store.find("project", session.ident.partition("/")[0])
        if project is None:
            raise Conflict("The session's project does not exist.")
        label = label_of(session.fields["subject"])
        subject = self._site.store.find("subject", label, parent=project)
        subject = subject or self._add(project, "subject", label=label, xsi="xnat:subjectData")
        target = self._site.store.find("experiment", session.label, parent=subject)
        target = target or self._add(subject, "experiment", label=session.label, xsi=session.xsi)
        kept = json.loads(session.fields["session"])
        if self._settings(session).remaps_uids:
            kept["UID"] = hashed_uid(kept["UID"])
        target.fields = {**kept, **{k: v for k, v in target.fields.items() if v}}
        self._site.store.save(target)
        series = defaultdict(list)
        for fields in self._scripted(session, self.instances(session)):
            series[fields["series_uid"]].append(fields)
        for instances in series.values():
            self._scan(session, target, instances=instances)
        self.forget(session)
        shutil.rmtree(self._site.folder(session), ignore_errors=True)

    def _settings(self, session: Item) -> Project:
        return self._site.project(session.ident.partition("/")[0])

    def _rename(self, session: Item) -> None:
        template = self._settings(session).renames
        if template is not None and not session.fields.get("renamed"):
            session.label = template.format(label=session.label)
            session.fields["renamed"] = "true"
            self._site.store.save(session)

    def _scripted(self, session: Item, instances: list[dict[str, str]]) -> list[dict[str, str]]:
        """Run the project's script over the waiting files: it may reject objects and give UIDs anew."""
        settings, folder = self._settings(session), self._site.folder(session)
        left = [f for f in instances if not any(re.search(p, f["description"]) for p in settings.loses)]
        return [remapped(folder, f) for f in left] if settings.remaps_uids else left

    def _add(self, parent: Item, kind: str, *, label: str, xsi: str) -> Item:
        ident = self._site.store.accession(kind, kind[0].upper())
        return self._site.store.add(
            kind, parent, ident=ident, label=label, xsi=xsi, insert_date=self._site.guard.stamp()
        )

    def _scan(self, session: Item, target: Item, *, instances: list[dict[str, str]]) -> None:
        first = instances[0]
        scans = self._site.store.children("scan", target)
        scan = next((s for s in scans if s.fields.get("UID") == first["series_uid"]), None)
        if scan is None:
            known = {"UID": first["series_uid"], "type": first["description"], "modality": first["modality"]}
            known |= {"series_description": first["description"], "quality": "usable"}
            ident = _free_id({s.ident for s in scans}, first)
            xsi = session.xsi.replace("Session", "Scan")
            scan = self._site.store.add("scan", target, ident=ident, label="", xsi=xsi, **known)
        found = [r for r in self._site.store.children("resource", scan) if r.label == "DICOM"]
        about = {"format": "DICOM", "content": "RAW"}
        resource = (
            found[0]
            if found
            else self._site.store.add("resource", scan, ident="", label="DICOM", xsi="xnat:resourceCatalog", **about)
        )
        self._store(self._site.folder(session), resource, instances=instances)
        scan.fields["frames"] = resource.fields["file_count"]
        self._site.store.save(scan)

    def _store(self, waiting: Path, resource: Item, *, instances: list[dict[str, str]]) -> None:
        folder = self._site.folder(resource)
        folder.mkdir(parents=True, exist_ok=True)
        catalog = self._catalogs.read(folder)
        catalog.series_uid = instances[0]["series_uid"]
        for fields in instances:
            name = f"{fields['sop_uid']}.dcm"
            path = folder / name
            if (waiting / name).exists():
                (waiting / name).replace(path)
            digest = self._site.digest(path) if self._site.checksums else ""
            uid, size = fields["sop_uid"], path.stat().st_size
            catalog.entries[name] = Entry(
                name=name, size=size, digest=digest, format="DICOM", content="RAW", instance_uid=uid
            )
        self._catalogs.write(catalog)
        count_files(self._site, resource, catalog=catalog)

    def _clear(self, existing: Item) -> None:
        """Remove a session's scans, which ``overwrite=delete`` replaces; its own resources stay."""
        for scan in self._site.store.children("scan", existing):
            for resource in self._site.store.children("resource", scan):
                shutil.rmtree(self._site.folder(resource), ignore_errors=True)
            self._site.store.remove(scan)

    def _check(self, session: Item, options: Options) -> Item | None:
        """Return the session this one merges into, None for none; refuse what may not be merged."""
        project = self._site.store.find("project", session.ident.partition("/")[0])
        if project is None:
            raise Conflict("The session's project does not exist.")
        existing = self._site.store.find("experiment", session.label, project=project)
        if existing is None:
            return None
        if self._site.at_work[existing.id]:
            raise Conflict("Session processing may already be in progress.")
        mode, code = options.get("overwrite", ""), project.fields.get("prearchive_code")
        if mode not in {"append", "delete"} and code not in {"4", "5"} and not options.get("merge"):
            raise Conflict("Session already exists, retry with overwrite enabled")
        above = self._site.store.get(existing.parent)
        if above is None or above.label != label_of(session.fields["subject"]):
            raise Conflict("Invalid modification of session subject via archive process.")
        if existing.xsi != session.xsi:
            raise Conflict("Illegal modification of session data type.")
        tag = session.fields["tag"]
        uid = hashed_uid(tag) if self._settings(session).remaps_uids else tag
        if existing.fields.get("UID") not in {None, "", uid} and mode != "delete":
            raise Conflict("Session already exists with a different UID.")
        replaces = mode == "delete" or code == "5" or options.get("overwrite_files") == "true"
        uids = {f["sop_uid"] for f in self.instances(session)}
        uids = set(map(hashed_uid, uids)) if self._settings(session).remaps_uids else uids
        if not replaces and self._archived(existing) & uids:
            raise Conflict("Session already contains a scan with the same files.")
        return existing

    def _archived(self, existing: Item) -> set[str]:
        scans = self._site.store.children("scan", existing)
        resources = [r for s in scans for r in self._site.store.children("resource", s) if r.label == "DICOM"]
        catalogs = [self._catalogs.read(self._site.folder(r)) for r in resources]
        return {entry.instance_uid for catalog in catalogs for entry in catalog.entries.values()}


def _free_id(taken: set[str], first: Mapping[str, str]) -> str:
    """Return the SeriesNumber, with a suffix such as -MR1 where another series has it already."""
    number = first["number"] or label_of(first["series_uid"])
    if number not in taken:
        return number
    count = 1
    while f"{number}-{first['modality']}{count}" in taken:
        count += 1
    return f"{number}-{first['modality']}{count}"
