from collections.abc import Callable
from pathlib import Path

import pytest

from dicom.synthetic import SyntheticSeries


@pytest.fixture(scope="session")
def samples(data_folder) -> Path:
    return data_folder / "twix"


@pytest.fixture
def spec() -> Callable[..., SyntheticSeries]:
    def build(baseline="VB", **more) -> SyntheticSeries:
        serial = {"VB": "35000", "XA": "210000"}[baseline]
        known = {
            "baseline": baseline,
            "serial": serial,
            "number": 3,
            "protocol": "gre_phantom",
            "lprotid": -55,
            "ticks": (14_400_000, 14_400_007),
            "frame_of_reference": f"1.3.12.2.1107.5.2.32.{serial}.1.20260105083000000.0.0.0",
        }
        return SyntheticSeries(**(known | more))

    return build
