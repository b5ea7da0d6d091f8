"""From readouts to panels side by side: the picture, its k-space, a bar of noise for each channel. In the child only.

A quick look, no reconstruction: no parallel imaging, no phase correction, no regridding. An accelerated scan folds, an
EPI has ghosts; what it must show is that there is a head or a phantom in the file, and whether every channel is well.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kspace.preview.readers import Readouts

_SIDE = 320
_GAP = 8
_SMALL = 64
_TO_SIGMA = 1.4826
"""Of a normal distribution: its standard deviation over its median absolute deviation."""
_DEAD = 0.1
"""A channel with less than this part of the median channel's noise hears nothing."""
_SPIKE = 20.0
"""A sample this many times the noise, and the same times less above what stands around it, is no signal."""
_GREY, _RED, _AMBER = (190, 190, 190), (220, 60, 50), (235, 165, 40)

Panel = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Drawn:
    """RGB pixels, and what the parent process is told beside them."""

    pixels: NDArray[np.uint8]
    told: dict[str, Any]


def draw(readouts: Readouts) -> Drawn:
    """Draw the central slice; or the spectrum, where there is one phase-encoding line only."""
    lines, kspace = _central_slice(readouts)
    noise = _noise(kspace, lines)
    dead = np.flatnonzero(noise < _DEAD * np.median(noise)) if noise.any() else np.arange(noise.size)
    spiking = _spiking(kspace, noise)
    is_spectrum = kspace.shape[1] == 1
    panels = _spectrum(kspace[:, 0]) if is_spectrum else _image(kspace, readouts)
    picture = panels[0]
    panels.append(_bars(noise, dead=dead, spiking=spiking))
    used = np.unique(lines)
    told = {
        "kind": "spectrum" if is_spectrum else "image",
        "picture": [row.tobytes().hex() for row in _fit(picture, _SMALL, shrink=np.max if is_spectrum else np.mean)],
        "noise": [float(value) for value in noise],
        "dead_channels": dead.tolist(),
        "spiking_channels": spiking.tolist(),
        "lines": used.size,
        "missing_lines": int(((np.diff(used) - 1) // readouts.acceleration).sum()),
    }
    return Drawn(_side_by_side(panels), told)


def _central_slice(readouts: Readouts) -> tuple[NDArray[np.int64], NDArray[np.complex64]]:
    """Return the line of each readout used, and k-space shaped (channels, lines, samples), averages added up.

    In the middle of a slab the transform along the partitions is their plain sum, so no volume is ever in memory.
    """
    counters, shapes = readouts.counters, readouts.shapes
    channels, samples = max(map(tuple, np.unique(shapes, axis=0)), key=lambda s: int((shapes == s).all(axis=1).sum()))
    used = (shapes == (channels, samples)).all(axis=1)
    for name in ("Rep", "Set", "Phs", "Eco", "Ida"):
        used &= counters[name] == counters[name][used].min()
    off = np.linalg.norm(readouts.positions - readouts.positions[used].mean(axis=0), axis=1)
    used &= counters["Sli"] == counters["Sli"][used][off[used].argmin()]
    numbers = np.flatnonzero(used)
    lines = counters["Lin"][numbers]
    kspace = np.zeros((int(channels), int(np.ptp(lines)) + 1, int(samples)), np.complex64)
    for number, line in zip(numbers, lines - lines.min(), strict=True):
        kspace[:, line] = kspace[:, line] + readouts.load(int(number))
    return lines, kspace


def _noise(kspace: NDArray[np.complex64], lines: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each channel's noise, one readout's worth of it, from the samples farthest out in k-space."""
    rows, columns = kspace.shape[1:]
    far = max(1, columns // 16)
    edge = kspace[..., -2 * far :] if rows == 1 else np.concatenate((kspace[..., :far], kspace[..., -far:]), axis=2)
    if rows >= 16:
        edge = np.concatenate((edge[:, : rows // 4], edge[:, -(rows // 4) :]), axis=1)
    added = lines.size / np.unique(lines).size
    filled = edge[:, np.abs(edge).any(axis=(0, 2))].reshape(len(edge), -1)
    if not filled.size:
        return np.zeros(len(edge))
    parts = np.concatenate((filled.real, filled.imag), axis=1).astype(np.float64)
    spread = np.median(np.abs(parts - np.median(parts, axis=1, keepdims=True)), axis=1)
    return np.asarray(_TO_SIGMA * spread / np.sqrt(added))


def _spiking(kspace: NDArray[np.complex64], noise: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the channels with single samples far above noise and neighbours, away from the middle of k-space."""
    size = np.abs(kspace)
    middle = kspace.shape[2] // 2
    away = np.abs(np.arange(kspace.shape[2]) - middle) > middle // 4
    around = np.maximum.reduce([np.roll(size, shift, axis=2) for shift in (-6, -5, -4, 4, 5, 6)])
    alone = (size > _SPIKE * noise[:, None, None]) & (size > _SPIKE / 2 * around) & away
    return np.flatnonzero(alone.any(axis=(1, 2)) & (noise > 0))


def _image(kspace: NDArray[np.complex64], readouts: Readouts) -> list[Panel]:
    rows, columns = kspace.shape[1:]
    wanted = int(readouts.base_resolution * readouts.oversampling)
    wide = wanted if columns < wanted <= 2 * columns else columns
    kept = max(1, int(wide / readouts.oversampling))
    first = (wide - kept) // 2
    total = np.zeros((rows, kept))
    for channel in kspace:
        lines = np.fft.fftshift(np.fft.ifft(channel, n=wide, axis=1), axes=1)
        total += np.abs(np.fft.fftshift(np.fft.ifft(lines[:, first : first + kept], axis=0), axes=0)) ** 2
    image = np.sqrt(total)
    read, phase = readouts.fields_of_view
    height = int(np.clip(_SIDE * phase / read, _SIDE // 4, _SIDE))
    picture = _resize(_grey(image, np.percentile(image, 99.5)), height, int(np.clip(height * read / phase, 1, _SIDE)))
    return [_upright(picture, readouts.quaternions[0]), _resize(_logarithm(_combined(kspace)), _SIDE, _SIDE)]


def _spectrum(signal: NDArray[np.complex64]) -> list[Panel]:
    spectrum = np.fft.fftshift(np.fft.fft(signal, axis=1), axes=1)
    return [_curve(_combined(spectrum)), _curve(_combined(signal))]


def _combined(channels: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((np.abs(channels).astype(np.float64) ** 2).sum(axis=0)))


def _upright(picture: Panel, quaternion: NDArray[np.float64]) -> Panel:
    """Turn rows of phase encoding and columns of readout to how a radiologist looks: from the feet, from the left.

    The quaternion's matrix has phase, readout and slice as columns in sagittal, coronal, transverse; indices count
    against the first two (twixtools ``geometry.py``; and compared with DICOM of the same scan).
    """
    if not quaternion.any():
        return picture
    phase, read, normal = _matrix(quaternion).T * [[-1], [-1], [1]]
    sagittal, coronal, transverse = np.eye(3)
    across = int(np.abs(normal).argmax())
    right, down = ((coronal, -transverse), (sagittal, -transverse), (sagittal, coronal))[across]
    if abs(read @ right) < abs(phase @ right):
        picture, read, phase = picture.T, phase, read
    return picture[:: 1 if phase @ down >= 0 else -1, :: 1 if read @ right >= 0 else -1]


def _matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    r, i, j, k = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j - k * r), 2 * (i * k + j * r)],
            [2 * (i * j + k * r), 1 - 2 * (i * i + k * k), 2 * (j * k - i * r)],
            [2 * (i * k - j * r), 2 * (j * k + i * r), 1 - 2 * (i * i + j * j)],
        ]
    )


def _grey(values: NDArray[np.float64], white: float) -> Panel:
    return np.asarray(np.clip(values / (white or 1.0) * 255, 0, 255).astype(np.uint8))


def _logarithm(values: NDArray[np.float64]) -> Panel:
    """Return four decades below the greatest value as grey."""
    greatest = values.max() or 1.0
    return _grey(np.log10(np.maximum(values / greatest, 1e-4)) + 4, 4.0)


def _curve(values: NDArray[np.float64]) -> Panel:
    """Return values as a filled curve, each column the greatest of what falls into it."""
    edges = np.linspace(0, values.size, _SIDE + 1).astype(int)
    highest = np.array([values[a : max(b, a + 1)].max() for a, b in pairwise(edges)])
    heights = highest / (highest.max() or 1.0) * (_SIDE - 1)
    return np.where(np.arange(_SIDE)[::-1, None] <= heights, 220, 0).astype(np.uint8)


def _bars(noise: NDArray[np.float64], *, dead: NDArray[np.int64], spiking: NDArray[np.int64]) -> Panel:
    """Return one bar a channel, as high as its noise; red where it is dead, amber where it has spikes."""
    panel = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    edges = np.linspace(0, _SIDE, noise.size + 1).astype(int)
    for number, value in enumerate(noise / (noise.max() or 1.0)):
        colour = _RED if number in dead else _AMBER if number in spiking else _GREY
        height = max(6, int(value * (_SIDE - 1)))
        panel[-height:, edges[number] : max(edges[number + 1] - 1, edges[number] + 1)] = colour
    return panel


def _resize(panel: Panel, rows: int, columns: int) -> Panel:
    return np.asarray(
        panel[np.arange(rows) * panel.shape[0] // rows][:, np.arange(columns) * panel.shape[1] // columns]
    )


def _fit(panel: Panel, side: int, *, shrink: Any) -> Panel:  # noqa: ANN401 -- numpy's mean or max
    step = -(-max(panel.shape) // side)
    rows, columns = (length // step * step for length in panel.shape)
    blocks = panel[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return np.asarray(shrink(blocks, axis=(1, 3)).astype(np.uint8))


def _side_by_side(panels: list[Panel]) -> NDArray[np.uint8]:
    canvas = np.full((_SIDE, len(panels) * (_SIDE + _GAP) - _GAP, 3), 24, np.uint8)
    for number, panel in enumerate(panels):
        rows, columns = panel.shape[:2]
        top, left = (_SIDE - rows) // 2, number * (_SIDE + _GAP) + (_SIDE - columns) // 2
        canvas[top : top + rows, left : left + columns] = panel if panel.ndim == 3 else panel[..., None]
    return canvas
