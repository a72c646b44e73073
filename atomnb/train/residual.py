"""What an image shows beside its lattice: the Bragg peaks are masked, and the extremes of the rest are defects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage
from scipy.cluster import hierarchy
from scipy.spatial import cKDTree

from atomnb.errors import ImageError

BRAGG_CONTRAST = 30.0
"""Power of a Bragg peak over the median of its ring; noise alone hardly exceeds 16."""

DISC = 0.1
"""Radius of the mask around each peak, over the lowest frequency of the lattice: slow changes of the lattice over ten
periods are taken for lattice, and only a few percent of a point defect."""

SMOOTHING = 0.16
"""Width (σ) of the filter before extremes are sought, in periods."""

BORDER = 0.7
"""Width, in periods, of the border in which nothing is taken for a defect: half of its surroundings are missing."""

RINGS = (0.0, 0.3, 0.6, 0.9, 1.2)
"""Radii, in periods, between which a defect's residual is averaged: equal for all its rotated and mirrored copies."""


class Residual(NamedTuple):
    """An image without its lattice.

    image : (H, W) smoothed, in robust standard deviations of itself
    period : distance of the lattice planes of the lowest strong frequency, px
    """

    image: np.ndarray
    period: float


class Defects(NamedTuple):
    """Extremes of a residual: positions (N, 2) px, height (N,) in standard deviations, class (N,) from 0."""

    positions_yx: np.ndarray
    height: np.ndarray
    label: np.ndarray


def remove_lattice(image: np.ndarray) -> Residual:
    """`image` (H, W) less its lattice and its slow background.

    After DefectNet (npj Comput. Mater. 5, 12 (2019)); the jump between opposite borders, whose cross in the spectrum
    would be taken for residual, is removed first (Moisan 2011, J. Math. Imaging Vis. 39, 161).

    Raises
    ------
    ImageError
        If no Bragg peak stands out.
    """
    pixels = np.asarray(image, float)
    spectrum = _without_border_jump(pixels)
    frequency = np.hypot(fft.fftfreq(pixels.shape[0])[:, None], fft.fftfreq(pixels.shape[1])[None])
    peaks = _bragg_peaks(pixels, frequency)
    if not len(peaks):
        raise ImageError("no lattice stands out in this frame: choose another one, or label some frames and fine-tune.")
    lowest = float(np.hypot(*peaks.T).min())
    smooth = np.exp(-2 * (np.pi * frequency * SMOOTHING / lowest) ** 2)
    rest = fft.ifft2(spectrum * smooth * ~_discs(pixels.shape, peaks, DISC * lowest)).real
    rest -= np.median(rest)
    return Residual(rest / (1.4826 * np.median(np.abs(rest)) + 1e-30), 1 / lowest)


def find_defects(residual: Residual, *, threshold: float = 5.0, classes: int = 4) -> Defects:
    """Extremes of either sign that exceed `threshold` standard deviations, sorted into at most `classes` kinds.

    Rotated and mirrored copies of a defect are one kind. Extremes nearer than a period to a higher one are its ripple.
    """
    size = np.abs(residual.image)
    index = np.argwhere((size == ndimage.maximum_filter(size, size=3)) & (size > threshold))
    margin = BORDER * residual.period
    index = index[((index >= margin) & (index < np.array(size.shape) - margin)).all(axis=1)]
    index = index[np.argsort(-size[tuple(index.T)], kind="stable")]
    index = index[_free(index, residual.period)]
    height = residual.image[tuple(index.T)]
    return Defects(index.astype(float), height, _kinds(residual, index, height, classes))


def _without_border_jump(pixels: np.ndarray) -> np.ndarray:
    """Spectrum of the periodic part of an image."""
    jump = np.zeros_like(pixels)
    jump[0] += pixels[0] - pixels[-1]
    jump[-1] += pixels[-1] - pixels[0]
    jump[:, 0] += pixels[:, 0] - pixels[:, -1]
    jump[:, -1] += pixels[:, -1] - pixels[:, 0]
    rows, columns = (2 * np.cos(2 * np.pi * fft.fftfreq(n)) for n in pixels.shape)
    laplacian = rows[:, None] + columns[None] - 4
    laplacian[0, 0] = 1.0
    smooth = fft.fft2(jump) / laplacian
    smooth[0, 0] = 0
    return fft.fft2(pixels) - smooth


