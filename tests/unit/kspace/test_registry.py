"""One file in a plug-in folder is all a new kind needs; two of one kind are refused."""

import sys
from importlib import import_module

import pytest

from kspace import codecs, sources
from kspace.errors import ConfigError
from kspace.registry import plugins

PLUGIN = 'from kspace.registry import Plugin\nPLUGIN = Plugin("{kind}", dict, list)\n'


@pytest.fixture
def folder(tmp_path, request):
    """Return a function that makes an importable plug-in folder of files."""
    name = "plug_in_folder_under_test"

    def make(**files: str):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        for stem, text in files.items():
            (tmp_path / name / f"{stem}.py").write_text(text)
        sys.path.insert(0, str(tmp_path))
        return import_module(name)

    yield make
    sys.path.remove(str(tmp_path))
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def test_every_module_with_a_plugin_is_found_and_others_are_not(folder):
    made = folder(one=PLUGIN.format(kind="first"), two=PLUGIN.format(kind="second"), helper="X = 1\n")
    found = plugins(made)
    assert set(found) == {"first", "second"}
    assert found["first"].build(()) == []


def test_two_of_one_kind_are_refused_by_name(folder):
    made = folder(one=PLUGIN.format(kind="same"), two=PLUGIN.format(kind="same"))
    with pytest.raises(ConfigError, match="'same'"):
        plugins(made)


def test_the_houses_own_folders_are_filled():
    assert "zstd" in plugins(codecs)
    assert "share" in plugins(sources)
