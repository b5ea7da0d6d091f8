"""The XNAT destination against an XNAT as unkind as the real one: what it never believes, and what it says instead."""

import hashlib

import httpx
import pytest

from kspace.errors import Retry
from transfer.destinations import Body, Stored
from transfer.destinations.errors import DestinationDown, Forbidden, Missing, NotHeld, TooLarge, Unauthorized
from transfer.destinations.imaging import Labels

_SERIES = "1.2.840.1.5"


def a_body(data=b"k-space" * 1000):
    return Body(
        size=len(data),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        blocks=lambda: iter((data[:100], data[100:])),
    )


@pytest.fixture
def place(connect, session):
    return connect().open_place(project="P", experiment=session, series_uid=_SERIES)


def test_a_place_is_below_the_scan_of_the_series_or_below_the_session(connect, session):
    archive = connect()
    assert archive.open_place(project="P", experiment=session, series_uid=_SERIES).endswith("/scans/5/resources/KSPACE")
    at_session = archive.open_place(project="P", experiment=session, series_uid=None)
    assert at_session == f"/data/experiments/{session}/resources/KSPACE"
    assert archive.open_place(project="P", experiment=session, series_uid=None) == at_session


def test_places_are_found_by_what_the_archive_calls_them_and_nothing_is_made(connect, session, place):
    archive = connect()
    assert archive.places(project="P", session=session, scan=None) == [place]
    assert archive.places(project="P", session=session, scan="5") == [place]
    at_session = archive.open_place(project="P", experiment=session, series_uid=None)
    assert archive.places(project="P", session=session, scan=None) == [at_session, place]
    assert archive.places(project="P", session=session, scan="5") == [place]
    with pytest.raises(Missing, match="no scan 6; it has: 5"):
        archive.places(project="P", session=session, scan="6")
    for unknown in ({"project": "P", "session": "NOPE"}, {"project": "Q", "session": session}):
        with pytest.raises(Missing):
            archive.places(**unknown, scan=None)


PROBED = {"digest": True, "refresh_fills": True, "refresh_recomputes": True}
"""What a probe finds on an XNAT as it normally is."""


def test_what_was_put_is_listed_proved_and_given_back(connect, place):
    archive, body = connect(facts=PROBED), a_body()
    archive.put(place, "f/part-00001.bin", body)
    assert archive.listing(place) == {"f/part-00001.bin": Stored(size=body.size, md5=body.md5)}
    proof = archive.prove(place, {"f/part-00001.bin": body})["f/part-00001.bin"]
    assert proof.digest == f"md5:{body.md5}"
    with archive.read(place, "f/part-00001.bin") as blocks:
        assert b"".join(blocks) == b"".join(body.blocks())


def test_the_users_listing_of_an_unknown_place_proves_nothing(connect, place):
    with pytest.raises(NotHeld):
        connect().prove(place, {"f/part-00001.bin": a_body()})


def test_a_byte_that_flipped_on_the_archives_disk_is_found(connect, place, play):
    play(corrupt_uploads=(1,))
    archive, body = connect(), a_body()
    archive.put(place, "f/x.bin", body)
    with pytest.raises(NotHeld):
        archive.prove(place, {"f/x.bin": body})


def reads(sandbox, name="x.bin"):
    """Count how often a file was fetched in full."""
    log = httpx.get(f"{sandbox.url}/sandbox/log").json()
    return sum(r["method"] == "GET" and r["path"].endswith(name) for r in log)


@pytest.mark.parametrize(("facts", "fetched"), [(None, 1), (PROBED | {"refresh_fills": False}, 1), (PROBED, 0)])
def test_without_checksums_it_asks_for_them_or_reads_back(connect, place, sandbox, *, facts, fetched):
    httpx.put(f"{sandbox.url}/sandbox/settings", json={"checksums": False}).raise_for_status()
    archive, body = connect(facts=facts), a_body()
    archive.put(place, "f/x.bin", body)
    assert archive.listing(place)["f/x.bin"].md5 is None
    assert archive.prove(place, {"f/x.bin": body})
    assert reads(sandbox) == fetched
    with pytest.raises(NotHeld):
        archive.prove(place, {"f/x.bin": a_body(bytes(body.size))})