def _bragg_peaks(pixels: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Frequencies (N, 2), cycles per px, of the peaks that stand out of their ring."""
    window = np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])[None]
    power = np.abs(fft.fft2((pixels - pixels.mean()) * window)) ** 2
    power = ndimage.uniform_filter(power, size=3, mode="wrap")
    count = min(pixels.shape) // 6
    ring = np.minimum((frequency * 2 * count).astype(int), count)
    floor = ndimage.median(power, ring, np.arange(count + 1))[ring]
    top = power == ndimage.maximum_filter(power, size=5, mode="wrap")
    strong = top & (power > BRAGG_CONTRAST * floor) & (frequency > 4 / min(pixels.shape))
    return np.stack([fft.fftfreq(n)[i] for n, i in zip(pixels.shape, np.nonzero(strong), strict=True)], axis=1)


def _discs(shape, peaks: np.ndarray, radius: float) -> np.ndarray:
    """Mask of the frequencies within `radius` of a peak or of zero."""
    axes = np.meshgrid(*(fft.fftfreq(n) for n in shape), indexing="ij")
    grid = np.stack(axes, -1).reshape(-1, 2)
    centres = np.concatenate([peaks, np.zeros((1, 2))])
    near = cKDTree(centres % 1.0, boxsize=1.0).query(grid % 1.0, distance_upper_bound=radius)[0]
    return np.isfinite(near).reshape(shape)


def _free(index: np.ndarray, distance: float) -> np.ndarray:
    """Mask of those, highest first, that no higher one is near to."""
    keep = np.ones(len(index), bool)
    for higher, lower in sorted(cKDTree(index).query_pairs(distance)) if len(index) else ():
        if keep[higher]:
            keep[lower] = False
    return keep


def _kinds(residual: Residual, index: np.ndarray, height: np.ndarray, classes: int) -> np.ndarray:
    """Kind (N,) of each defect, from its ring averages; missing ones before bright ones, larger groups first."""
    label = np.zeros(len(index), int)
    if not len(index):
        return label
    rings = _ring_averages(residual, index)
    found = 0
    for sign in (-1, 1):
        of_sign = np.flatnonzero(np.sign(height) == sign)
        if len(of_sign):
            parts = _groups(rings[of_sign], max(1, classes // 2))
            label[of_sign] = found + parts
            found += parts.max() + 1
    return label


def _ring_averages(residual: Residual, index: np.ndarray) -> np.ndarray:
    reach = int(np.ceil(RINGS[-1] * residual.period))
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    ring = np.digitize(np.hypot(*grid.T) / residual.period, RINGS) - 1
    padded = np.pad(residual.image, reach, mode="reflect")
    at = index[:, None] + grid + reach
    patches = padded[at[..., 0], at[..., 1]]
    return np.stack([patches[:, ring == r].mean(axis=1) for r in range(len(RINGS) - 1)], axis=1)


def _groups(features: np.ndarray, most: int) -> np.ndarray:
    """Group (N,) of each row, largest first: as many as are clearly apart, at most `most`, each of three at least."""
    for count in range(most, 1, -1):
        if len(features) < 3 * count:
            continue
        label = hierarchy.fcluster(hierarchy.ward(features), count, criterion="maxclust") - 1
        sizes = np.bincount(label, minlength=count)
        if sizes.min() >= 3 and _apart(features, label):
            return np.argsort(np.argsort(-sizes, kind="stable"))[label]
    return np.zeros(len(features), int)


def _apart(features: np.ndarray, label: np.ndarray) -> bool:
    """Whether any two groups are further apart than four times the spread within them along their connection."""
    centres = [features[label == k].mean(axis=0) for k in range(label.max() + 1)]
    for i, a in enumerate(centres):
        for j, b in enumerate(centres[:i]):
            direction = (a - b) / np.linalg.norm(a - b)
            along = [features[label == k] @ direction for k in (i, j)]
            if np.linalg.norm(a - b) < 4 * max(part.std() for part in along):
                return False
    return True
