"""What an XNAT is asked, and what one of the known kind answers: read in the source of XNAT 1.8.11, cited by class.

Each answer is the words of ``normally`` where XNAT behaves as known, else other words that say what it did.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import md5
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from dicom.synthetic import SyntheticSeries, write_session
from transfer.destinations.errors import DestinationDown
from transfer.destinations.xnat.bench import Bench

FILLS = "the MD5 of the bytes; whether it looks at the disk for it could not be seen"
RECOMPUTES = "the MD5 of what lies on the disk, also where that changed"
_DATA = bytes(range(256)) * 256
_OTHER = _DATA[::-1]
_NOBODY = SyntheticSeries(
    baseline="VB",
    serial="10000",
    number=1,
    protocol="probe",
    lprotid=1,
    ticks=(4000,),
    frame_of_reference="1.2.3",
    study_uid="1.3.12.2.1107.5.2.32.10000.20260105000000000",
    patient_id="KSPACE-PROBE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; ``ask`` returns the answer in words."""

    about: str
    asked: str
    normally: str
    source: str
    ask: Callable[[Bench], str]


def _resource(bench: Bench) -> str:
    first, again = (bench.ask("PUT", bench.resource).status_code for _ in range(2))
    return f"{first}, then {again}"


def _duplicates(bench: Bench) -> str:
    bench.form("duplicate.bin", _DATA)
    answer = bench.form("duplicate.bin", _OTHER, overwrite=False)
    is_kept = bench.ask("GET", bench.file("duplicate.bin")).content == _DATA
    said = "a list of duplicates" if b"duplicates" in answer.content else "no list of duplicates"
    return f"{answer.status_code} with {said}; the first bytes {'stay' if is_kept else 'are gone'}"


def _overwrite(bench: Bench) -> str:
    bench.form("over.bin", _DATA)
    bench.form("over.bin", _OTHER)
    is_new = bench.ask("GET", bench.file("over.bin")).content == _OTHER
    return "the new bytes replace the old" if is_new else "the old bytes stay"


def _digest(bench: Bench) -> str:
    seen = []
    for data in (_DATA, _OTHER):
        bench.form("digest.bin", data)
        seen.append(((bench.row("digest.bin") or {}).get("digest") or "").lower() or None)
    if seen == [_md5(_DATA), _md5(_OTHER)]:
        return "the MD5 of the stored bytes, also after overwriting"
    if seen == [None, None]:
        return "no MD5 (the site's checksums are off)"
    return "something else than the MD5 of the stored bytes"


def _length(bench: Bench) -> str:
    bench.form("length.bin", _DATA)
    found = bench.length("length.bin")
    return "the stored bytes' length" if found == len(_DATA) else f"{found} instead of {len(_DATA)}"


def _range(bench: Bench) -> str:
    bench.form("range.bin", _DATA)
    answer = bench.ask("GET", bench.file("range.bin"), headers={"Range": "bytes=2-5"})
    return f"{answer.status_code} with {'just these' if answer.content == _DATA[2:6] else 'other'} bytes"


def _ranged_put(bench: Bench) -> str:
    bench.form("ranged.bin", _DATA)
    answer = bench.raw("ranged.bin", b"tail", size=4, Content_Range=f"bytes {len(_DATA)}-{len(_DATA) + 3}/*")
    is_whole = bench.ask("GET", bench.file("ranged.bin")).content == b"tail"
    return (
        f"{answer.status_code}; {'stored as if it were the whole file' if is_whole else 'not stored as a whole file'}"
    )


def _needs_length(bench: Bench) -> str:
    chunked = bench.raw("chunked.bin", iter([_DATA]), size=None).status_code
    empty = bench.raw("empty.bin", b"", size=0).status_code
    bench.form("empty-form.bin", b"")
    stored = "stored" if bench.row("empty-form.bin") else "not stored"
    return f"in chunks {chunked}, empty {empty}; an empty file in a form is {stored}"


def _cut(bench: Bench) -> str:
    bench.cut("cut.bin", _DATA, overwrite=False)
    if bench.row("cut.bin"):
        return "a file that the list shows"
    answer = bench.form("cut.bin", _OTHER, overwrite=False)
    is_there = b"duplicates" in answer.content
    return "a file that no list shows, and that is in the way" if is_there else "nothing (a proxy gathers bodies first)"


def _refresh(bench: Bench) -> str:
    bench.form("refresh.bin", _DATA)
    bench.cut("refresh.bin", _OTHER * 2, overwrite=True)
    lies_there = bench.ask("GET", bench.file("refresh.bin")).content
    status = bench.refresh()
    after = ((bench.row("refresh.bin") or {}).get("digest") or "").lower()
    if after != _md5(lies_there):
        return f"{status}, and no right MD5 afterwards"
    return FILLS if lies_there == _DATA else RECOMPUTES


def _writers(bench: Bench) -> str:
    """Let a second upload begin and end while the first is under way, both into one resource."""
    is_half, go_on = threading.Event(), threading.Event()

    def slowly() -> object:
        yield _DATA
        is_half.set()
        go_on.wait(30)
        yield _DATA

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(bench.raw, "slow.bin", slowly(), size=2 * len(_DATA))
        try:
            is_half.wait(30)
            bench.pause()
            fast = bench.form("fast.bin", _DATA).status_code
        finally:
            go_on.set()
        try:
            status = slow.result().status_code
        except DestinationDown:
            return f"the faster {fast}, the slower no answer"
    listed = "listed" if bench.row("slow.bin") else "not listed"
    return f"the faster {fast}, the slower {status} and {listed}"


