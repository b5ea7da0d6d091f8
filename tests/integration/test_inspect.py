"""`kspace inspect` and `kspace show FILE` as they are typed: on practice files, damaged, odd and real ones."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import CliRunner

from kspace.preview.png import SIGNATURE
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.app.cli import app
from transfer.app.cli.show_file import half_blocks
from transfer.app.rawfile import clock_time, printable

_KSPACE = Path(sys.executable).with_name("kspace")
_ODD = b"caf\xe9 \x1b[31m[red]\n.dat"


def kspace(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_KSPACE, *arguments], capture_output=True, text=True, check=False)


def said(*arguments) -> str:
    """Return what a command that succeeds says, run inside this process: a start of Python is a second."""
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def rows(*arguments) -> dict[str, dict]:
    return {row["file"]: row for row in json.loads(said("inspect", "--json", *arguments))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as one finds it: whole files, a cut one, one that is none, one that is gone, a pipe, odd names."""
    place = tmp_path_factory.mktemp("share")
    (place / "inner").mkdir()
    write_twix(place / "whole.dat", Synthetic(mid=12, protocol="[red]ep2d[/]"))
    write_twix(place / "inner" / "old.dat", Synthetic(baseline="VB", mid=13, is_streamed=True))
    write_twix(place / "two.dat", Synthetic(mid=20, channels=2), Synthetic(mid=21, fid=40_021))
    write_twix(place / "exposed.dat", Synthetic(mid=14, patient_name="Doe^Jane", patient_id="4711"))
    data = (place / "whole.dat").read_bytes()
    (place / "cut.dat").write_bytes(data[: len(data) // 2])
    (place / "notes.txt").write_text("nothing of the kind")
    (place / "empty.dat").touch()
    (place / "gone.dat").symlink_to(place / "nowhere")
    os.mkfifo(place / "pipe.dat")
    Path(os.fsdecode(bytes(place) + b"/" + _ODD)).write_bytes(data)
    return place


def test_every_file_is_a_line_and_none_is_the_end(folder):
    found = rows(folder)
    assert {name: row["verdict"] for name, row in found.items()} == {
        "whole.dat": "complete native",
        "inner/old.dat": "complete streamed",
        "two.dat": "complete native",
        "exposed.dat": "complete native",
        "cut.dat": "cut in readout",
        "notes.txt": "not TWIX",
        "empty.dat": "not TWIX",
        "gone.dat": "unreadable",
        "pipe.dat": "unreadable",
        "caf\\xe9 \\x1b[31m[red]\\n.dat": "complete native",
    }


def test_a_line_tells_who_made_a_file_and_what_it_is(folder):
    found = rows(folder)
    assert found["two.dat"] == {
        "file": "two.dat",
        "mid": 21,
        "fid": 40_021,
        "protocol": "gre",
        "sequence": "%SiemensSeq%\\gre",
        "size": (folder / "two.dat").stat().st_size,
        "channels": 4,
        "start": "10:00:00.0000",
        "verdict": "complete native",
        "software": "syngo MR E11",
        "is_seen_software": True,
        "unread": None,
        "measurements": 2,
        "readouts": 64,
        "samples": 256,
        "position": (folder / "two.dat").stat().st_size,
        "reason": found["two.dat"]["reason"],
    }
    assert found["cut.dat"]["position"] > 0
    assert "no regular file" in found["pipe.dat"]["reason"]


def test_a_quick_look_at_a_folder_reads_no_readout(folder):
    found = rows("--quick", folder)
    assert (found["whole.dat"]["verdict"], found["cut.dat"]["verdict"]) == ("complete native", "cut in readout")
    assert (found["whole.dat"]["mid"], found["whole.dat"]["channels"], found["whole.dat"]["start"]) == (12, None, None)


def test_csv_says_the_same_as_json(folder):
    table = csv.DictReader(io.StringIO(said("inspect", "--csv", folder)))
    assert {r["file"]: (r["mid"], r["verdict"]) for r in table} == {
        name: ("" if row["mid"] is None else str(row["mid"]), row["verdict"]) for name, row in rows(folder).items()
    }


def test_the_table_shows_names_as_they_are_and_obeys_none(folder):
    table = said("inspect", folder)
    assert "[red]ep2d[/]" in table
    assert "\x1b" not in table
    assert "caf\\xe9 \\x1b[31m[red]\\n.dat" in table
    assert "10 files, 5 of them whole raw files." in table
    assert max(map(len, table.splitlines())) < 200


def test_nothing_said_of_a_file_names_its_patient(folder):
    texts = [said("inspect", *how, folder) for how in ([], ["--json"], ["--csv"])]
    texts += [said("show", folder / "exposed.dat", *how) for how in ([], ["--json"])]
    assert [text for text in texts if "Doe" in text or "4711" in text or not text] == []


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["inspect", "/nowhere/at/all"], 4, "There is no folder /nowhere/at/all"),
        (["inspect", "--json", "--csv", "."], 2, "Choose one of --json and --csv."),
        (["show", "/nowhere/a.dat"], 4, "/nowhere/a.dat is neither a capture's number nor a file"),
        (["show", "."], 5, "Is a directory"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, code, why):
    ended = kspace(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr


def test_memory_stays_flat_on_large_and_on_many_files(tmp_path):
    small, large, many = (tmp_path / name for name in ("small", "large", "many"))
    for place in (small, large, many):
        place.mkdir()
    write_twix(small / "a.dat", Synthetic())
    write_twix(large / "a.dat", Synthetic(readouts=3000, channels=16, samples=512))
    assert (large / "a.dat").stat().st_size > 180 << 20
    for number in range(300):
        (many / f"{number}.dat").hardlink_to(small / "a.dat")
    least, on_large, on_many = (peak_bytes(place) for place in (small, large, many))
    assert on_large - least < 24 << 20
    assert on_many - least < 24 << 20


def peak_bytes(place: Path) -> int:
    """Return the most memory that `kspace inspect` held resident at any time."""
    inspecting = subprocess.Popen([_KSPACE, "inspect", place], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(inspecting.pid, 0)
    inspecting.returncode = os.waitstatus_to_exitcode(status)
    assert inspecting.returncode == 0
    return usage.ru_maxrss * 1024


def test_show_tells_a_file_s_story_and_writes_its_picture(folder, tmp_path):
    story = said("show", folder / "exposed.dat", "--png", tmp_path / "look.png")
    lines = [line.split(maxsplit=1) for line in story.splitlines()]
    told = {line[0]: line[1] for line in lines if len(line) == 2}
    assert told["verdict"].startswith("complete native, at byte ")
    assert told["mid"] == "14"
    assert told["size"] == "4 channels, 256 samples, 64 readouts"
    assert told["scanned"] == "10:00:00.0000 to 10:00:00.6300, the scanner's clock"
    assert "tPatientName" in told["exposed"]
    assert told["kind"] == "image"
    assert (tmp_path / "look.png").read_bytes().startswith(SIGNATURE)


def test_a_picture_never_overwrites(folder, tmp_path):
    (tmp_path / "look.png").write_text("mine")
    ended = kspace("show", folder / "whole.dat", "--png", tmp_path / "look.png")
    assert ended.returncode == 2
    assert (tmp_path / "look.png").read_text() == "mine"


def test_show_tells_of_a_cut_file_but_draws_none(folder, tmp_path):
    assert "cut in readout" in said("show", folder / "cut.dat")
    ended = kspace("show", folder / "cut.dat", "--png", tmp_path / "look.png")
    assert ended.returncode == 8
    assert "verdict  cut in readout" in ended.stdout
    assert "not whole (cut in readout)" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_show_in_json_holds_every_measurement(folder, tmp_path):
    told = json.loads(said("show", folder / "two.dat", "--json", "--png", tmp_path / "look.png"))
    assert [(m["mid"], m["channels"], m["readouts"]) for m in told["measurements"]] == [(20, 2, 64), (21, 4, 64)]
    assert told["quick_look"]["dead_channels"] == []
    assert len(told["quick_look"]["noise"]) == 4


def test_a_number_is_a_capture_and_never_a_file(tmp_path):
    (tmp_path / "12").write_text("a file")
    ended = subprocess.run([_KSPACE, "show", "12"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "relay.toml" in ended.stderr


@pytest.mark.parametrize(("colours", "is_drawn"), [("truecolor", True), ("", False)])
def test_a_capable_terminal_gets_a_small_picture(folder, colours, is_drawn):
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLORTERM": colours}
    showing = subprocess.Popen([_KSPACE, "show", folder / "whole.dat"], stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how Linux says that the other end is closed
        os.close(ours)
    assert showing.wait() == 0
    assert shown.count("▀".encode()) == (64 * 32 if is_drawn else 0)


def test_two_rows_of_pixels_are_one_row_of_characters():
    drawn = half_blocks((b"\x00\xff", b"\x80\x80", b"\x01\x02", b"\x03\x04"))
    assert isinstance(drawn, Text)
    assert drawn.plain == "▀▀\n▀▀\n"
    style = drawn.spans[1].style
    assert (style.color.triplet.red, style.bgcolor.triplet.red) == (255, 128)


def test_times_and_names_are_shown_as_they_are():
    assert clock_time(0) == "00:00:00.0000"
    assert clock_time(10 * 3600 * 400 + 1) == "10:00:00.0025"
    assert clock_time(24 * 3600 * 400 + 400) == "00:00:01.0000"
    assert printable("a\tb\x7f\udcff é") == "a\\tb\\x7f\\xff é"


def test_the_real_files_are_judged_as_their_list_says(data_folder):
    found = rows(data_folder / "twix")
    whole = {name: row for name, row in found.items() if name.endswith((".dat", ".twix")) and "incomplete" not in name}
    assert {row["verdict"] for row in whole.values()} == {"complete native", "complete streamed"}
    assert whole["streamed/2024-02-06-160052.dat"]["start"] == "17:01:13.6650"
    assert whole["vb19-pairs/meas_MID00107_FID33064_sol12.dat"]["mid"] == 107
    assert found["ve11-spectro/sub-SiemensBrainPhantom_seq-svslcosy_incomplete.twix"]["verdict"] == "cut in readout"
