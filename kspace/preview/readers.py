"""The readouts of a file's last measurement as two libraries read them, in one shape. Runs in the child only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNTERS = ("Lin", "Par", "Sli", "Ave", "Eco", "Phs", "Rep", "Set", "Seg", "Ida")
"""Loop counters of the MDH (sLC), as both libraries name them."""


@dataclass(frozen=True, kw_only=True)
class Readouts:
    """The image readouts (neither noise nor phase correction nor navigators) of one measurement."""

    counters: Mapping[str, NDArray[np.int64]]
    positions: NDArray[np.float64]
    """Of each readout's slice: SlicePos of the MDH, sagittal, coronal, transverse, in mm. Shaped (readouts, 3)."""
    quaternions: NDArray[np.float64]
    """Of each readout's slice: Quaternion of the MDH, scalar first. Shaped (readouts, 4)."""
    shapes: NDArray[np.int64]
    """Channels and samples of each readout, shaped (readouts, 2)."""
    load: Callable[[int], NDArray[np.complex64]]
    """One readout's samples in the order of k-space (turned round where REFLECT is set), shaped (channels, samples)."""
    oversampling: float
    """flReadoutOSFactor: how much wider than asked for the field of view is along the readout."""
    base_resolution: int
    """sKSpace.lBaseResolution: pixels along the readout; 0 where the header does not say."""
    acceleration: int
    """sPat.lAccelFactPE."""
    fields_of_view: tuple[float, float]
    """sSliceArray.asSlice[0]: dReadoutFOV, dPhaseFOV in mm."""


def with_twixtools(path: str) -> Readouts:
    """Read with twixtools; it keeps the headers of all readouts in memory, samples only as they are asked for."""
    import twixtools  # type: ignore[import-untyped]  # noqa: PLC0415 -- one library a child

    twix = twixtools.read_twix(path, parse_pmu=False, parse_geometry=False, keep_syncdata=False, verbose=False)[-1]
    blocks = [block for block in twix["mdb"] if block.is_image_scan()] or twix["mdb"]
    heads = [block.mdh for block in blocks]
    slices = [head.SliceData for head in heads]

    def load(number: int) -> NDArray[np.complex64]:
        samples: NDArray[np.complex64] = blocks[number].data
        return samples[:, ::-1] if blocks[number].is_flag_set("REFLECT") else samples

    header = twix["hdr"]
    return Readouts(
        counters={name: np.array([getattr(head.Counter, name) for head in heads]) for name in COUNTERS},
        positions=np.array([[s.SlicePos.Sag, s.SlicePos.Cor, s.SlicePos.Tra] for s in slices]),
        quaternions=np.array([list(s.Quaternion) for s in slices]),
        shapes=np.array([[head.UsedChannels, head.SamplesInScan] for head in heads]),
        load=load,
        **_from_header(header["Meas"], _flat(header["MeasYaps"])),
    )


def with_mapvbvd(path: str) -> Readouts:
    """Read with mapvbvd."""
    from mapvbvd import mapVBVD  # type: ignore[import-untyped]  # noqa: PLC0415 -- one library a child

    found = mapVBVD(path, quiet=True, removeOS=False)
    twix = found[-1] if isinstance(found, list) else found
    image = twix.image
    image.flagRampSampRegrid = False

    def load(number: int) -> NDArray[np.complex64]:
        samples: NDArray[np.complex64] = image.unsorted(number + 1)
        return samples[:, :, 0].T

    yaps = {".".join(name): value for name, value in twix.hdr.MeasYaps.items()}
    return Readouts(
        counters={name: getattr(image, name).astype(np.int64) for name in COUNTERS},
        positions=image.slicePos[:, :3],
        quaternions=image.slicePos[:, 3:7],
        shapes=np.tile([[int(image.NCha), int(image.NCol)]], (int(image.NAcq), 1)),
        load=load,
        **_from_header(twix.hdr.Meas, yaps),
    )


READERS: Mapping[str, Callable[[str], Readouts]] = {"twixtools": with_twixtools, "mapvbvd": with_mapvbvd}


def _from_header(meas: Mapping[str, Any], yaps: Mapping[str, Any]) -> dict[str, Any]:
    first = "sSliceArray.asSlice[0]" if "sSliceArray.asSlice[0].dReadoutFOV" in yaps else "sSliceArray.asSlice.0"
    return {
        "oversampling": _number(meas.get("flReadoutOSFactor"), 1.0),
        "base_resolution": int(_number(yaps.get("sKSpace.lBaseResolution"), 0)),
        "acceleration": max(1, int(_number(yaps.get("sPat.lAccelFactPE"), 1))),
        "fields_of_view": (
            _number(yaps.get(f"{first}.dReadoutFOV"), 1.0),
            _number(yaps.get(f"{first}.dPhaseFOV"), 1.0),
        ),
    }


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 -- dicts in lists in dicts
    """Return nested dicts and lists as one dict with dotted names, as mapvbvd has them."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    flat: dict[str, Any] = {}
    for name, value in pairs:
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict | list) else {f"{prefix}{name}": value}
    return flat
