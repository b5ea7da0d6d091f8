"""Faults on purpose, the log, restarts, the page."""

import hashlib
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from kspace.errors import ConfigError
from transfer.sandbox import Faults, Sandbox, SandboxSettings

UPLOADS = "PUT .*/files/"


@pytest.fixture
def play(relay):
    def play(**faults):
        answer = relay.put("/sandbox/faults", json={"only": UPLOADS, **faults})
        assert answer.status_code == 200, answer.text

    return play


def upload(client, files, name="a.bin", data=b"data"):
    return client.put(f"{files}/{name}", files={"f": ("x", data)})


def test_faults_are_told_and_checked(relay, play):
    play(drop_before=0.5, seed=7)
    assert Faults(**relay.get("/sandbox/faults").json()) == Faults(only=UPLOADS, drop_before=0.5, seed=7)
    assert relay.put("/sandbox/faults", json={"drop_before": 2}).status_code == 400
    assert relay.put("/sandbox/faults", json={"unheard": 2}).status_code == 400


def test_dropped_before_anything_was_done(relay, files, rows, play):
    play(drop_before=1, limit=1)
    with pytest.raises(httpx.TransportError):
        upload(relay, files)
    assert rows(relay.get(files)) == []
    assert upload(relay, files).status_code == 200


def test_dropped_after_everything_was_done(relay, files, rows, play):
    play(drop_after=1, limit=1)
    with pytest.raises(httpx.TransportError):
        upload(relay, files)
    assert [row["Name"] for row in rows(relay.get(files))] == ["a.bin"]
    assert upload(relay, files).json() == {"duplicates": ["a.bin"]}


def test_dropped_within_the_body(relay, files, rows, play, tmp_path):
    """Multipart leaves nothing, in-body half a file."""
    play(drop_within=1)
    with pytest.raises(httpx.TransportError):
        upload(relay, files, data=b"x" * 1000)
    assert not list((tmp_path / "site").rglob("a.bin"))
    headers = {"content-type": "application/octet-stream"}
    with pytest.raises(httpx.TransportError):
        relay.put(f"{files}/a.bin", content=b"x" * 1000, headers=headers)
    (left,) = (tmp_path / "site").rglob("a.bin")
    for _ in range(200):
        if left.stat().st_size:
            break
        relay.get(files)
    assert left.read_bytes() == b"x" * 500
    assert rows(relay.get(files)) == []


@pytest.mark.parametrize(
    ("faults", "status", "stored"),
    [
        ({"refuse": 1}, 503, 0),
        ({"refuse": 1, "refuse_status": 500}, 500, 0),
        ({"refuse": 1, "refuse_status": 502}, 502, 0),
        ({"gateway_timeout": 1}, 504, 1),
        ({"body_limit_bytes": 100}, 413, 0),
        ({"body_limit_bytes": 100_000}, 200, 1),
        ({"delay_s": 0.01}, 200, 1),
    ],
)
def test_what_a_proxy_does(relay, files, *, rows, play, faults, status, stored):
    play(**faults)
    assert upload(relay, files).status_code == status
    assert len(rows(relay.get(files))) == stored


def test_a_corrupted_file_shows_in_its_digest(relay, files, rows, play):
    play(corrupt_uploads=[2])
    upload(relay, files, "a", b"good")
    upload(relay, files, "b", b"good")
    good, bad = rows(relay.get(files))
    assert good["digest"] == hashlib.md5(b"good").hexdigest() != bad["digest"]
    assert good["Size"] == bad["Size"]
    assert relay.get(f"{files}/b").content == b"go\x90d"


def test_the_same_seed_plays_the_same_faults(relay, files, play):
    def answers():
        play(refuse=0.5, seed=3)
        return [upload(relay, files).status_code for _ in range(12)]

    first = answers()
    assert set(first) == {200, 503}
    assert first == answers()


def test_faults_may_be_there_from_the_start(start, login):
    client = login(start(faults=Faults(refuse=1, only="GET /data/projects$")))
    assert [client.get(p).status_code for p in ("/data/projects", "/data/auth")] == [503, 200]


def test_site_preferences_change_at_run_time(relay, files, rows):
    relay.put("/sandbox/settings", json={"checksums": False})
    upload(relay, files)
    assert rows(relay.get(files))[0]["digest"] == ""
    assert relay.get("/xapi/siteConfig/checksums").json() is False


def test_the_log_tells_what_a_client_did(relay, files, play):
    relay.delete("/sandbox/log")
    upload(relay, files)
    relay.get(files, params={"format": "csv"})
    play(drop_after=1)
    with pytest.raises(httpx.TransportError):
        upload(relay, files, "b")
    first, second, third = relay.get("/sandbox/log").json()
    assert (first["method"], first["path"], first["status"]) == ("PUT", f"{files}/a.bin", 200)
    assert first["bytes_in"] > 4
    assert (second["query"], second["bytes_in"]) == ("format=csv", 0)
    assert second["bytes_out"] > 0
    assert third["status"] == 0
    relay.delete("/sandbox/log")
    assert relay.get("/sandbox/log").json() == []


SERVE = """
import sys, pathlib, transfer.sandbox
sandbox = transfer.sandbox.Sandbox(pathlib.Path(sys.argv[1]))
print(sandbox.url, flush=True)
sandbox.serve_forever()
"""


@pytest.fixture
def serve(tmp_path):
    """Starts a sandbox as a process of its own, with the default settings, always over the same folder."""
    running = []

    def serve():
        process = subprocess.Popen([sys.executable, "-c", SERVE, tmp_path / "own"], stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process, process.stdout.readline().strip()

    yield serve
    for process in running:
        process.kill()
        process.communicate()


def test_a_killed_sandbox_comes_back_as_the_same_site(serve, dicoms, send):
    process, url = serve()
    with httpx.Client(base_url=url, auth=("relay", "relay")) as client:
        pair = client.get("/data/services/tokens/issue").json()
        client.put("/data/projects/MINE")
        client.put("/data/projects/DEMO/resources/R/files/a", files={"f": ("x", b"data")})
        waiting = send(dicoms.zip(), client, project="DEMO").text.strip()
        cookies = client.cookies
    process.kill()
    process.wait()
    process, url = serve()
    with httpx.Client(base_url=url, auth=(pair["alias"], pair["secret"])) as client:
        assert client.get("/data/projects/DEMO/resources/R/files/a").content == b"data"
        assert client.get("/data/projects/MINE").status_code == 200
        assert client.post(waiting, params={"action": "commit"}).status_code == 301
    assert httpx.get(f"{url}/data/auth", cookies=cookies).status_code == 401
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


def test_the_page_shows_what_arrived_to_anybody(sandbox, relay, files):
    upload(relay, files, data=b"x" * 1234)
    answer = httpx.get(sandbox.url)
    assert answer.status_code == 200
    assert "k-space relay sandbox" in answer.text
    for shown in ("Project P", "E (XNAT_E00001)", "KSPACE", "1234"):
        assert shown in answer.text


def test_the_page_shows_text_as_text(sandbox, relay, experiment):
    relay.put(f"{experiment}/scans/1", params={"series_description": "<script>"})
    relay.put(f"{experiment}/scans/1/resources/R")
    assert "&lt;script&gt;" in httpx.get(sandbox.url).text


def test_a_taken_port_is_a_config_error(sandbox, tmp_path):
    port = urlsplit(sandbox.url).port
    with pytest.raises(ConfigError, match=f"{port}; choose another port"):
        Sandbox(tmp_path / "other", SandboxSettings(port=port))
