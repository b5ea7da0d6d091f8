"""`kspace size`: one command, one answer, and a picture of it."""

import json
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from kspace.errors import BadInput
from transfer.app.cli import app

_SITE = ("--scanners", "2", "--gb-per-day", "150", "--uplink", "200", "--pool", "18")


def said(*more: str):
    return CliRunner().invoke(app, ["size", *_SITE, *more])


def test_it_says_how_long_how_soon_and_what_to_buy(tmp_path):
    ended = said("--plot", str(tmp_path / "out.svg"))
    assert ended.exit_code == 0, ended.output
    assert "171 GB come into the pool each day" in ended.output
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
    assert "does not keep up" in ended.output
    assert "What ends it first is the line" in ended.output


def test_a_picture_is_an_svg(tmp_path):
    assert isinstance(said("--plot", str(tmp_path / "out.bmp")).exception, BadInput)
    assert isinstance(said("--plot", str(tmp_path / "no" / "out.svg")).exception, BadInput)
