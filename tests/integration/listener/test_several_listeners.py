"""Several listeners in one relay: each on its own port, under its own title, with its own routes."""

import pytest
from dicom_callers import associate
from sqlalchemy import select

from kspace.errors import ConfigError
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.config import load_config

CONFIG = """
[relay]
folder = "{folder}"
name = "box"
{listeners}
[[destination]]
name = "central"
kind = "xnat"
url = "http://127.0.0.1:9"
user = "relay"
password = {{ env = "XNAT_PASSWORD" }}
[[route]]
destinations = ["central"]
called_ae = "BRAIN"
project = "BRAINS"
[[route]]
destinations = ["central"]
called_ae = "HEART"
project = "HEARTS"
"""
TWO = """
[[dicom]]
ae_title = "BRAIN"
port = 0
processes = 2
[[dicom]]
ae_title = "HEART"
port = 0
processes = 1
allowed_ae = ["MR1"]
"""


@pytest.fixture
def load(tmp_path):
    def _load(listeners):
        path = tmp_path / "relay.toml"
        path.write_text(CONFIG.format(folder=tmp_path, listeners=listeners))
        return load_config(path)

    return _load


def test_each_takes_its_own_callers_and_feeds_its_own_project(load, images):
    box = Box(load(TWO))
    brain, heart = box.listeners()
    for listener in (brain, heart):
        listener.start()
    try:
        assert associate(brain.port, called="HEART").is_rejected
        assert associate(heart.port, called="HEART", calling="MR2").is_rejected
        association = associate(heart.port, called="HEART", calling="MR1")
        assert association.send_c_store(images[0]).Status == 0
        association.release()
        with box.database.read() as connection:
            assert connection.execute(select(tables.delivery.c.project)).scalars().all() == ["HEARTS"]
    finally:
        for listener in (brain, heart):
            listener.stop(grace_s=5)
        box.close()


@pytest.mark.parametrize(
    "listeners",
    [
        "[[dicom]]\nport = 0\n[[dicom]]\nport = 0\n",
        '[[dicom]]\nae_title = "A"\nport = 104\n[[dicom]]\nae_title = "B"\nport = 104\n',
        '[[dicom]]\nae_title = "A"\nport = 0\nany_called_ae = true\n[[dicom]]\nae_title = "B"\nport = 0\n',
    ],
)
def test_listeners_that_routes_could_not_tell_apart_are_a_mistake(load, listeners):
    with pytest.raises(ConfigError, match="several listeners need"):
        load(listeners)


def test_one_listener_needs_no_list(load):
    assert [d.ae_title for d in load('[dicom]\nae_title = "ONE"\n').dicom] == ["ONE"]
    assert [d.ae_title for d in load("").dicom] == ["KSPACE"]