def test_one_that_was_never_probed_must_give_every_byte_back(connect, place, sandbox):
    archive, body = connect(), a_body()
    archive.put(place, "f/x.bin", body)
    assert archive.listing(place)["f/x.bin"].md5 == body.md5, "it lists a digest, and that is not enough"
    assert archive.prove(place, {"f/x.bin": body})["f/x.bin"].digest == f"sha256:{body.sha256}"
    assert reads(sandbox) == 1


def test_a_digest_in_capital_letters_is_the_same_digest(connect, place, tmp_path):
    archive, body = connect(facts=PROBED), a_body()
    archive.put(place, "f/x.bin", body)
    catalog = next(path for path in (tmp_path / "archive").rglob("_catalog.xml") if body.md5 in path.read_text())
    catalog.write_text(catalog.read_text().replace(body.md5, body.md5.upper()))
    assert archive.listing(place) == {"f/x.bin": Stored(size=body.size, md5=body.md5)}
    assert archive.prove(place, {"f/x.bin": body})


def test_damage_after_storing_is_seen_by_a_fresh_proof_alone(connect, place, sandbox, tmp_path):
    archive, body = connect(facts=PROBED), a_body()
    for name in ("f/x.bin", "f/y.bin"):
        archive.put(place, name, body)
    (stored,) = (tmp_path / "archive").rglob("x.bin")
    stored.write_bytes(bytes(body.size))
    files = {"f/x.bin": body, "f/y.bin": body}
    assert archive.prove(place, files), "the list still shows the digest of what was stored"
    with pytest.raises(NotHeld) as careful:
        connect().prove(place, files, afresh=True)
    with pytest.raises(NotHeld) as refreshed:
        archive.prove(place, files, afresh=True)
    assert careful.value.names == refreshed.value.names == {"f/x.bin"}
    assert archive.listing(place)["f/x.bin"].md5 != body.md5, "it took the digests anew"


def test_an_answer_lost_after_the_work_was_done_is_no_answer(connect, place, play):
    play(gateway_timeout=1.0, only="PUT")
    archive, body = connect(), a_body()
    with pytest.raises(DestinationDown):
        archive.put(place, "f/x.bin", body)
    play()
    assert archive.prove(place, {"f/x.bin": body}), "the upload had succeeded behind the proxy"


@pytest.mark.parametrize("fault", ["drop_before", "drop_within", "drop_after"])
def test_a_cut_line_leaves_nothing_that_passes_for_the_file(connect, place, play, fault):
    play(**{fault: 1.0}, only="PUT")
    archive, body = connect(), a_body(bytes(range(256)) * 4000)
    with pytest.raises(DestinationDown):
        archive.put(place, "f/x.bin", body)
    play()
    listed = archive.listing(place)
    assert listed in ({}, {"f/x.bin": Stored(size=body.size, md5=body.md5)})
    archive.put(place, "f/x.bin", body)
    assert archive.prove(place, {"f/x.bin": body})


def test_a_line_that_breaks_once_on_a_read_is_no_outage(connect, place, play):
    play(drop_before=1.0, only="GET", limit=2)
    assert connect().listing(place) == {}


def test_a_reader_is_told_that_it_may_not_write_before_anything_is_sent(connect, session, sandbox):
    with pytest.raises(Forbidden, match="member role") as caught:
        connect("reader", "reader").open_place(project="P", experiment=session, series_uid=_SERIES)
    assert (caught.value.retry, caught.value.of_project) == (Retry.LATER, True)


def test_a_body_that_a_proxy_refuses_is_too_large(connect, place, play):
    play(body_limit_bytes=1000)
    with pytest.raises(TooLarge, match="413"):
        connect().put(place, "f/x.bin", a_body())


@pytest.mark.parametrize("experiment", ["XNAT_E99999", "NOPE"])
def test_an_unknown_session_never_falls_back_to_its_project(connect, session, experiment):
    with pytest.raises(Missing):
        connect().open_place(project="P", experiment=experiment, series_uid=None)


def test_an_unknown_series_is_missing(connect, session):
    with pytest.raises(Missing, match="no scan of this series"):
        connect().open_place(project="P", experiment=session, series_uid="1.2.3")


def test_a_session_of_another_project_is_missing(connect, session):
    with pytest.raises(Missing, match="not in project Q"):
        connect().open_place(project="Q", experiment=session, series_uid=None)


