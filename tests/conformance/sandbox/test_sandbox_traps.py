"""Every trap that decides a client's design, as XNAT springs it."""

import hashlib
import socket
import threading
from urllib.parse import urlsplit

import pytest

OCTETS = {"content-type": "application/octet-stream"}
PAUSE = threading.Event()


def wait_until(happened):
    for _ in range(500):
        if found := happened():
            return found
        PAUSE.wait(0.01)
    raise AssertionError("It never happened.")


def test_a_ranged_put_is_stored_as_the_whole_file(relay, files):
    """FileList#handlePut: upload code never looks at offsets."""
    relay.put(f"{files}/a.bin", content=b"0123456789", headers=OCTETS)
    ranged = {**OCTETS, "content-range": "bytes 10-14/15"}
    answer = relay.put(f"{files}/a.bin", params={"overwrite": "true"}, content=b"abcde", headers=ranged)
    assert answer.status_code == 200
    assert relay.get(f"{files}/a.bin").content == b"abcde"


def test_200_with_duplicates_stores_nothing(relay, files):
    """FileList#handlePost: the file is there and overwrite was not asked for."""
    relay.put(f"{files}/sub/a.bin", files={"f": ("x", b"old")})
    answer = relay.put(f"{files}/sub/a.bin", files={"f": ("x", b"new")})
    assert (answer.status_code, answer.json()) == (200, {"duplicates": ["sub/a.bin"]})
    assert answer.headers["content-type"].startswith("text/html")
    assert relay.get(f"{files}/sub/a.bin").content == b"old"


@pytest.mark.parametrize("name", ["reader", "locked"])
def test_200_without_the_right_to_edit_stores_nothing(sandbox, login, *, relay, files, rows, name):
    """FileList#handlePost has no else-branch."""
    answer = login(sandbox, name).put(f"{files}/a.bin", files={"f": ("x", b"data")})
    assert (answer.status_code, answer.content) == (200, b"")
    assert rows(relay.get(files)) == []


def test_a_broken_in_body_upload_leaves_an_uncatalogued_file(sandbox, relay, files, rows, tmp_path):
    """CatalogUtils#storeCatalogEntry, FileWriterWrapper#write."""
    place = urlsplit(sandbox.url)
    with socket.create_connection((place.hostname, place.port)) as raw:
        cookie = relay.cookies["JSESSIONID"]
        head = f"PUT {files}/a.bin HTTP/1.1\r\nHost: x\r\nCookie: JSESSIONID={cookie}\r\nContent-Length: 100\r\n"
        raw.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\nonly a part".encode())
        wait_until(lambda: list((tmp_path / "site").rglob("a.bin")))
    wait_until(lambda: relay.get("/sandbox/log").json()[-1]["bytes_in"] == 11)
    (left,) = (tmp_path / "site").rglob("a.bin")
    assert left.read_bytes() == b"only a part"
    assert rows(relay.get(files)) == []
    assert relay.get(f"{files}/a.bin").status_code == 404
    assert relay.put(f"{files}/a.bin", files={"f": ("x", b"again")}).json() == {"duplicates": ["a.bin"]}
    relay.put(f"{files}/a.bin", params={"overwrite": "true"}, files={"f": ("x", b"again")})
    assert relay.get(f"{files}/a.bin").content == b"again"


def test_a_broken_multipart_upload_leaves_nothing(sandbox, relay, files, tmp_path):
    """The whole body is spooled before the archive is touched."""
    place = urlsplit(sandbox.url)
    with socket.create_connection((place.hostname, place.port)) as raw:
        cookie = relay.cookies["JSESSIONID"]
        head = f"PUT {files}/a.bin HTTP/1.1\r\nHost: x\r\nCookie: JSESSIONID={cookie}\r\nContent-Length: 900\r\n"
        part = '--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nonly a part'
        raw.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n{part}".encode())
        wait_until(lambda: list((tmp_path / "site" / "tmp").iterdir()) or True)
    wait_until(lambda: relay.get("/sandbox/log").json()[-1]["path"].endswith("a.bin"))
    assert list((tmp_path / "site").rglob("a.bin")) == []
    assert list((tmp_path / "site" / "tmp").iterdir()) == []


def test_of_two_writers_into_one_resource_the_slower_fails(sandbox, login, *, relay, files, rows, tmp_path):
    """CatalogUtils#writeCatalogToFile: the catalog is not the one that was read before the body."""
    go_on, answers = threading.Event(), []

    def slowly():
        yield b"first half"
        assert go_on.wait(10)
        yield b"other half"

    def upload(client):
        headers = {**OCTETS, "content-length": "20"}
        answers.append(client.put(f"{files}/slow.bin", content=slowly(), headers=headers))

    slow = threading.Thread(target=upload, args=(login(sandbox),))
    slow.start()
    wait_until(lambda: list((tmp_path / "site").rglob("slow.bin")))
    assert relay.put(f"{files}/fast.bin", files={"f": ("x", b"fast")}).status_code == 200
    go_on.set()
    slow.join()
    assert answers[0].status_code == 500
    assert "ConcurrentModification" in answers[0].text
    assert [row["Name"] for row in rows(relay.get(files))] == ["fast.bin"]
    assert next((tmp_path / "site").rglob("slow.bin")).read_bytes() == b"first halfother half"


def test_delete_of_a_file_is_a_prefix_match(sandbox, login, relay, files, rows):
    """CatalogUtils#findCatEntriesWithinPath."""
    for name in ("part1", "part10", "part1.json", "other"):
        relay.put(f"{files}/{name}", files={"f": ("x", b"data")})
    assert login(sandbox, "owner").delete(f"{files}/part1").status_code == 200
    assert [row["Name"] for row in rows(relay.get(files))] == ["other"]


