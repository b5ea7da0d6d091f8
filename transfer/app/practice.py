"""The practice scanner: raw files and matching DICOM made here, so that anybody can see the relay work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dicom.synthetic import SyntheticSeries, write_session
from kspace.twix.synthetic import Synthetic, write_twix
from transfer.states import CaptureState

_ENDS_WELL = frozenset({CaptureState.RETIRED})
_TICK_10_AM = 10 * 3600 * 400
_STUDY_UID = "1.3.12.2.1107.5.2.50.210000.30000026010508300000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """A raw file of the practice scanner and how it must end."""

    name: str
    twix: Synthetic
    ends: frozenset[CaptureState]
    series: int | None = None
    """The number of its DICOM series; None: no images were made of it."""
    kept: float = 1.0
    """How much of the file the practice scanner leaves on the share."""

    @property
    def title(self) -> str:
        """Return how a person would call it."""
        return f"MID {self.twix.mid} {self.twix.protocol}"

    @property
    def is_delivered(self) -> bool:
        """Whether it must end in the archive."""
        return self.ends is _ENDS_WELL


def _twix(
    baseline: Literal["VB", "XA"], mid: int, protocol: str, *, first_tick: int, shape: tuple[int, int, int]
) -> Synthetic:
    is_vb = baseline == "VB"
    readouts, channels, samples = shape
    return Synthetic(
        baseline=baseline,
        mid=mid,
        fid=40_000 + mid,
        serial="35000" if is_vb else "210000",
        protocol=protocol,
        lprotid=-mid if is_vb else mid,
        stamp="20260105083000000",
        study_uid=None if is_vb else _STUDY_UID,
        first_tick=first_tick,
        readouts=readouts,
        channels=channels,
        samples=samples,
        seed=mid,
    )


RAW_FILES = (
    RawFile(
        name="meas_MID00101_FID40101_t1_mprage.dat",
        twix=_twix("XA", 101, "t1_mprage", first_tick=_TICK_10_AM, shape=(192, 20, 384)),
        ends=_ENDS_WELL,
        series=5,
    ),
    RawFile(
        name="meas_MID00055_FID40055_gre_phantom.dat",
        twix=_twix("VB", 55, "gre_phantom", first_tick=_TICK_10_AM - 7000, shape=(256, 8, 256)),
        ends=_ENDS_WELL,
        series=3,
    ),
    RawFile(
        name="meas_MID00103_FID40103_ep2d_bold.dat",
        twix=_twix("XA", 103, "ep2d_bold", first_tick=_TICK_10_AM + 90_000, shape=(96, 16, 256)),
        ends=frozenset({CaptureState.HELD}),
        kept=0.6,
    ),
    RawFile(
        name="meas_MID00099_FID40099_localizer.dat",
        twix=_twix("XA", 99, "localizer", first_tick=_TICK_10_AM - 40_000, shape=(64, 4, 256)),
        ends=frozenset({CaptureState.SKIPPED}),
        series=1,
    ),
)


def write_practice_scanner(folder: Path) -> list[Path]:
    """Write the share below ``folder/scanner`` and return the matching images' files."""
    share = folder / "scanner"
    share.mkdir(parents=True)
    images: list[Path] = []
    for raw in RAW_FILES:
        path = share / raw.name
        write_twix(path, raw.twix)
        if raw.kept < 1:
            with path.open("r+b") as handle:
                handle.truncate(int(path.stat().st_size * raw.kept))
        if raw.series is not None:
            images += write_session(folder / "images" / raw.twix.serial, _series(raw.twix, raw.series))
    return images


def _series(twix: Synthetic, number: int) -> SyntheticSeries:
    """Give the images the ticks of readouts in the middle of the measurement, as scanners do."""
    middle = twix.first_tick + twix.readouts // 2 * twix.tick_step
    return SyntheticSeries(
        baseline="VB" if twix.baseline == "VB" else "XA",
        serial=twix.serial,
        number=number,
        protocol=twix.protocol,
        lprotid=twix.lprotid,
        ticks=tuple(middle + n * twix.tick_step for n in range(4)),
        frame_of_reference=twix.frame_of_reference,
        study_uid=twix.study_uid,
        patient_id=f"PRACTICE-{twix.baseline}",
    )
