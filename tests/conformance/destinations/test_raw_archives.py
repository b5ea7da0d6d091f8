"""What every archive for raw data must do, and never believe: one suite, all kinds."""

import traceback

import pytest

from kspace.errors import Retry, SpoolError
from tests.servers.meddler import CUT, LOSE_ANSWER
from transfer.destinations import Body, RawArchive
from transfer.destinations.errors import DestinationDown, Forbidden, NotHeld, Unauthorized

SMALL = b"k-space" * 1000
LARGE = bytes(range(256)) * (45 << 10)
"""11.25 MiB: three parts on S3."""


def gone():
    raise SpoolError("The packed file cannot be read.")
    yield b""


def freed(body):
    """Return the same body after the spool let it go."""
    return Body(size=body.size, md5=body.md5, sha256=body.sha256, blocks=gone)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_what_was_put_is_listed_proved_and_given_back(ward, data):
    body, told = Body.of(data), []
    ward.archive.put(ward.place, "f/part-00001.bin", body, progress=lambda: told.append(1))
    assert {name: stored.size for name, stored in ward.archive.listing(ward.place).items()} == {
        "f/part-00001.bin": len(data)
    }
    for afresh in (False, True):
        (proof,) = ward.archive.prove(ward.place, {"f/part-00001.bin": body}, afresh=afresh).values()
        assert proof.digest
    with ward.archive.read(ward.place, "f/part-00001.bin") as blocks:
        assert b"".join(blocks) == data
    assert told


def test_it_keeps_to_the_port(ward):
    assert {name for name in vars(RawArchive) if not name.startswith("_")} <= set(dir(ward.archive))


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_second_put_replaces_the_first(ward, data):
    ward.archive.put(ward.place, "f/x.bin", Body.of(data))
    other = Body.of(data[::-1])
    ward.archive.put(ward.place, "f/x.bin", other)
    assert ward.archive.prove(ward.place, {"f/x.bin": other})
    with pytest.raises(NotHeld):
        ward.archive.prove(ward.place, {"f/x.bin": Body.of(data)})


def test_everything_that_is_missing_is_named_at_once(ward):
    body = Body.of(SMALL)
    ward.archive.put(ward.place, "f/x.bin", body)
    with pytest.raises(NotHeld, match="2 more") as caught:
        ward.archive.prove(ward.place, dict.fromkeys(("f/a.bin", "f/b.bin", "f/c.bin", "f/x.bin"), body))
    assert caught.value.names == {"f/a.bin", "f/b.bin", "f/c.bin"}


def test_what_is_not_there_cannot_be_read(ward):
    with pytest.raises(NotHeld), ward.archive.read(ward.place, "f/x.bin") as blocks:
        next(blocks)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_other_bytes_of_the_same_length_are_found(ward, data):
    body = Body.of(data)
    for name in ("f/x.bin", "f/y.bin"):
        ward.archive.put(ward.place, name, body)
    ward.alter("f/x.bin", bytes(len(data)))
    with pytest.raises(NotHeld) as caught:
        ward.archive.prove(ward.place, {"f/x.bin": body, "f/y.bin": body}, afresh=True)
    assert caught.value.names == {"f/x.bin"}


def test_what_the_spool_let_go_is_proved_by_what_the_archive_gives_back(ward):
    body = Body.of(LARGE)
    ward.archive.put(ward.place, "f/x.bin", body)
    proof = ward.archive.prove(ward.place, {"f/x.bin": freed(body)})["f/x.bin"]
    assert proof.digest == f"sha256:{body.sha256}"
    ward.alter("f/x.bin", bytes(body.size))
    with pytest.raises(NotHeld):
        ward.archive.prove(ward.place, {"f/x.bin": freed(body)})


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", [CUT, LOSE_ANSWER])
def test_a_broken_line_leaves_nothing_that_passes_for_the_file(ward, data, how):
    body = Body.of(data)
    ward.hurt(how)
    with pytest.raises(DestinationDown):
        ward.archive.put(ward.place, "f/x.bin", body)
    ward.hurt(None)
    is_there = "f/x.bin" in ward.archive.listing(ward.place)
    if is_there:  # the answer was lost, the work was done
        assert ward.archive.prove(ward.place, {"f/x.bin": body})
    assert not (is_there and how == CUT)
    ward.archive.put(ward.place, "f/x.bin", body)
    assert ward.archive.prove(ward.place, {"f/x.bin": body})


def test_who_may_not_write_is_told_before_anything_is_sent(ward):
    with pytest.raises(Forbidden) as caught:
        ward.stranger().open_place(project="P", experiment=ward.session, series_uid=None)
    assert (caught.value.retry, caught.value.pauses, caught.value.of_project) == (Retry.LATER, True, True)


def test_wrong_credentials_pause_for_long_and_are_not_shown(ward):
    with pytest.raises(Unauthorized) as caught:
        ward.impostor().check()
    assert caught.value.pauses
    assert caught.value.pause_s == 900
    shown = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in ward.secrets if secret in shown] == []


def test_nobody_at_the_other_end_is_down_not_wrong(ward):
    with pytest.raises(DestinationDown, match="nothing is lost"):
        ward.nowhere().check()


def test_the_check_says_what_it_saw(ward):
    assert ward.archive.check()
    assert ward.archive.server_date()
