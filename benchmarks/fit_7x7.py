"""Where the adatoms of Si(111)-7×7 must be: an ideal cell fitted to the corner holes of a topograph.

The truth is independent of any network: the holes are dips of the smoothed image on the lattice of its
autocorrelation, and the twelve adatoms of the dimer–adatom–stacking-fault model follow from their cells. Drift and
creep are taken up by a polynomial from cell to px, held first by the holes and then by the bright spots nearest to
the adatoms expected; a spot is never an adatom of its own, it only bends the lattice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

SURFACE_CONSTANT = 3.84
"""Å; Si(111)-1×1. The 7×7 cell has sides of 26.9 Å (its long diagonal is 46.6 Å)."""

DEGREE, FINAL_DEGREE = 3, 5
"""Of the polynomial held by some forty holes, and by some four hundred adatoms."""

ROUNDS = 4
SPOT_SIGMA = 0.2
"""Smoothing (SD) before bright spots are sought, over the distance of adatoms."""

HOLE_SIGMA = 0.07
"""Smoothing (SD) before holes are sought, over the side of the cell."""

HOLE_REACH = 0.12
"""A dip counts as the hole of a corner within this share of the cell's side."""


class Fit(NamedTuple):
    """An ideal 7×7 surface laid over an image; positions (N, 2) px.

    spacing : median distance of nearest adatoms, px
    residual : RMS distance of the bright spots used from the adatoms of the fit, px
    stretch : side of the cell found over the true one, by the area, with the file's own scale
    """

    adatoms_yx: np.ndarray
    holes_yx: np.ndarray
    cell: np.ndarray
    spacing: float
    residual: float
    stretch: float
    holes_used: int


def fit_7x7(image: np.ndarray, pixel_size: float) -> Fit:
    """Fit the superlattice to a levelled topograph (H, W)."""
    from atomnb.simulate.stm_scenes import dimer_adatom_stacking_fault

    clipped = np.clip(image, *np.percentile(image, [1, 99]))
    cell = superlattice(clipped, 7 * SURFACE_CONSTANT / pixel_size)
    side = float(np.sqrt(abs(np.linalg.det(cell)) / (3**0.5 / 2)))
    index, holes = _indexed_holes(clipped, cell, side)
    transform = _polynomial(index, holes, DEGREE)
    motif = dimer_adatom_stacking_fault(7)
    corners = np.array([(i, j) for i in range(-12, 13) for j in range(-12, 13)])
    near = cKDTree(index).query(corners)[0] < 1.6  # where the polynomial is held by holes
    sites = (corners[near][:, None] + motif.basis).reshape(-1, 2)
    transform, residual = _bent(clipped, transform, sites)
    all_adatoms = transform(sites)
    all_holes = transform(corners[near])
    adatoms, holes_inside = (_inside(p, image.shape) for p in (all_adatoms, all_holes))
    spacing = float(np.median(cKDTree(all_adatoms).query(adatoms, k=2)[0][:, 1]))
    stretch = side * pixel_size / (7 * SURFACE_CONSTANT)
    return Fit(adatoms, holes_inside, cell, spacing, residual, stretch, len(holes))


def _bent(image, transform, sites):
    """The transform held by the bright spots nearest to the adatoms (N, 2) in cells, and its RMS residual, px."""
    for _ in range(ROUNDS):
        expected = transform(sites)
        spacing = np.median(cKDTree(expected).query(expected, k=2)[0][:, 1])
        smooth = ndimage.gaussian_filter(image, SPOT_SIGMA * spacing)
        spots = np.argwhere(smooth == ndimage.maximum_filter(smooth, 3)).astype(float)
        distance, nearest = cKDTree(spots).query(_inside(expected, image.shape))
        close = distance < 0.35 * spacing
        inside = ((expected >= 0) & (expected <= np.array(image.shape) - 1)).all(axis=1)
        used = np.array([_centred(-smooth, s) for s in spots[nearest[close]]])
        transform = _polynomial(sites[inside][close], used, FINAL_DEGREE)
        residual = np.sqrt(np.mean(np.sum((transform(sites[inside][close]) - used) ** 2, axis=1)))
    return transform, float(residual)


