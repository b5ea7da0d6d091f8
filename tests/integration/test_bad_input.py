"""Bad input ends in a clear state with one clear sentence, and never stops the good file beside it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.relay import (
    Raw,
    Relay,
    Running,
    free_port,
    make,
    measurement,
    send,
    send_until_taken,
    wait_until,
)
from transfer.app.custody import verified
from transfer.app.wiring import Box
from transfer.config import load_config
from transfer.operations import retry
from transfer.restore import restore
from transfer.sandbox import Project, Sandbox, SandboxSettings, User

_KSPACE = Path(sys.executable).with_name("kspace")


@contextmanager
def _served(config: Path, *, port: int, as_user: list[str]) -> Iterator[Running]:
    """Run `kspace serve` as a process of its own, and read its catalog from here."""
    with (config.parent / "log").open("wb") as log:
        process = subprocess.Popen([*as_user, _KSPACE, "serve", "-c", config], stdout=log, stderr=log)
        box = Box(load_config(config))
        try:
            yield Running(box, port)
        finally:
            process.terminate()
            process.wait()
            box.close()
    assert "Traceback" not in (config.parent / "log").read_text()


@pytest.fixture
def powerless(requires: Callable[[str], str]) -> list[str]:
    """What starts a program whom file permissions bind, even where the tests run as root."""
    if os.geteuid():
        return []
    return [requires("setpriv"), "--inh-caps=-all", "--bounding-set=-all"]


def _is_told(running: Running) -> Callable[[], object]:
    return lambda: {path: (row["state"], row["reason"]) for path, row in running.captures().items()}


def _assert_sentence(reason: str, *words: str) -> None:
    """One short text that says what a person needs, and ends as sentences do."""
    assert all(word in reason for word in words), reason
    assert reason.endswith(".")
    assert "Error" not in reason
    assert len(reason) < 400


def _assert_restored(running: Running, raw: Raw, capture_id: int, to: Path) -> None:
    (custody,) = verified(running.box, capture_id)
    kept = {"place": custody.place, "folder": custody.folder, "sha256_expected": raw.sha256}
    restore(custody.archive, **kept, target=to)
    assert to.read_bytes() == raw.path.read_bytes()


_ENDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty.dat": ("held", ("empty", "left on the scanner", "--as-is")),
    "text.dat": ("skipped", ("TWIX", "no project asks for it")),
    "cut.dat": ("held", ("promises", "left on the scanner", "--as-is")),
    "zero-tail.dat": ("held", ("no end marker", "left on the scanner", "--as-is")),
    "closed.dat": ("held", ("not let the relay open", "read permission", "retry")),
    "vanishing.dat": (
        "held",
        ("Lost, unless the scanner can export it again", "gone before it was captured", "poll_s"),
    ),
}


def _bad_files(share: Path) -> None:
    (share / "empty.dat").touch()
    (share / "text.dat").write_text("Please export this again on Monday.\n" * 200)
    for number, name in enumerate(("cut.dat", "zero-tail.dat", "closed.dat"), start=50):
        size = make(share / name, measurement(number)).path.stat().st_size
        if name == "cut.dat":
            os.truncate(share / name, size * 6 // 10)
        if name == "zero-tail.dat":
            os.truncate(share / name, size * 6 // 10)
            os.truncate(share / name, size)
    (share / "closed.dat").chmod(0)


def _good_files(share: Path) -> dict[str, Raw]:
    latin = os.fsdecode(b"k\xf6rper 2.dat")
    names = ("good.dat", "größe und maß.dat", latin, "monday/same.dat", "tuesday/same.dat")
    made: dict[str, Raw] = {}
    for number, name in enumerate(names, start=1):
        made[name] = make(share / Path(name).name, measurement(number))  # the images lie beside the share
        (share / name).parent.mkdir(exist_ok=True)
        made[name] = Raw(made[name].path.rename(share / name), made[name].sha256, made[name].images)
    made["new-version.dat"] = make(share / "new-version.dat", measurement(7, software="syngo MR XA99"))
    return made


def test_every_bad_file_says_what_it_is_and_every_good_one_arrives(tmp_path: Path, powerless: list[str]) -> None:
    share = tmp_path / "scanner"
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=tmp_path, urls={"sandbox": sandbox.url}, port=free_port())
        config = relay.write()
        good = _good_files(share)
        grown = make(tmp_path / "grown" / "growing.dat", measurement(6, readouts=200))
        pieces = grown.path.read_bytes()
        _bad_files(share)
        with _served(config, port=relay.port, as_user=powerless) as running, (share / "growing.dat").open("wb") as file:
            vanishing = make(share / "vanishing.dat", measurement(60)).path
            wait_until(lambda: "vanishing.dat" in running.captures(), within_s=30)
            vanishing.unlink()
            images = [image for raw in (*good.values(), grown) for image in raw.images]
            send_until_taken(images, relay.port, within_s=30)
            for at in range(0, len(pieces), len(pieces) // 8):
                wait_until(lambda: _seen_size(running, "growing.dat") == file.tell(), within_s=30)
                assert running.captures()["growing.dat"]["state"] == "found"
                file.write(pieces[at : at + len(pieces) // 8])
                file.flush()
            good |= {"growing.dat": Raw(share / "growing.dat", grown.sha256, grown.images)}
            wait_until(lambda: _has_ended(running, set(good)), within_s=60, told=_is_told(running))
            captures = {_as_on_disk(path): row for path, row in running.captures().items()}
            for name, (_, words) in _ENDS.items():
                _assert_sentence(captures[name]["reason"], *words)
            assert captures["vanishing.dat"]["gone_at"]
            for number, (name, raw) in enumerate(good.items()):
                assert captures[name]["sha256"] == raw.sha256
                _assert_restored(running, raw, captures[name]["id"], tmp_path / f"back-{number}")
            assert captures.keys() == _ENDS.keys() | good.keys()
            show = [_KSPACE, "show", str(captures["new-version.dat"]["id"]), "-c", config]
            told = subprocess.run(show, capture_output=True, text=True, check=True).stdout
            assert "syngo MR XA99: No real file of this version has been seen yet" in " ".join(told.split())
    assert not [p for p in (tmp_path / "relay" / "spool").glob("*.packed") if p.stat().st_size == 0]


def _seen_size(running: Running, name: str) -> int:
    row = running.captures().get(name)
    return row["size"] if row else -1


def _as_on_disk(path: str) -> str:
    return os.fsdecode(path.removeprefix("latin-1:").encode("latin-1")) if path.startswith("latin-1:") else path


def _has_ended(running: Running, good: set[str]) -> bool:
    states = {_as_on_disk(path): row["state"] for path, row in running.captures().items()}
    return all(states.get(n) == "retired" for n in good) and all(states.get(n) == s for n, (s, _) in _ENDS.items())


def _one_file_to(folder: Path, relay: Relay, *, comments: str = "") -> Raw:
    relay.write()
    return make(folder / "scanner" / "good.dat", measurement(1), comments=comments)


def _of(running: Running, to: str, kind: str) -> dict[str, Any]:
    (row,) = running.deliveries(kind=kind, to=to)
    return row


def _is_verified(running: Running, to: str) -> bool:
    return [d["state"] for d in running.deliveries(kind="raw", to=to)] == ["verified"]


def test_a_wrong_password_stops_its_archive_alone_until_it_is_put_right(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "a", SandboxSettings()) as open_one, Sandbox(tmp_path / "b", _other("secret")) as locked:
        relay = Relay(folder=tmp_path, urls={"open": open_one.url, "locked": locked.url})
        raw = _one_file_to(tmp_path, relay)
        with relay.running() as running:
            assert send(raw.images, running.port) == []
            wait_until(lambda: _is_verified(running, "open"), within_s=30, told=_is_told(running))
            waiting = _of(running, "locked", "dicom")
            assert waiting["state"] == "queued"
            _assert_sentence(waiting["reason"], "locked", "refuses the credentials", "nothing is lost", "password")
            assert waiting["reason"] in running.alerts()
            assert "secret" not in "".join(running.alerts())
            (tmp_path / "locked-password").write_text("secret\n")
            retry(running.box.database, f"d{waiting['id']}", actor="a person", clock=running.box.clock)
            wait_until(lambda: _is_verified(running, "locked"), within_s=30, told=_is_told(running))
            wait_until(lambda: not running.alerts(), within_s=10)


def test_a_missing_right_is_waited_for_and_needs_no_retry(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "a", SandboxSettings()) as archive:
        relay = Relay(folder=tmp_path, urls={"central": archive.url})
        raw = _one_file_to(tmp_path, relay)
        denied = {"refuse": 1.0, "refuse_status": 403, "only": "(PUT|POST) .*"}
        httpx.put(f"{archive.url}/sandbox/faults", json=denied).raise_for_status()
        with relay.running() as running:
            assert send(raw.images, running.port) == []
            wait_until(lambda: any("403" in text for text in running.alerts()), within_s=30, told=_is_told(running))
            waiting = _of(running, "central", "dicom")
            assert waiting["state"] == "queued"
            _assert_sentence(waiting["reason"], "central", "does not let relay", "tries again by itself", "member role")
            httpx.put(f"{archive.url}/sandbox/faults", json={}).raise_for_status()
            wait_until(lambda: _is_verified(running, "central"), within_s=30, told=_is_told(running))
            wait_until(lambda: not running.alerts(), within_s=10)


def _other(password: str) -> SandboxSettings:
    return SandboxSettings(users=(User(name="relay", password=password, roles={"DEMO": "member"}),))


def test_an_unknown_project_holds_its_study_and_names_the_way_out(tmp_path: Path) -> None:
    projects = (Project(id="ELSE", prearchive_code=4),)
    users = (User(name="relay", password="relay", roles={"ELSE": "member"}),)
    with (
        Sandbox(tmp_path / "a", SandboxSettings()) as right,
        Sandbox(tmp_path / "b", SandboxSettings(projects=projects, users=users)) as wrong,
    ):
        relay = Relay(folder=tmp_path, urls={"right": right.url, "wrong": wrong.url})
        raw = _one_file_to(tmp_path, relay)
        with relay.running() as running:
            assert send(raw.images, running.port) == []
            wait_until(lambda: _is_verified(running, "right"), within_s=30, told=_is_told(running))
            wait_until(lambda: _of(running, "wrong", "dicom")["state"] == "held", within_s=30)
            reason = _of(running, "wrong", "dicom")["reason"]
            _assert_sentence(reason, "wrong", "project", "safe in the spool", "retry")
            assert reason in running.alerts()
            assert _of(running, "wrong", "raw")["state"] == "queued"


def test_an_archive_that_is_down_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with Sandbox(tmp_path / "a", SandboxSettings()) as up:
        relay = Relay(folder=tmp_path, urls={"up": up.url, "down": f"http://127.0.0.1:{port}"})
        raw = _one_file_to(tmp_path, relay)
        with relay.running() as running:
            assert send(raw.images, running.port) == []
            wait_until(lambda: _is_verified(running, "up"), within_s=30, told=_is_told(running))
            waiting = _of(running, "down", "dicom")
            assert waiting["state"] == "queued"
            assert "down does not answer" in waiting["reason"]
            assert waiting["reason"].endswith(
                "Everything for it waits, nothing is lost, and the relay tries again by itself."
            )
            assert waiting["reason"] in running.alerts()
            with Sandbox(tmp_path / "b", SandboxSettings(port=port)):
                wait_until(lambda: _is_verified(running, "down"), within_s=60, told=_is_told(running))
                wait_until(lambda: not running.alerts(), within_s=10)


def test_raw_with_a_patients_name_stays_until_its_project_allows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"patient_name": "Muster^Erika", "patient_id": "PID-4711", "birth_date": "19640812"}
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=tmp_path, urls={"sandbox": sandbox.url})
        relay.write()
        named = make(tmp_path / "scanner" / "named.dat", measurement(1, **values))
        blank = make(tmp_path / "scanner" / "blank.dat", measurement(2))
        with relay.running() as running:
            assert send([*named.images, *blank.images], running.port) == []
            wait_until(lambda: running.captures()["blank.dat"]["state"] == "retired", within_s=30)
            story = running.stories()["named.dat"]
            wait_until(lambda: _raw_of(running, "named.dat")["state"] == "held", within_s=30)
            reason = _raw_of(running, "named.dat")["reason"]
            _assert_sentence(reason, "privacy", "tPatientName", "not blanked", "identified_raw", "retry")
            told = [reason, *running.alerts(), str(running.stories()["named.dat"]["events"]), *capsys.readouterr()]
            assert "stage.committed" in "".join(told)
            assert not [v for v in values.values() if v in "".join(told)]
        allowed = relay.but(
            identified='identified_raw = { allowed_by = "The principal investigator", on = 2026-01-05 }'
        )
        with allowed.running() as running:
            assert _raw_of(running, "named.dat")["state"] == "held"
            retry(running.box.database, str(story["id"]), actor="a person", clock=running.box.clock)
            wait_until(lambda: running.captures()["named.dat"]["state"] == "retired", within_s=30)
            _assert_restored(running, named, story["id"], tmp_path / "back")
            wait_until(lambda: not running.alerts(), within_s=10)


def _raw_of(running: Running, path: str) -> dict[str, Any]:
    deliveries = running.stories()[path]["deliveries"]
    return deliveries[0] if deliveries else {"state": None, "reason": None}
