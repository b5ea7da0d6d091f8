"""The Clue port: one thing by which a raw measurement and a DICOM series may know each other.

A clue is one file in ``dicom/evidence`` ending in ``PLUGIN = Plugin("kind", Settings, Class)``. ``join.decide`` weighs
what the clues say; a clue itself decides nothing.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from dicom.records import Evidence, Level, Series, Weight
from kspace.records import Measurement


class Strength(StrEnum):
    """How much a clue's support is worth."""

    STRONG = "strong"
    """Can carry a decision."""
    WEAK = "weak"
    """Tells a person where to look, and decides nothing."""


class NoSettings(BaseModel):
    """A clue without settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Clue(ABC):
    """One clue. Every method is pure, and neither keys nor details ever hold patient data."""

    name: ClassVar[str]
    level: ClassVar[Level]
    strength: ClassVar[Strength]
    tells_when: ClassVar[bool] = False
    """It compares times: a repeat of the same protocol has another."""

    def __init__(self, settings: NoSettings | None = None) -> None:
        self.settings = settings or NoSettings()

    def keys_of_measurement(self, measurement: Measurement) -> frozenset[str]:  # noqa: ARG002 -- the port
        """Return index keys, few, each beginning with the clue's own prefix; none where the fields are missing.

        A measurement and a series that share a key are worth judging; this clue would then support the pair.
        """
        return frozenset()

    def keys_of_series(self, series: Series) -> frozenset[str]:  # noqa: ARG002 -- the port
        """Return index keys of the other side; the keys of a series' instances, taken one by one, add up to them."""
        return frozenset()

    @abstractmethod
    def judge(self, measurement: Measurement, series: Series) -> Evidence:
        """Return what this clue says of the pair: silent wherever a field is missing on either side."""

    def _says(self, weight: Weight, detail: str) -> Evidence:
        return Evidence(clue=self.name, level=self.level, weight=weight, detail=detail)

    def _silent(self, detail: str) -> Evidence:
        return self._says(Weight.SILENT, detail)
