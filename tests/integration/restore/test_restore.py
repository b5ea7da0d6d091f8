"""Original files back from an archive by a relay that has nothing but its configuration.

Whole, in excerpts, as far as they go, and from where an earlier try ended.
"""

import json
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from lost_box import KSPACE, SMALL, SPAN, VB, Lost, of_vb, spoil
from typer.testing import CliRunner

from kspace.errors import BadInput, NotFound
from kspace.records import Verdict
from kspace.twix.header import read_head
from kspace.twix.walk import Walker
from tests.integration.relay import wait_until
from transfer.app.cli import app
from transfer.destinations.errors import DestinationDown, Missing, NotHeld
from transfer.restore.partial import TargetFailed


def walked(data: bytes) -> Walker:
    walker = Walker(len(data))
    walker.feed(data)
    return walker


# --- whole ------------------------------------------------------------------------------------------------------------


def test_a_box_with_nothing_but_its_configuration_gets_a_session_back(lost):
    assert "identical to the file on the scanner" in lost.restore()
    assert (lost.out / SPAN).read_bytes() == lost.raws[SPAN].path.read_bytes()
    assert [p.name for p in lost.out.iterdir()] == [SPAN]
    assert "is there already" in lost.restore()
    assert "is there already" in lost.restore("--scan", "1", "--from", "central")


def test_what_is_not_there_is_named(lost):
    assert "no scan 7; it has: 1" in lost.fails(Missing, "--scan", "7")
    assert "there are: central" in lost.fails(NotFound, "--from", "vault")
    said = CliRunner().invoke(app, [*lost.command()[:-3], "nobody", "-c", str(lost.config), "-o", str(lost.out)])
    assert isinstance(said.exception, Missing)


@pytest.mark.parametrize(
    "wrong", ["", "--project DEMO", "7 --project DEMO", "7 --only half", "7 --only header --keep-damaged"]
)
def test_a_wish_that_cannot_be_understood_is_refused(lost, wrong):
    said = CliRunner().invoke(app, ["restore", *wrong.split(), "-o", str(lost.out), "-c", str(lost.config)])
    assert type(said.exception) is BadInput


def test_a_file_of_that_name_is_left_as_it_is(lost):
    lost.out.mkdir()
    (lost.out / SPAN).write_bytes(b"mine")
    assert "is left as it is" in lost.fails(BadInput)
    assert (lost.out / SPAN).read_bytes() == b"mine"


def test_a_file_that_cannot_be_had_holds_up_no_other(lost):
    lost = of_vb(lost)
    lost.stored(VB, "part-00001.bin").unlink()
    said = CliRunner().invoke(app, [*lost.command(), "-o", str(lost.out)])
    assert said.exit_code == NotHeld.exit_code
    assert "part-00001.bin is missing" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert (lost.out / SMALL).read_bytes() == lost.raws[SMALL].path.read_bytes()
    assert not (lost.out / VB).exists()


# --- excerpts ---------------------------------------------------------------------------------------------------------


def test_the_headers_alone_cost_the_parts_that_hold_them(lost):
    everything = len(list(lost.stored(SPAN, "manifest.json").parent.glob("part-*")))
    lost.fetched()
    assert "the headers" in lost.restore("--only", "header")
    assert 0 < len(lost.fetched()) < everything
    data, whole = (lost.out / SPAN.replace(".dat", ".header.dat")).read_bytes(), lost.raws[SPAN].path.read_bytes()
    found = read_head(lambda at, count: data[at : at + count], len(data))
    original = read_head(lambda at, count: whole[at : at + count], len(whole))
    assert [m.mid for m in found] == [91, 92, 1]
    for short, long in zip(found, original, strict=True):
        at, end = short.offset, short.offset + short.header_bytes
        assert data[at:end] == whole[long.offset : long.offset + long.header_bytes]


@pytest.mark.parametrize(("number", "mid"), [(1, 91), (2, 92), (3, 1)])
def test_one_measurement_is_a_whole_file_of_its_own(lost, number, mid):
    lost.restore("--only", f"measurement-{number}")
    data = (lost.out / SPAN.replace(".dat", f".measurement-{number}.dat")).read_bytes()
    walker = walked(data)
    assert walker.finish().verdict is Verdict.COMPLETE_NATIVE
    assert [m.mid for m in walker.measurements] == [mid]
    whole = walked(lost.raws[SPAN].path.read_bytes())
    whole.finish()
    assert walker.measurements[0].ticks == whole.measurements[number - 1].ticks
    assert walker.measurements[0].samples == whole.measurements[number - 1].samples


