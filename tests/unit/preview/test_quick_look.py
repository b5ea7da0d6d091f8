"""The quick look as a caller gets it: a picture of a whole file, or one clear error and no process left behind."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from kspace.preview.png import SIGNATURE
from kspace.preview.quicklook import Limits, PreviewFailed, quick_look
from kspace.records import Verdict
from tests.integration.relay import wait_until
from transfer.app.rawfile import look_into

_MDH, _CHANNEL_HEADER, _LINE = 192, 32, 52
"""Bytes before a VD readout's channels, before a channel's samples; and where the header has its line."""


def samples(raw, *, change) -> None:
    """Let ``change`` work on the readouts of a VD practice file: their bytes, and their samples by channel."""
    scan = raw.measurements[0]
    stride = _CHANNEL_HEADER + 8 * scan.samples
    size = _MDH + scan.channels * stride
    shape = (scan.readouts, size)
    blocks = np.memmap(raw.path, np.uint8, "r+", scan.offset + scan.header_bytes, shape)
    channels = [blocks[:, _MDH + n * stride + _CHANNEL_HEADER : _MDH + (n + 1) * stride] for n in range(scan.channels)]
    floats = [channel.copy().view("<f4") for channel in channels]
    change(blocks, floats)
    for channel, values in zip(channels, floats, strict=True):
        channel[:] = values.view(np.uint8)
    blocks.flush()


@pytest.mark.parametrize("baseline", ["VB", "VD", "XA"])
def test_a_whole_file_gets_a_picture(practice, baseline):
    raw = practice(baseline=baseline)
    look = quick_look(raw.path, audit=raw.audit)
    assert look.png.startswith(SIGNATURE)
    assert (look.kind, look.reader, look.lines, look.missing_lines) == ("image", "twixtools", 64, 0)
    assert (len(look.noise), look.dead_channels, look.spiking_channels) == (4, (), ())
    assert len(look.picture) == len(look.picture[0]) == 64


def test_the_noise_is_what_was_written(practice):
    raw = practice(channels=2)
    noise = quick_look(raw.path, audit=raw.audit).noise
    assert noise == pytest.approx([2.0**-21] * 2, rel=0.1)  # synthetic: 2^11 steps of 2^-32


def test_one_line_is_a_spectrum(practice):
    raw = practice(readouts=1, samples=2048)
    assert quick_look(raw.path, audit=raw.audit).kind == "spectrum"


def test_channels_that_are_dead_or_spiking_are_named(practice):
    raw = practice(channels=6)

    def spoil(_blocks, floats):
        floats[1] *= 1e-3
        floats[4][7, 20] = 1e-3

    samples(raw, change=spoil)
    raw = look_into(raw.path)
    look = quick_look(raw.path, audit=raw.audit)
    assert (look.dead_channels, look.spiking_channels) == ((1,), (4,))


def test_lines_that_were_never_sent_are_counted(practice):
    raw = practice()

    def leave_out_three(blocks, _floats):
        numbers = np.arange(64, dtype=np.uint16)
        numbers[40:] += 3
        blocks[:, _LINE : _LINE + 2] = numbers.view(np.uint8).reshape(-1, 2)

    samples(raw, change=leave_out_three)
    look = quick_look(raw.path, audit=raw.audit)
    assert (look.lines, look.missing_lines) == (64, 3)


def test_a_name_without_an_ending_and_with_odd_bytes_is_no_matter(practice, tmp_path):
    raw = practice()
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9 [x]"))
    shutil.move(raw.path, odd)
    assert quick_look(odd, audit=raw.audit).kind == "image"


@pytest.mark.parametrize("verdict", [v for v in Verdict if not v.is_whole])
def test_a_damaged_file_is_refused_before_anything_is_started(practice, command, tmp_path, verdict):
    raw, started = practice(), tmp_path / "started"
    with pytest.raises(PreviewFailed, match=verdict.value):
        quick_look(
            raw.path, audit=replace(raw.audit, verdict=verdict), command=command(f"Path({str(started)!r}).touch()")
        )
    assert not started.exists()


def test_a_reader_that_hangs_is_ended_with_all_it_started(practice, command, tight, tmp_path):
    raw, pids = practice(), tmp_path / "pids"
    hangs = f"""
if sys.argv[1] == "mapvbvd":
    sys.exit(1)
other = os.fork()
if other:
    Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{other}}")
while True:
    signal.pause()
"""
    with pytest.raises(PreviewFailed, match=r"twixtools took longer than 3 s; mapvbvd failed with exit code 1"):
        quick_look(raw.path, audit=raw.audit, limits=tight, command=command(hangs))
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    wait_until(lambda: not any(is_running(pid) for pid in started), within_s=5)


def test_a_reader_that_returns_leaves_no_process_behind_either(practice, command, tight, tmp_path):
    raw, pids = practice(), tmp_path / "pids"
    leaves_one = f"""
other = os.fork()
while not other:
    signal.pause()
with Path({str(pids)!r}).open("a") as out:
    out.write(f"{{other}} ")
sys.exit(1)
"""
    with pytest.raises(PreviewFailed):
        quick_look(raw.path, audit=raw.audit, limits=tight, command=command(leaves_one))
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    wait_until(lambda: not any(is_running(pid) for pid in started), within_s=5)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("while True: pass", "was ended by SIGXCPU"),
        ("try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    sys.exit(9)", "failed with exit code 9"),
        ("sys.exit(3)", "failed with exit code 3"),
        ("raise ValueError('Doe^Jane')", "failed with exit code 1"),
        ("pass", "left no picture"),
        ("for n in ('png', 'json'): Path(sys.argv[3], f'preview.{n}').write_text('[]')", "left no picture"),
        ("Path(sys.argv[3], 'preview.png').write_bytes(bytes(64 << 20))", "failed with exit code 1"),
        ("Path(sys.argv[3], 'error').write_text('Doe, Jane'); sys.exit(1)", "failed with exit code 1"),
    ],
    ids=["crashes", "spins", "eats memory", "exits", "raises", "writes nothing", "writes rubbish", "floods", "talks"],
)
def test_a_reader_that_fails_costs_the_picture_only(practice, command, tight, text, said):
    raw = practice()
    before = raw.path.read_bytes()
    with pytest.raises(PreviewFailed, match=said) as failed:
        quick_look(raw.path, audit=raw.audit, limits=tight, command=command(text))
    assert "Doe" not in str(failed.value)
    assert raw.path.read_bytes() == before


def test_the_real_child_tells_the_name_of_its_error_and_no_more(practice):
    raw = practice()
    with pytest.raises(PreviewFailed, match=r"twixtools failed with \w*Error; mapvbvd failed with \w*Error"):
        quick_look(raw.path.parent, audit=raw.audit)  # a folder is no file


def test_the_real_readers_keep_to_their_memory(practice):
    raw = practice()
    with pytest.raises(PreviewFailed):
        quick_look(raw.path, audit=raw.audit, limits=Limits(memory_bytes=64 << 20))


def test_the_second_reader_tries_where_the_first_one_fails(practice, command):
    second_only = """
if sys.argv[1] == "twixtools":
    os.abort()
os.execv(sys.executable, [sys.executable, "-m", "kspace.preview", *sys.argv[1:]])
"""
    raw = practice()
    look = quick_look(raw.path, audit=raw.audit, command=command(second_only))
    assert (look.reader, look.kind, look.lines) == ("mapvbvd", "image", 64)


def test_the_readers_are_no_part_of_a_command_s_start():
    text = "import sys, transfer.app.cli; print({'twixtools', 'mapvbvd', 'matplotlib', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", text], text=True).strip() == "set()"