def test_get_below_a_missing_experiment_shows_the_projects_resources(relay, rows):
    """XNATTemplate falls back to the parent, for GET only."""
    relay.put("/data/projects/P/resources/OF_PROJECT")
    missing = "/data/projects/P/experiments/NOPE/resources"
    (row,) = rows(relay.get(missing))
    assert (row["label"], row["cat_id"]) == ("OF_PROJECT", "")
    assert relay.head(missing).status_code == 404
    assert relay.put(f"{missing}/R").status_code == 404
    assert relay.put(f"{missing}/OF_PROJECT/files/a", files={"f": ("x", b"data")}).status_code == 404
    assert relay.get("/data/experiments/NOPE/resources").status_code == 404


def test_files_of_an_unknown_resource_are_an_empty_list(relay, experiment, rows):
    """FileList#represent, #handleMultipleCatalogs."""
    assert rows(relay.get(f"{experiment}/resources/NOPE/files")) == []


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        (OCTETS, iter([b"chunked"]), 500),
        (OCTETS, b"", 500),
        ({**OCTETS, "content-encoding": "gzip"}, b"data", 500),
        ({"content-type": "application/zip"}, iter([b"chunked"]), 200),
        ({"content-type": "application/x-unheard-of"}, b"data", 400),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", 400),
    ],
    ids=["chunked", "empty", "encoded", "chunked zip", "unknown type", "form"],
)
def test_in_body_uploads_need_a_length(relay, files, headers, content, status):
    """SecureResource#getFileWritersAndLoadParams."""
    assert relay.put(f"{files}/a.bin", content=content, headers=headers).status_code == status


def test_size_and_digest_come_from_the_catalog_head_from_the_disk(relay, files, rows, tmp_path):
    """CatalogUtils#getEntryDetails: later damage does not show in a listing."""
    relay.put(f"{files}/a.bin", files={"f": ("x", b"0123456789")})
    stored = next((tmp_path / "site").rglob("a.bin"))
    stored.write_bytes(b"damaged")
    (row,) = rows(relay.get(files))
    assert (row["Size"], row["digest"]) == ("10", hashlib.md5(b"0123456789").hexdigest())
    assert relay.head(f"{files}/a.bin").headers["content-length"] == "7"


@pytest.mark.parametrize(("length", "is_cut"), [(3_000_000, True), (1_000_000, False)])
def test_after_an_early_refusal_of_a_large_body_the_connection_is_cut(sandbox, length, is_cut):
    """Tomcat swallows 2 MiB of an unwanted body; of a larger one the refusal may not even arrive."""
    place = urlsplit(sandbox.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as raw:
        head = f"PUT /data/projects/P/resources/R/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        raw.sendall(head.encode())
        assert b"401" in raw.recv(20)
        if not is_cut:
            raw.sendall(b"x" * length + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        rest = b"".join(iter(lambda: raw.recv(65536), b""))
    assert (b"HTTP/1.1 200" in rest) is not is_cut


def test_two_first_uploads_at_once_make_two_resources_of_one_label(
    sandbox, login, *, relay, experiment, rows, tmp_path
):
    """FileList looks for the resource before the body and creates it after: create it first, serially."""
    files, go_on = f"{experiment}/resources/NEW/files", threading.Event()

    def slowly():
        yield b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n' + b"x" * 2_000_000
        assert go_on.wait(10)
        yield b"\r\n--b--\r\n"

    def upload(client):
        headers = {"content-type": "multipart/form-data; boundary=b"}
        assert client.put(f"{files}/slow", content=slowly(), headers=headers).status_code == 200

    slow = threading.Thread(target=upload, args=(login(sandbox),))
    slow.start()
    wait_until(lambda: list((tmp_path / "site" / "tmp").iterdir()))
    assert relay.put(f"{files}/fast", files={"f": ("x", b"fast")}).status_code == 200
    go_on.set()
    slow.join()
    assert [row["label"] for row in rows(relay.get(f"{experiment}/resources"))] == ["NEW", "NEW"]


def test_archiving_into_a_session_that_is_written_to_conflicts(sandbox, login, *, relay, files, dicoms, send, tmp_path):
    """PrearcSessionArchiver#preventConcurrentArchiving."""
    go_on = threading.Event()

    def slowly():
        yield b"first half"
        assert go_on.wait(10)
        yield b"other half"

    headers = {**OCTETS, "content-length": "20"}
    client = login(sandbox)
    upload = {"url": f"{files}/slow.bin", "content": slowly(), "headers": headers}
    slow = threading.Thread(target=client.put, kwargs=upload)
    slow.start()
    wait_until(lambda: list((tmp_path / "site").rglob("slow.bin")))
    waiting = send(dicoms.zip(), subject="S", session="E").text.strip()
    asked = {"action": "commit", "AA": "true"}
    assert relay.post(waiting, params=asked).status_code == 500
    go_on.set()
    slow.join()
    assert relay.post(waiting, params=asked).status_code == 301


def test_a_site_may_want_a_reason_for_every_change(start, login):
    """PersistentWorkflowUtils: a missing event_reason is 500 here."""
    client = login(start(require_reason=True))
    for path in ("/data/projects/P/resources/R", "/data/projects/P/resources/R/files/a"):
        assert client.put(path, files={"f": ("x", b"data")}).status_code == 500
        assert client.put(path, files={"f": ("x", b"data")}, params={"event_reason": "test"}).status_code == 200


def test_a_file_where_a_folder_is_needed_is_500(relay, files):
    relay.put(f"{files}/a", files={"f": ("x", b"data")})
    assert relay.put(f"{files}/a/b", files={"f": ("x", b"data")}).status_code == 500
    assert relay.get(f"{files}/a").content == b"data"