def test_a_vb_file_has_no_directory_and_one_measurement(lost):
    lost = of_vb(lost)
    lost.restore("--only", "header", "--scan", "2")
    whole = lost.raws[VB].path.read_bytes()
    (head,) = read_head(lambda at, count: whole[at : at + count], len(whole))
    assert (lost.out / VB.replace(".dat", ".header.dat")).read_bytes() == whole[: head.header_bytes]
    lost.restore("--only", "1", "--scan", "2")
    assert (lost.out / VB.replace(".dat", ".measurement-1.dat")).read_bytes() == whole
    assert "no number 2" in lost.fails(BadInput, "--only", "2", "--scan", "2")


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_a_killed_restore_goes_on_and_fetches_no_proved_part_again(lost):
    everything = sorted(p.name for p in lost.stored(SPAN, "manifest.json").parent.glob("part-*"))
    lost.play(delay_s=0.5, only="GET .*part-")
    command = [KSPACE, *lost.command("--at-once", 1), "-o", lost.out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def proved() -> list[str]:
        journals = list(lost.out.glob(".*.journal")) if lost.out.exists() else []
        return [json.loads(line)["part"] for line in journals[0].read_bytes().splitlines()[1:]] if journals else []

    wait_until(lambda: len(proved()) >= 2, within_s=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = proved()
    assert 2 <= len(kept) < len(everything), "it was done before the kill, so nothing was proved"
    assert not (lost.out / SPAN).exists()
    lost.play()
    lost.fetched()
    lost.restore()
    assert set(lost.fetched()) == set(everything) - set(kept)
    assert (lost.out / SPAN).read_bytes() == lost.raws[SPAN].path.read_bytes()
    assert [p.name for p in lost.out.iterdir()] == [SPAN]


def test_what_changed_on_the_disk_meanwhile_is_fetched_again(lost):
    lost.play(refuse=1.0, only="GET .*part-00003")
    lost.fails(DestinationDown)
    (half,) = lost.out.glob(".*.partial")
    spoil(half, at=100)
    lost.play()
    lost.restore()
    assert (lost.out / SPAN).read_bytes() == lost.raws[SPAN].path.read_bytes()


def test_a_network_that_ends_is_said_once_and_gone_on_from(lost):
    lost.play(refuse=1.0, only="GET .*part-00003")
    said = lost.fails(DestinationDown)
    assert "the same command goes on from it" in said
    assert said.count(". ") == 1
    lost.play()
    lost.fetched()
    lost.restore()
    assert "part-00001.bin" not in lost.fetched()


def test_a_connection_that_is_cut_now_and_then_is_no_matter(lost):
    lost.play(seed=4, drop_before=0.5, only="GET .*part-", limit=2)
    lost.restore()


@contextmanager
def _stalled(lost: Lost) -> Iterator[subprocess.Popen[str]]:
    """Start a restore that waits for its first parts."""
    lost.play(delay_s=100.0, only="GET .*part-")
    as_told = ["env", "--default-signal=INT"]  # tests in the background ignore Ctrl-C, and that is inherited
    command = [*as_told, KSPACE, *lost.command(), "-o", lost.out]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(lost.out.glob(".*.journal")) if lost.out.exists() else [], within_s=30)
    yield process
    process.kill()
    process.communicate()
    lost.play()


def test_ctrl_c_is_answered_in_one_sentence(lost):
    with _stalled(lost) as process:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said == "kspace: Stopped. What was proved is kept; the same command goes on from it.\n"


def test_two_restores_to_one_place_do_not_mix(lost):
    with _stalled(lost):
        assert "Another restore" in lost.fails(BadInput)
    lost.restore()


def test_a_full_disk_is_said_and_gone_on_from(lost):
    size = lost.raws[SPAN].path.stat().st_size
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
    process = subprocess.run(
        [KSPACE, *lost.command(), "-o", lost.out], stderr=subprocess.PIPE, text=True, preexec_fn=limit, check=False
    )
    assert process.returncode == TargetFailed.exit_code
    assert "the same command goes on" in process.stderr
    assert len(process.stderr.splitlines()) == 1
    lost.restore()


# --- damaged ----------------------------------------------------------------------------------------------------------


def test_a_damaged_part_is_named_with_what_is_whole(lost):
    spoil(lost.stored(SPAN, "part-00003.bin"))
    said = lost.fails(NotHeld)
    assert "part-00003.bin is damaged" in said
    assert "Whole: measurement 1, 2 of 3." in said
    assert not (lost.out / SPAN).exists()
    spoil(lost.stored(SPAN, "part-00003.bin"))
    lost.fetched()
    lost.restore()
    assert lost.fetched() == ["part-00003.bin"], "only the part that was wrong"


def test_a_missing_part_is_named_and_other_measurements_are_to_be_had(lost):
    lost.stored(SPAN, "part-00002.bin").unlink()
    assert "part-00002.bin is missing" in lost.fails(NotHeld)
    lost.restore("--only", "measurement-1")
    assert walked((lost.out / SPAN.replace(".dat", ".measurement-1.dat")).read_bytes()).finish().verdict.is_whole


def test_what_there_is_can_be_kept_with_its_holes_named(lost):
    spoil(lost.stored(SPAN, "part-00003.bin"))
    assert "holds what there is" in lost.fails(NotHeld, "--keep-damaged")
    kept, whole = lost.out / SPAN.replace(".dat", ".damaged.dat"), lost.raws[SPAN].path.read_bytes()
    said = json.loads(Path(f"{kept}.holes.json").read_text())
    (hole,) = said["holes"]
    ((start, end),) = hole["ranges"]
    data = kept.read_bytes()
    assert data[:start] + data[end:] == whole[:start] + whole[end:]
    assert data[start:end] == bytes(end - start)
    assert said["whole_measurements"] == [1, 2]
    assert "exists already" in lost.fails(BadInput, "--keep-damaged")


def test_swapped_parts_are_told_from_right_ones(lost):
    one, other = lost.stored(SPAN, "part-00003.bin"), lost.stored(SPAN, "part-00004.bin")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    said = lost.fails(NotHeld)
    assert "part-00003.bin is damaged, part-00004.bin is damaged" in said


def test_the_manifest_of_another_file_is_told(lost):
    shutil.copy(lost.stored(VB, "manifest.json"), lost.stored(SPAN, "manifest.json"))
    assert "is of another file" in lost.fails(NotHeld)


@pytest.mark.parametrize("change", [b"{", b'"version":1', b'"size":'])
def test_a_damaged_manifest_is_told(lost, change):
    path = lost.stored(SPAN, "manifest.json")
    path.write_bytes(path.read_bytes().replace(change, change[:-1] + b"9"))
    assert "manifest" in lost.fails(NotHeld)


def test_a_manifest_whose_table_was_changed_never_gives_a_file(lost):
    path = lost.stored(SPAN, "manifest.json")
    said = json.loads(path.read_bytes())
    said["chunks"][0], said["chunks"][1] = said["chunks"][1], said["chunks"][0]
    path.write_bytes(json.dumps(said).encode())
    lost.fails(NotHeld)
    assert not (lost.out / SPAN).exists()


@pytest.mark.parametrize("said", [b"", b"{}", b'{"manifest_sha256": "0"}'])
def test_without_a_delivery_document_the_list_of_parts_does(lost, said):
    lost.stored(SPAN, "delivery.json").write_bytes(said)
    lost.restore()


def test_a_delivery_that_never_ended_is_named(lost):
    manifest = lost.stored(SPAN, "manifest.json")
    where = manifest.parent.relative_to(manifest.parents[1]) / manifest.name
    catalog = next(manifest.parents[1].glob("*.xml"))
    lines = catalog.read_text().splitlines()
    catalog.write_text("\n".join(line for line in lines if str(where) not in line))
    said = CliRunner().invoke(app, [*lost.command(), "-o", str(lost.out)])
    assert said.exit_code == NotFound.exit_code
    assert "never ended; left out" in said.stderr
