"""relay.example.toml shows every setting there is; a line that begins with ``#name =`` is a setting at its default."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter

from hardware import readings, sinks
from hardware.host.cards import Admin, Hospital, Tap
from hardware.host.settings import HostSettings, Mounted
from kspace import sources
from kspace.registry import plugins
from transfer import destinations
from transfer.config import Config, Dicom, Relay, Scanner, load_config
from transfer.routing import Route
from transfer.websettings import WebSettings
from transfer.wishes import Rule

_EXAMPLE = Path(__file__).parents[2] / "relay.example.toml"
_COMMENTED = re.compile(r"^(\s*)#([a-z_]+ = )", re.MULTILINE)
_TABLES = {
    "relay": Relay,
    "dicom": Dicom,
    "scanner": Scanner,
    "route": Route,
    "rule": Rule,
    "host": HostSettings,
    "web": WebSettings,
}
_OF_HOST = {"hospital": Hospital, "admin": Admin, "tap": Tap, "share": Mounted}


@pytest.fixture(scope="module")
def in_force() -> dict:
    return tomllib.loads(_EXAMPLE.read_text())


@pytest.fixture(scope="module")
def uncommented() -> dict:
    return tomllib.loads(_COMMENTED.sub(r"\1\2", _EXAMPLE.read_text()))


def _shown(document: dict, table: str) -> dict:
    found = document[table]
    return found[0] if isinstance(found, list) else found


def _of_kind(tables: list[dict], kind: str) -> dict:
    """Return what is shown of a kind: some settings exclude each other, and stand in tables of their own."""
    return {name: value for table in tables if table["kind"] == kind for name, value in table.items()}


def test_the_example_loads_as_it_is():
    assert load_config(_EXAMPLE).relay.name == "relay-1"


def test_the_example_loads_with_every_commented_setting_in_force(uncommented, tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(_COMMENTED.sub(r"\1\2", _EXAMPLE.read_text()))
    config = load_config(path)
    assert config.relay.catalog == uncommented["relay"]["catalog"]


def test_every_table_is_shown(uncommented):
    assert set(Config.model_fields) == set(uncommented)


@pytest.mark.parametrize("table", [*_TABLES, "pool", "flow"])
def test_every_setting_of_a_table_is_shown(table, uncommented):
    model = _TABLES.get(table) or Config.model_fields[table].annotation
    assert set(model.model_fields) == set(_shown(uncommented, table))


@pytest.mark.parametrize("table", _OF_HOST)
def test_every_setting_of_the_host_is_shown(table, uncommented):
    assert set(_OF_HOST[table].model_fields) == set(_shown(uncommented["host"], table))


@pytest.mark.parametrize("kind", sorted(plugins(sources)))
def test_every_setting_of_a_source_is_shown(kind, uncommented):
    shown = _of_kind(uncommented["scanner"][0]["source"], kind)
    assert set(plugins(sources)[kind].settings.model_fields) | {"kind"} == set(shown)


@pytest.mark.parametrize("kind", sorted(plugins(destinations)))
def test_every_setting_of_a_destination_is_shown(kind, uncommented):
    shown = _of_kind(uncommented["destination"], kind)
    assert set(plugins(destinations)[kind].settings.model_fields) | {"kind", "name"} == set(shown)


@pytest.mark.parametrize("kind", sorted(plugins(readings)))
def test_every_setting_of_a_reader_is_shown(kind, uncommented):
    assert set(plugins(readings)[kind].settings.model_fields) == set(uncommented["reading"][kind])


@pytest.mark.parametrize("kind", sorted(set(plugins(sinks)) - {"log"}))
def test_every_setting_of_a_sink_is_shown(kind, uncommented):
    shown = _of_kind(uncommented["sink"], kind)
    assert set(plugins(sinks)[kind].settings.model_fields) == set(shown)


def _pairs(in_force: dict, uncommented: dict) -> list[tuple[type[BaseModel], dict, dict]]:
    pairs = [(model, _shown(in_force, name), _shown(uncommented, name)) for name, model in _TABLES.items()]
    pairs += [(Config.model_fields[name].annotation, in_force[name], uncommented[name]) for name in ("pool", "flow")]
    pairs += [(m, _shown(in_force["host"], t), _shown(uncommented["host"], t)) for t, m in _OF_HOST.items()]
    before, after = in_force["scanner"][0]["source"], uncommented["scanner"][0]["source"]
    pairs += [(plugins(sources)[b["kind"]].settings, b, a) for b, a in zip(before, after, strict=True)]
    before, after = in_force["destination"], uncommented["destination"]
    pairs += [(plugins(destinations)[b["kind"]].settings, b, a) for b, a in zip(before, after, strict=True)]
    pairs += [(p.settings, in_force["reading"][k], uncommented["reading"][k]) for k, p in plugins(readings).items()]
    before, after = in_force["sink"], uncommented["sink"]
    pairs += [(plugins(sinks)[b["kind"]].settings, b, a) for b, a in zip(before, after, strict=True)]
    return pairs


def test_a_commented_setting_shows_its_default(in_force, uncommented):
    wrong = []
    for model, given, shown in [*_pairs(in_force, uncommented), (Config, in_force, uncommented)]:
        for name in set(shown) - set(given):
            field = model.model_fields[name]
            if field.default is not None:
                value = TypeAdapter(field.annotation).validate_python(shown[name])
                wrong += [f"{model.__name__}.{name}: {value!r}"] * (value != field.default)
    assert wrong == []
