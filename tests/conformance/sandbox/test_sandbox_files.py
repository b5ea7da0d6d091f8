"""Resources and files."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import pytest

OCTETS = {"content-type": "application/octet-stream"}


def names(found):
    return sorted(row["URI"].partition("/files/")[2] for row in found)


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize(
    "place",
    ["/data/projects/P", "/data/projects/P/subjects/S", "/data/projects/P/experiments/E", "E", "E/scans/1"],
)
def test_files_at_every_level(relay, experiment, rows, place):
    """TestFileUpload: stored into a resource nobody created, byte-identical from both addresses."""
    place = place.replace("E", experiment, 1) if place.startswith("E") else place
    assert relay.put(f"{place}/resources/R/files/sub/a.bin", files={"f": ("x", b"data")}).status_code == 200
    assert relay.get(f"{place}/resources/R/files/sub/a.bin").content == b"data"
    assert relay.get(f"{place}/files/sub/a.bin").content == b"data"
    (resource,) = rows(relay.get(f"{place}/resources"))
    assert (resource["label"], resource["file_count"], resource["file_size"]) == ("R", "1", "4")
    (row,) = rows(relay.get(f"{place}/resources/R/files"))
    assert row["Name"] == "a.bin"
    assert row["digest"] == md5(b"data")
    assert relay.get(row["URI"]).content == b"data"


def test_creating_a_resource(sandbox, login, relay, experiment):
    """CatalogResource#handlePost."""
    path = f"{experiment}/resources/R"
    answer = relay.put(path, params={"format": "TWIX", "content": "RAW"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert relay.put(path).status_code == 409
    assert "Specified resource already exists." in relay.put(path).text
    assert relay.put(f"{path}/more").status_code == 400
    assert login(sandbox, "reader").put(f"{experiment}/resources/X").status_code == 403
    assert relay.put("/data/experiments/NOPE/resources/R").status_code == 404


def test_the_list_of_resources(relay, experiment, rows):
    """CatalogResourceList, CatalogUtils#populateTable."""
    relay.put(f"{experiment}/resources/R", params={"format": "TWIX", "content": "RAW", "tags": "a,b"})
    relay.put(f"{experiment}/scans/1/resources/K")
    answer = relay.get(f"{experiment}/resources")
    assert answer.json()["ResultSet"]["totalRecords"] == "1"
    (row,) = rows(answer)
    assert (row["element_name"], row["category"], row["cat_id"]) == ("xnat:resourceCatalog", "resources", "XNAT_E00001")
    assert (row["format"], row["content"], row["tags"]) == ("TWIX", "RAW", "a,b")
    found = rows(relay.get(f"{experiment}/resources", params={"all": "true"}))
    assert [(r["label"], r["category"], r["cat_id"]) for r in found][1:] == [("K", "scans", "1")]


def test_a_resource_is_always_shown_as_its_catalog(relay, files):
    """CatalogResource: XML even with format=json; 406 where only JSON is accepted; 404 unknown."""
    resource = files.removesuffix("/files")
    relay.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    for params in ({}, {"format": "json"}):
        text = relay.get(resource, params=params).text
        assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<cat:Catalog')
    (entry,) = ET.fromstring(text).iter("{http://nrg.wustl.edu/catalog}entry")
    assert (entry.get("URI"), entry.get("digest")) == ("a.bin", md5(b"data"))
    assert relay.get(resource, headers={"accept": "application/json"}).status_code == 406
    assert relay.get(resource + "X").status_code == 404


def test_resources_answer_to_their_number(relay, files, experiment, rows):
    relay.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    (resource,) = rows(relay.get(f"{experiment}/scans/1/resources"))
    number = resource["xnat_abstractresource_id"]
    (row,) = rows(relay.get(f"{experiment}/scans/1/resources/{number}/files"))
    assert row["URI"] == f"{experiment}/scans/1/resources/{number}/files/a.bin"
    assert row["cat_ID"] == number
    assert relay.get(f"{experiment}/scans/1/resources/99999").status_code == 404


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
@pytest.mark.parametrize("overwrite", ["true", "yes", "1"])
def test_multipart_takes_any_size_and_overwrites(relay, files, rows, size, overwrite):
    """FileList, CatalogUtils#addOrUpdateEntry: the digest of the new bytes."""
    relay.put(f"{files}/a.bin", files={"f": ("x", b"old")})
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = relay.put(f"{files}/a.bin", params={"overwrite": overwrite}, files={"f": ("x", data)})
    assert (answer.status_code, answer.content) == (200, b"")
    (row,) = rows(relay.get(files))
    assert (row["Size"], row["digest"]) == (str(size), md5(data))
    assert relay.get(f"{files}/a.bin").content == data


@pytest.mark.parametrize("overwrite", ["false", "0"])
def test_false_is_no_overwrite(relay, files, overwrite):
    relay.put(f"{files}/a.bin", files={"f": ("x", b"old")})
    answer = relay.put(f"{files}/a.bin", params={"overwrite": overwrite}, files={"f": ("x", b"new")})
    assert answer.json() == {"duplicates": ["a.bin"]}


def test_chunked_multipart_is_fine(relay, files):
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\ndata\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert relay.put(f"{files}/a.bin", content=iter([body[:30], body[30:]]), headers=headers).status_code == 200
    assert relay.get(f"{files}/a.bin").content == b"data"
    assert relay.put(f"{files}/b.bin", content=body[:-10], headers=headers).status_code == 400
    assert relay.get(f"{files}/b.bin").status_code == 404


def test_the_part_names_the_file_where_the_url_does_not(relay, files, rows):
    relay.post(files, files={"f": ("named.bin", b"data")})
    relay.post(f"{files}/sub/", files={"f": ("named.bin", b"data")})
    assert names(rows(relay.get(files))) == ["named.bin", "sub/named.bin"]


def test_inbody_and_multipart_exclude_each_other(relay, files):
    answer = relay.put(f"{files}/a", params={"inbody": "true"}, files={"f": ("x", b"data")})
    assert answer.status_code == 400
    assert relay.put(f"{files}/a", params={"inbody": "true"}, content=b"data").status_code == 200


def test_names_are_not_decoded_unless_they_hold_a_blank(relay, files, rows, sandbox, tmp_path):
    """FileList constructor."""
    for name in ("a%5Bb", "a%20b+c", "plain+c"):
        assert relay.put(f"{files}/{name}", files={"f": ("x", b"data")}).status_code == 200
    stored = {p.name for p in (tmp_path / "site" / "archive").rglob("*") if p.suffix != ".xml" and p.is_file()}
    assert stored == {"a%5Bb", "a b c", "plain+c"}
    assert relay.put(f"{files}/%2E%2E%2F%20x", files={"f": ("x", b"data")}).status_code == 400


@pytest.mark.parametrize("name", ["x_catalog.xml", ".~lock-a"])
def test_names_xnat_needs_for_itself_are_500(relay, files, name):
    assert relay.put(f"{files}/{name}", files={"f": ("x", b"data")}).status_code == 500


def test_entries_keep_what_is_said_of_them_and_lists_are_filtered(relay, files, rows):
    """TestFileFiltering."""
    for name, kind in (("a", "RAW"), ("b", "META"), ("c", "RAW")):
        relay.put(f"{files}/{name}", params={"content": kind, "format": "TWIX", "tags": "t"}, files={"f": ("x", b"1")})
    found = rows(relay.get(files, params={"file_content": "RAW"}))
    assert [(r["Name"], r["file_content"], r["file_format"], r["file_tags"]) for r in found] == [
        ("a", "RAW", "TWIX", "t"),
        ("c", "RAW", "TWIX", "t"),
    ]
    assert rows(relay.get(files, params={"file_format": "OTHER"})) == []
    assert relay.get(files, params={"index": "2"}).content == b"1"
    assert relay.get(files, params={"index": "3"}).status_code == 404
    (first, *_) = rows(relay.get(files, params={"locator": "absolutePath"}))
    assert "URI" not in first
    assert first["absolutePath"].endswith("/a")


def test_folders_are_listed_packed_and_deleted(sandbox, login, relay, files, rows):
    """TestFileUpload: `files/sub/` means what is below it."""
    for name in ("top", "sub/1", "sub/folder/2"):
        relay.put(f"{files}/{name}", files={"f": ("x", name.encode())})
    assert names(rows(relay.get(f"{files}/sub/", params={"format": "json"}))) == ["sub/1", "sub/folder/2"]
    packed = zipfile.ZipFile(io.BytesIO(relay.get(f"{files}/sub/", params={"format": "zip"}).content))
    base = "E/scans/1/resources/KSPACE/files"
    assert sorted(packed.namelist()) == [f"{base}/sub/1", f"{base}/sub/folder/2"]
    assert login(sandbox, "owner").delete(f"{files}/sub/folder").status_code == 200
    assert names(rows(relay.get(files))) == ["sub/1", "top"]


def test_packed_downloads(relay, experiment):
    """FileList#buildZipRepresentation."""
    files = f"{experiment}/resources/R/files"
    assert relay.get(files, params={"format": "zip"}).status_code == 404
    relay.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    packed = relay.get(files, params={"format": "zip", "compression": "0"})
    (member,) = zipfile.ZipFile(io.BytesIO(packed.content)).infolist()
    assert (member.filename, member.compress_type) == ("E/resources/R/files/a.bin", zipfile.ZIP_STORED)
    for kind in ("tar", "tar.gz"):
        packed = relay.get(files, params={"format": kind})
        with tarfile.open(fileobj=io.BytesIO(packed.content)) as archive:
            assert archive.getnames() == ["E/resources/R/files/a.bin"]
    assert relay.get(files, params={"format": "zip"}, headers={"range": "bytes=0-"}).status_code == 500
    assert relay.get(f"{experiment}/scans/ALL/files").json()["ResultSet"]["Result"] == []


def archives():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("sub/a", "data")
    yield "x.zip", out.getvalue()
    for name, mode in (("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as packed:
            info = tarfile.TarInfo("sub/a")
            info.size = 4
            packed.addfile(info, io.BytesIO(b"data"))
        yield name, out.getvalue()


@pytest.mark.parametrize(("name", "content"), list(archives()), ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("way", ["multipart", "in body"])
def test_archives_are_unpacked_with_their_folders(relay, files, *, rows, name, content, way):
    """TestFileUpload: extract=true."""
    if way == "multipart":
        answer = relay.post(files, params={"extract": "true"}, files={"f": (name, content)})
    else:
        answer = relay.put(f"{files}/{name}", params={"extract": "true"}, content=content, headers=OCTETS)
    assert answer.status_code == 200
    assert names(rows(relay.get(files))) == ["sub/a"]
    assert relay.get(f"{files}/sub/a").content == b"data"
    broken = relay.put(f"{files}/{name}", params={"extract": "true"}, content=b"junk", headers=OCTETS)
    assert broken.status_code == 500


def test_downloads(relay, files):
    """SecureResource#representFile, Restlet RangeFilter."""
    relay.put(f"{files}/a.bin", files={"f": ("x", b"0123456789")})
    relay.put(f"{files}/a.txt", files={"f": ("x", b"text")})
    answer = relay.get(f"{files}/a.bin")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="a.bin"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert "etag" not in answer.headers
    assert relay.get(f"{files}/a.txt").headers["content-type"].startswith("text/plain")
    since = {"if-modified-since": answer.headers["last-modified"]}
    assert relay.get(f"{files}/a.bin", headers=since).status_code == 304
    head = relay.head(f"{files}/a.bin")
    assert (head.headers["content-length"], head.content) == ("10", b"")
    assert relay.get(f"{files}/b.bin").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"), ("bytes=0-1,4-5", 501, None)],
)
def test_ranges(relay, files, asked, status, content):
    """Restlet RangeFilter, HttpServerConverter."""
    relay.put(f"{files}/a.bin", files={"f": ("x", b"0123456789")})
    answer = relay.get(f"{files}/a.bin", headers={"range": asked})
    assert answer.status_code == status
    assert content in {None, answer.content}


def test_gz_is_served_where_only_it_is_left(relay, files, tmp_path):
    """CatalogUtils#getFileOnLocalFileSystemOrig."""
    relay.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    stored = next((tmp_path / "site").rglob("a.bin"))
    stored.rename(stored.with_name("a.bin.gz"))
    assert relay.get(f"{files}/a.bin").content == b"data"


def test_deletes_that_find_nothing(sandbox, login, relay, files):
    """FileList: 404, 204 with accept-not-found, 400 for an unknown resource, 403 without the right."""
    owner = login(sandbox, "owner")
    assert owner.delete(f"{files}/nope").status_code == 404
    assert owner.delete(f"{files}/nope", params={"accept-not-found": "true"}).status_code == 204
    assert owner.delete(f"{files.replace('KSPACE', 'NOPE')}/nope").status_code == 400
    assert relay.delete(f"{files}/nope").status_code == 403


def test_without_checksums_digests_are_empty_until_asked_for(start, login, rows):
    """CatalogUtils#calculateResourceChecksums, RefreshCatalog."""
    client = login(start(checksums=False))
    files = "/data/projects/P/resources/R/files"
    client.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    assert rows(client.get(files))[0]["digest"] == ""
    refresh = {"resource": "/archive/projects/P/resources/R", "options": "checksum"}
    assert client.post("/data/services/refresh/catalog", params=refresh).status_code == 200
    assert rows(client.get(files))[0]["digest"] == md5(b"data")


def test_refresh_brings_the_catalog_in_line_with_the_disk(sandbox, login, *, relay, files, rows, tmp_path):
    """DefaultCatalogService#_refreshCatalog: append also finds partial leftovers."""
    relay.put(f"{files}/a.bin", params={"update-stats": "false"}, files={"f": ("x", b"data")})
    relay.put(f"{files}/b.bin", params={"update-stats": "false"}, files={"f": ("x", b"data")})
    stored = next((tmp_path / "site").rglob("a.bin"))
    stored.with_name("left-over.bin").write_bytes(b"part")
    stored.unlink()
    resource = files.removesuffix("/files").replace("/data", "/archive", 1)

    def refresh(options, client=relay, resource=resource):
        params = {"resource": resource, "options": options}
        return client.post("/data/services/refresh/catalog", params=params).status_code

    assert refresh("") == 200
    assert names(rows(relay.get(files))) == ["a.bin", "b.bin"]
    assert refresh("append,delete,checksum") == 200
    assert names(rows(relay.get(files))) == ["b.bin", "left-over.bin"]
    above = files.removesuffix("/KSPACE/files")
    assert rows(relay.get(above))[0]["file_count"] == ""
    assert refresh("populateStats") == 200
    assert rows(relay.get(above))[0]["file_count"] == "2"
    assert refresh("checksum", login(sandbox, "reader")) == 403
    assert refresh("checksum", resource="/archive/nonsense") == 400


def test_different_resources_take_uploads_at_once(sandbox, login, experiment, rows):
    """The catalog of a resource is its own: parallel across resources is what a client may do."""
    client, data = login(sandbox), b"x" * 300_000

    def upload(number):
        path = f"{experiment}/resources/R{number % 4}/files/p{number // 4}"
        return client.put(path, files={"f": ("x", data)}).status_code

    for number in range(4):
        client.put(f"{experiment}/resources/R{number}")
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, 12, 4):
            assert list(pool.map(upload, range(start, start + 4))) == [200] * 4
    assert [row["file_count"] for row in rows(client.get(f"{experiment}/resources"))] == ["3"] * 4


def test_a_gz_is_unpacked_in_place_and_a_duplicate_in_body_refused(relay, files):
    packed = gzip.compress(b"data")
    assert relay.put(f"{files}/a.txt.gz", params={"extract": "true"}, content=packed, headers=OCTETS).status_code == 200
    assert relay.get(f"{files}/a.txt").content == b"data"
    assert relay.put(f"{files}/a.txt", content=b"new", headers=OCTETS).json() == {"duplicates": ["a.txt"]}
    assert relay.get(f"{files}/a.txt").content == b"data"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "", 405),
        ("PUT", "/scans", 405),
        ("POST", "/resources", 405),
        ("GET", "/nonsense", 404),
        ("DELETE", "/resources/NOPE", 404),
    ],
)
def test_what_no_resource_class_answers(relay, experiment, method, path, status):
    assert relay.request(method, experiment + path).status_code == status


def test_refresh_of_everything_below_an_item(relay, files, rows):
    relay.put(f"{files}/a.bin", files={"f": ("x", b"data")})
    above = files.partition("/resources/")[0].replace("/data", "/archive", 1)
    refresh = "/data/services/refresh/catalog"
    assert relay.post(refresh, params={"resource": above, "checksum": "true"}).status_code == 200
    assert relay.post(refresh).status_code == 400
    assert relay.post(refresh, params={"resource": f"{above}/resources/NOPE"}).status_code == 400