def _parent(bench: Bench) -> str:
    answer = bench.ask("GET", f"/data/projects/{bench.project}/experiments/KSPACE-NO-SUCH/resources")
    return f"{answer.status_code}{' with a list, of the project itself' if answer.is_success else ''}"


def _unknown_resource(bench: Bench) -> str:
    answer = bench.ask("GET", f"{bench.experiment}/resources/KSPACE-NO-SUCH/files", params={"format": "json"})
    is_empty = answer.is_success and answer.json()["ResultSet"]["Result"] == []
    return f"{answer.status_code}{' with an empty list' if is_empty else ''}"


def _unknown_session(bench: Bench) -> str:
    return str(bench.ask("GET", "/data/experiments/KSPACE-NO-SUCH", params={"format": "json"}).status_code)


def _delete(bench: Bench) -> str:
    for name in ("part1", "part10"):
        bench.form(name, _DATA)
    status = bench.ask("DELETE", bench.file("part1")).status_code
    if bench.row("part1"):
        return f"{status}: this account may not delete"
    return f"{status}: it is gone, and part10 {'is not' if bench.row('part10') else 'with it'}"


def _handlers(bench: Bench) -> str:
    """Ask with a zip of text: what is refused leaves nothing behind."""
    said = [
        bench.imported(_zipped({"a.txt": b"no image"}), handler=handler).status_code
        for handler in ("DICOM-zip", "KSPACE-NO-SUCH")
    ]
    return f"DICOM-zip refuses it ({said[0]}), an unheard-of handler {said[1]}"


def _images(bench: Bench) -> str:
    """Send one image of nobody to the prearchive, and take it back."""
    with TemporaryDirectory() as folder:
        (image,) = write_session(Path(folder), _NOBODY)
        answer = bench.imported(_zipped({"1.dcm": image.read_bytes()}), handler="DICOM-zip")
    place = answer.text.strip()
    if "/prearchive/" not in place:
        return f"{answer.status_code}, and it does not wait in the prearchive"
    if not bench.ask("DELETE", place).is_success:
        bench.left.append(f"an image in the prearchive of project {bench.project}")
        return "it waits in the prearchive, and this account cannot take it back"
    return "it waits in the prearchive, and can be taken back"


def _zipped(files: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w") as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return out.getvalue()


def _md5(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


def _q(about: str, asked: str, normally: str, source: str, *, ask: Callable[[Bench], str]) -> Question:
    return Question(about=about, asked=asked, normally=normally, source=source, ask=ask)


QUESTIONS = (
    _q("resource", "a resource is created twice", "200, then 409", "CatalogResource#handlePost", ask=_resource),
    _q(
        "duplicates",
        "a file is sent again without overwrite",
        "200 with a list of duplicates; the first bytes stay",
        "FileList#handlePost",
        ask=_duplicates,
    ),
    _q(
        "overwrite",
        "a file is sent again with overwrite=true",
        "the new bytes replace the old",
        "CatalogUtils#addOrUpdateEntry",
        ask=_overwrite,
    ),
    _q(
        "digest",
        "what the list shows as digest",
        "the MD5 of the stored bytes, also after overwriting",
        "CatalogUtils#getHash, SiteConfigPreferences (checksums)",
        ask=_digest,
    ),
    _q("head", "the length that HEAD tells", "the stored bytes' length", "SecureResource#representFile", ask=_length),
    _q("range", "a GET of four bytes", "206 with just these bytes", "Restlet RangeFilter", ask=_range),
    _q(
        "ranged put",
        "a PUT that claims to be the rest of a file",
        "200; stored as if it were the whole file",
        "FileList#handlePut",
        ask=_ranged_put,
    ),
    _q(
        "empty",
        "uploads in the body without a length, and empty",
        "in chunks 500, empty 500; an empty file in a form is stored",
        "SecureResource#getFileWritersAndLoadParams",
        ask=_needs_length,
    ),
    _q(
        "cut",
        "what an upload in the body leaves when its line breaks",
        "a file that no list shows, and that is in the way",
        "CatalogUtils#storeCatalogEntry, FileWriterWrapper#write",
        ask=_cut,
    ),
    _q(
        "refresh",
        "what refresh/catalog with checksum makes the list show",
        RECOMPUTES,
        "RefreshCatalog, DefaultCatalogService#_refreshCatalog",
        ask=_refresh,
    ),
    _q(
        "writers",
        "two uploads into one resource at once",
        "the faster 200, the slower 500 and not listed",
        "CatalogUtils#writeCatalogToFile",
        ask=_writers,
    ),
    _q(
        "parent",
        "the resources of a session that does not exist",
        "200 with a list, of the project itself",
        "XNATTemplate",
        ask=_parent,
    ),
    _q("session", "a session that does not exist", "404", "XNATTemplate", ask=_unknown_session),
    _q(
        "unknown",
        "the files of a resource that does not exist",
        "200 with an empty list",
        "FileList#handleMultipleCatalogs",
        ask=_unknown_resource,
    ),
    _q(
        "delete",
        "DELETE of part1 beside part10, by a plain member",
        "403: this account may not delete",
        "FileList, CatalogUtils#findCatEntriesWithinPath",
        ask=_delete,
    ),
    _q(
        "handlers",
        "the import service for a zip without images",
        "DICOM-zip refuses it (400), an unheard-of handler 404",
        "Importer, GradualDicomImporter",
        ask=_handlers,
    ),
    _q(
        "import",
        "one image of nobody by DICOM-zip",
        "it waits in the prearchive, and can be taken back",
        "DicomZipImporter, PrearcSessionResource",
        ask=_images,
    ),
)
"""In the order of asking: the resource comes first."""
