"""`kspace size`: one command, one answer, and a picture of it."""

import json
import re
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from kspace.errors import BadInput
from tests.integration.relay import Relay, free_port
from transfer.app.cli import app
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.catalog.notices import note
from transfer.config import load_config

_SITE = ("--scanners", "2", "--gb-per-day", "150", "--uplink", "200", "--pool", "18")


def said(*more: str):
    return CliRunner().invoke(app, ["size", *_SITE, *more])


def test_it_says_how_long_how_soon_and_what_to_buy(tmp_path):
    ended = said("--plot", str(tmp_path / "out.svg"))
    assert ended.exit_code == 0, ended.output
    assert "171.0 GB come into the pool each day" in ended.output
    assert "What ends it first is" in ended.output
    assert "4-bay mini-server" in ended.output
    texts = [t.text for t in ET.parse(tmp_path / "out.svg").getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"outage", "no more is packed", "days"} <= set(texts)


def test_programs_get_numbers():
    answer = json.loads(said("--json", "--outage", "2").output)
    assert answer["stored_gb_per_day"] == pytest.approx(171)
    assert answer["needed_tb"] == pytest.approx(2 * 0.171 / 0.92, rel=0.02)
    assert 90 < answer["buffer_days"] < 98
    assert answer["bottleneck"] in answer["used"]


def test_a_slow_line_is_named():
    ended = said("--uplink", "10")
    assert "The line to the archive cannot keep up" in ended.output
    assert "What ends it first is the line" in ended.output
    assert "mini-server" not in ended.output, "no box mends that"
    answer = json.loads(said("--uplink", "10", "--json").output)
    assert answer["build"] is answer["buffer_days"] is answer["catch_up_days"] is None


@pytest.mark.parametrize(
    "more",
    [
        ("--uplink", "17.6"),
        ("--uplink", "0.001"),
        ("--gb-per-day", "1000000", "--uplink", "1000000"),
        ("--gb-per-day", "0.001"),
        ("--pool", "0.001"),
        ("--outage", "0"),
        ("--hours", "24", "--uplink", "17.593"),
    ],
)
def test_whatever_is_asked_is_answered_in_words_and_numbers(more, tmp_path):
    """At 17.593 Mbit/s the line just carries the day; neither nan nor inf is an answer."""
    ended = said(*more, "--plot", str(tmp_path / "out.svg"))
    assert ended.exit_code == 0, ended.output
    everything = ended.output + said(*more, "--json").output + (tmp_path / "out.svg").read_text()
    assert not re.search(r"\b(nan|inf|infinity)\b", everything, re.IGNORECASE)
    assert ("cannot keep up" in ended.output) != ("all is sent within" in ended.output)


@pytest.mark.parametrize("more", [("--uplink", "nan"), ("--pool", "nan"), ("--from-history", "--outage", "nan")])
def test_what_is_no_number_is_refused(more):
    assert said(*more).exit_code == 2


def test_the_history_of_a_new_relay_tells_nothing_yet(tmp_path):
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port()).write()
    ended = CliRunner().invoke(app, ["size", "--from-history", "-c", str(config)])
    assert isinstance(ended.exception, BadInput)
    assert "less than a day of history" in str(ended.exception)
    assert isinstance(CliRunner().invoke(app, ["size"]).exception, BadInput)


def test_history_is_an_answer_of_the_same_kind(tmp_path):
    config = Relay(folder=tmp_path, urls={"central": "http://127.0.0.1:9"}, port=free_port()).write()
    box = Box(load_config(config))
    with box.database.write() as connection:
        for days in (3, 1):
            at = box.clock.now() - timedelta(days=days)
            file = {"id": days, "scanner": "scanner", "source": "scanner/1", "path": f"{days}", "version": 1}
            file |= {"size": 60 * 10**9, "mtime_ns": 1, "changed_at": at, "first_seen_at": at, "scope": "files"}
            connection.execute(insert(tables.source_file).values(file))
            kept = {"id": days, "source_file_id": days, "stored_bytes": 30 * 10**9}
            work = {"state": "delivered", "since_at": at, "due_at": at}
            connection.execute(insert(tables.capture).values(kept | work))
            news = {"subject": "capture", "subject_id": days, "before": "settled", "after": "packed"}
            note(connection, at=at, actor="relay", verb="capture.packed", **news)
    box.close()
    asked = ["size", "--from-history", "-c", str(config)]
    assert "--uplink" in str(CliRunner().invoke(app, asked).exception), "no delivery tells of the line"
    ended = CliRunner().invoke(app, [*asked, "--uplink", "100"])
    assert ended.exit_code == 0, ended.output
    assert "scanner: 40.0 GB of raw data a day" in ended.output
    assert "packing leaves 50% of a byte" in ended.output
    assert "20.0 GB come into the pool each day" in ended.output
    assert "four 4 TB disks" in ended.output


def test_a_picture_is_an_svg(tmp_path):
    assert isinstance(said("--plot", str(tmp_path / "out.bmp")).exception, BadInput)
    assert isinstance(said("--plot", str(tmp_path / "no" / "out.svg")).exception, BadInput)
