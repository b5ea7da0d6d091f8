"""Measurements as headers tell them, and a configuration a test can bend."""

import json
from collections.abc import Callable

import pytest

from kspace.records import Measurement
from transfer.config import Config, load_config


@pytest.fixture(scope="session")
def measured() -> Callable[..., Measurement]:
    def build(protocol: str | None = "gre", **more) -> Measurement:
        return Measurement(index=0, offset=0, header_bytes=100, baseline="VE", protocol=protocol, **more)

    return build


@pytest.fixture
def configured(tmp_path) -> Callable[[str], Config]:
    """Load a configuration from TOML text; the text ``RELAY`` stands for a valid [relay]."""

    def load(text: str) -> Config:
        path = tmp_path / "relay.toml"
        path.write_text(text.replace("RELAY", f"[relay]\nfolder = {json.dumps(str(tmp_path))}\n"))
        return load_config(path)

    return load