def superlattice(image: np.ndarray, side: float) -> np.ndarray:
    """Cell (2, 2) px, rows about 60° apart, from the strongest peaks of the autocorrelation near `side`, px."""
    flat = image - ndimage.gaussian_filter(image, side)
    window = np.outer(*(np.hanning(n) for n in image.shape))
    spectrum = fft.rfft2(flat * window, [2 * n for n in image.shape])
    correlation = fft.fftshift(fft.irfft2(np.abs(spectrum) ** 2, [2 * n for n in image.shape]))
    centre = np.array(image.shape)
    peaks = np.argwhere(correlation == ndimage.maximum_filter(correlation, max(3, int(0.4 * side))))
    vectors = peaks - centre
    length = np.hypot(*vectors.T)
    fits = (length > 0.75 * side) & (length < 1.9 * side) & (vectors @ [1000, 1] > 0)
    order = np.argsort(-correlation[tuple(peaks[fits].T)])
    candidates = vectors[fits][order].astype(float)
    first = candidates[0]
    second = next(v for v in candidates[1:] if abs(np.linalg.det([first, v])) > 0.4 * np.hypot(*first) * np.hypot(*v))
    other = second - first if np.dot(first, second) > 0 else second + first
    three = sorted([first, second, other], key=np.linalg.norm)
    cell = np.array([three[0], three[1]])
    if np.dot(*cell) < 0:  # 120°: the neighbour at 60° is the sum
        cell = np.array([cell[0], cell.sum(axis=0)])
    return cell


def _indexed_holes(image, cell, side) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N, 2) and positions (N, 2) px of corner holes, grown outwards from the deepest one."""
    smooth = ndimage.gaussian_filter(image, HOLE_SIGMA * side) - ndimage.gaussian_filter(image, 0.5 * side)
    dips = (smooth == ndimage.minimum_filter(smooth, int(0.4 * side))) & (smooth < -smooth.std())
    points = np.argwhere(dips).astype(float)
    tree = cKDTree(points)
    middle = np.array(image.shape) / 2
    depth = -smooth[tuple(points.astype(int).T)] * (np.hypot(*(points - middle).T) < 0.3 * min(image.shape))
    seed = int(np.argmax(depth))
    found, queue = {(0, 0): seed}, [(0, 0)]
    steps = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, -1), (-1, 1)]
    while queue:
        here = queue.pop(0)
        for step in steps:
            there = (here[0] + step[0], here[1] + step[1])
            if there in found:
                continue
            distance, nearest = tree.query(points[found[here]] + np.array(step) @ cell)
            if distance < HOLE_REACH * side and nearest not in found.values():
                found[there] = int(nearest)
                queue.append(there)
    index = np.array(list(found), float)
    holes = np.array([_centred(smooth, points[i]) for i in found.values()])
    return index, holes


def _centred(smooth, yx) -> np.ndarray:
    """The dip to a fraction of a pixel, by a parabola through its neighbours."""
    y, x = (int(v) for v in yx)
    if not (0 < y < smooth.shape[0] - 1 and 0 < x < smooth.shape[1] - 1):
        return yx
    shifts = []
    for low, mid, high in ((smooth[y - 1, x], smooth[y, x], smooth[y + 1, x]), tuple(smooth[y, x - 1 : x + 2])):
        bend = low - 2 * mid + high
        shifts.append(0.5 * (low - high) / bend if bend > 0 else 0.0)
    return yx + np.clip(shifts, -0.5, 0.5)


def _polynomial(index, points, degree: int):
    """The least-squares polynomial from cell indices to px, as a function of (N, 2)."""
    scale = max(1.0, np.abs(index).max())

    def terms(at):
        i, j = np.asarray(at, float).T / scale
        return np.stack([i**p * j**q for p in range(degree + 1) for q in range(degree + 1 - p)], axis=1)

    coefficients = np.linalg.lstsq(terms(index), points, rcond=None)[0]
    return lambda at: terms(at) @ coefficients


def _inside(points, shape) -> np.ndarray:
    return points[((points >= 0) & (points <= np.array(shape) - 1)).all(axis=1)]
