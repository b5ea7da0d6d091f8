"""The files of the host that the docs show are those that the program makes now."""

from tests.docs import host_files
from transfer.app.hosting import warnings_of
from transfer.config import load_config


def test_the_page_of_host_files_is_fresh():
    assert host_files.PAGE.read_text(encoding="utf-8") == host_files.page(), "python -m tests.docs.host_files"


def test_the_example_of_the_page_has_nothing_to_warn_of():
    assert warnings_of(load_config(host_files.EXAMPLE)) == []
