"""The status codes that no other test of the sandbox shows, each where XNAT gives it."""

import httpx
import pytest

from transfer.sandbox import User

XML = {"content-type": "text/xml"}


def test_403_for_an_expired_password(start):
    """XnatExpiredPasswordFilter."""
    sandbox = start(users=(User(name="late", password="l", roles={"P": "member"}, is_expired=True),))
    answer = httpx.get(f"{sandbox.url}/data/projects", auth=("late", "l"))
    assert answer.status_code == 403
    assert "password has expired" in answer.text


def test_403_while_the_site_is_not_set_up(start, login):
    """XnatInitCheckFilter."""
    assert login(start(is_initialized=False)).get("/data/projects").status_code == 403


def test_410_where_the_prearchive_session_lost_its_project(sandbox, login, relay, send, dicoms):
    """PrearcSessionResource."""
    waiting = send(dicoms.zip()).text.strip()
    assert login(sandbox, "owner").delete("/data/projects/P").status_code == 200
    assert relay.get(waiting).status_code == 410


def test_412_and_the_whims_of_the_user_cache(relay, tmp_path):
    """UserCacheResource: a folder is made once; DELETE of one file removes the whole folder."""
    folder = "/data/user/cache/resources/X"
    assert [relay.put(folder).status_code for _ in range(2)] == [200, 412]
    for content in (b"first", b"second"):
        assert relay.put(f"{folder}/files/a", params={"inbody": "true"}, content=content).status_code == 200
    assert relay.put(f"{folder}/files/b", files={"f": ("x", b"form")}).status_code == 200
    cache = tmp_path / "site" / "cache" / "relay" / "X"
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {"a": b"second", "b": b"form"}
    assert relay.put(f"{folder}/files/c", content=b"no way to tell").status_code == 400
    assert relay.delete(f"{folder}/files/a").status_code == 200
    assert not cache.exists()
    assert relay.delete(folder).status_code == 404


@pytest.mark.parametrize("mark", [".zip!/", ".zip!", ".zip/"])
def test_415_for_an_entry_of_a_broken_zip(relay, files, dicoms, mark):
    """A path that goes on behind .zip means an entry inside (FileList)."""
    relay.put(f"{files}/whole.zip", files={"f": ("x", dicoms.zip(b"one"))})
    relay.put(f"{files}/broken.zip", files={"f": ("x", b"no zip at all")})
    assert relay.get(f"{files}/whole{mark}0.dcm").content == b"one"
    assert relay.get(f"{files}/whole{mark}9.dcm").status_code == 404
    assert relay.get(f"{files}/broken{mark}0.dcm").status_code == 415
    assert relay.get(f"{files}/none{mark}0.dcm").status_code == 404


def test_422_for_a_document_that_is_no_xml(relay, experiment):
    """SubjAssessmentResource reads XML documents."""
    path = "/data/projects/P/subjects/S/experiments/E"
    assert relay.put(path, content=b"<xnat:MRSession", headers=XML).status_code == 422
    assert relay.put(path, content=b"<MRSession/>", headers=XML).status_code == 200


@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"redirect": "true"}, 303), ({"auto-archive": "true"}, 303)])
def test_303_from_the_archive_service_where_a_redirect_is_asked_for(relay, send, dicoms, asked, status):
    """Archiver: POST /data/services/archive."""
    source = send(dicoms.zip()).text.strip().removeprefix("/data")
    answer = relay.post("/data/services/archive", params={"src": source, **asked}, follow_redirects=False)
    assert answer.status_code == status
    assert "/data/archive/" in answer.text


def test_500_for_an_offset_beyond_31_bits(relay, files):
    """Restlet RangeUtils#parseContentRange reads 32-bit numbers, of a header that nobody obeys."""
    headers = {"content-type": "application/octet-stream", "content-range": "bytes 2147483648-2147483651/*"}
    assert relay.put(f"{files}/a.bin", content=b"tail", headers=headers).status_code == 500


def test_an_empty_path_deletes_every_file(sandbox, login, relay, files, rows):
    """CatalogUtils#findCatEntriesWithinPath: every name begins with nothing."""
    for name in ("a", "b/c"):
        relay.put(f"{files}/{name}", files={"f": ("x", b"data")})
    assert login(sandbox, "owner").delete(f"{files}/").status_code == 200
    assert rows(relay.get(files)) == []


def test_a_slow_digest_is_waited_for_inside_the_request(start, login, rows):
    """CatalogUtils#getHash: taken before the answer."""
    client = login(start(digest_mb_per_s=5.0))
    files = "/data/projects/P/resources/R/files"
    answer = client.put(f"{files}/a", files={"f": ("x", bytes(1_000_000))})
    assert answer.elapsed.total_seconds() >= 0.2
    assert rows(client.get(files))[0]["digest"]