def test_wrong_credentials_stop_at_once_and_for_long(connect, sandbox):
    with pytest.raises(Unauthorized, match="password") as caught:
        connect("relay", "wrong").check()
    assert caught.value.pauses
    assert caught.value.pause_s == 900
    refused = [r for r in httpx.get(f"{sandbox.url}/sandbox/log").json() if r["status"] == 401]
    assert len(refused) == 1


def test_the_check_names_the_version_and_the_account(connect):
    assert connect().check() == "signed in to XNAT 1.8.11 as relay"


def test_no_label_stands_in_an_import_s_url(connect, sandbox):
    empty = b"PK\x05\x06" + bytes(18)
    body = Body(size=len(empty), md5="", sha256="", blocks=lambda: iter((empty,)), suffix=".zip")
    labels = Labels(project="P", subject="DOE_JANE", session="DOE_JANE_1", study_uid="1.2")
    assert connect().import_zip(body, labels) is None
    log = httpx.get(f"{sandbox.url}/sandbox/log").text
    assert "/data/services/import" in log
    assert "DOE_JANE" not in log


@pytest.mark.parametrize("asked", ["GET .*/x.bin", "HEAD", "GET .*/files$", "GET .*buildInfo"])
def test_a_log_in_page_says_nothing_about_what_is_held(connect, place, play, asked):
    """Taken for the file it would have everything sent again, and after the receipt raise a false alarm."""
    archive, body = connect(), a_body()
    archive.put(place, "f/x.bin", body)
    play(refuse=1.0, refuse_status=200, only=asked)
    with pytest.raises(DestinationDown):
        archive.prove(place, {"f/x.bin": body})


@pytest.mark.parametrize("status", [302, 408, 429, 502, 503])
def test_whoever_cannot_now_is_asked_again_and_nobody_is_called(connect, place, play, status):
    play(refuse=1.0, refuse_status=status)
    with pytest.raises(DestinationDown, match=str(status)):
        connect().put(place, "f/x.bin", a_body())


def test_a_container_whose_xnat_has_not_started_misses_nothing(connect, session, place, play):
    """It answers 404 to everything: no session is gone, and no file."""
    archive, body = connect(), a_body()
    archive.put(place, "f/x.bin", body)
    play(refuse=1.0, refuse_status=404)
    with pytest.raises(DestinationDown, match="404 for everything"):
        archive.open_place(project="P", experiment=session, series_uid=None)
    with pytest.raises(DestinationDown, match="404 for everything"):
        archive.put(place, "f/y.bin", body)
    play(refuse=1.0, refuse_status=404, only="HEAD|buildInfo", seed=1)
    with pytest.raises(DestinationDown):
        archive.prove(place, {"f/x.bin": body})


def test_a_line_that_breaks_while_a_file_is_read_back_costs_that_file_alone(connect, place, sandbox, play):
    archive, body = connect(), a_body()
    for name in ("f/x.bin", "f/y.bin"):
        archive.put(place, name, body)
    play(drop_before=1.0, only="GET .*/y.bin", limit=2)
    assert archive.prove(place, {"f/x.bin": body, "f/y.bin": body})
    assert (reads(sandbox, "x.bin"), reads(sandbox, "y.bin")) == (1, 3)


@pytest.mark.parametrize("facts", [None, PROBED])
def test_parts_that_changed_places_on_the_archives_disk_are_both_found(connect, place, tmp_path, facts):
    bodies = {"f/x.bin": a_body(b"first " * 1000), "f/y.bin": a_body(b"other " * 1000)}
    archive = connect(facts=facts)
    for name, body in bodies.items():
        archive.put(place, name, body)
    x, y = (next((tmp_path / "archive").rglob(name)) for name in ("x.bin", "y.bin"))
    first, other = x.read_bytes(), y.read_bytes()
    x.write_bytes(other)
    y.write_bytes(first)
    with pytest.raises(NotHeld) as caught:
        archive.prove(place, bodies, afresh=True)
    assert caught.value.names == bodies.keys()


@pytest.mark.parametrize("facts", [None, PROBED])
def test_a_listing_that_shows_what_is_gone_proves_nothing(connect, place, tmp_path, facts):
    archive, body = connect(facts=facts), a_body()
    archive.put(place, "f/x.bin", body)
    next((tmp_path / "archive").rglob("x.bin")).unlink()
    assert archive.listing(place)["f/x.bin"].md5 == body.md5
    with pytest.raises(NotHeld, match="does not have it") as caught:
        archive.prove(place, {"f/x.bin": body})
    assert caught.value.names == {"f/x.bin"}
