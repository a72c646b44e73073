"""From a probability map to candidate positions, each with the probability that an atom is there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from atomnb.simulate.render import LABEL_SIGMA

REACH = 2 * LABEL_SIGMA
"""Radius, in px of the network's scale, over which the probability of one atom is gathered."""


class Peaks(NamedTuple):
    """Positions (N, 2) px and the score (N,) in [0, 1]: the probability that an atom is there."""

    positions_yx: np.ndarray
    score: np.ndarray


def find_peaks(
    probability: np.ndarray,
    *,
    threshold: float = 0.5,
    min_distance: float = REACH,
    calibration: tuple[float, float] = (1.0, 0.0),
) -> Peaks:
    """Atoms in a class map at the network's scale.

    The map is the expected label (a Gaussian of known width on each atom), so its sum around a peak, over that of one
    whole atom, is the expected number of atoms there, however blurred by noise the peak is.

    Parameters
    ----------
    probability : (H, W) in [0, 1], of one class
    threshold : lowest score to keep
    min_distance : px; of two peaks closer than this only the better stays
    calibration : slope and offset of the model's card, from summed probability to that of an atom
    """
    smooth = ndimage.gaussian_filter(probability, 0.8)
    top = smooth == ndimage.maximum_filter(smooth, size=3)
    top &= smooth > 0.01
    index = np.argwhere(top)
    if not len(index):
        return Peaks(np.zeros((0, 2)), np.zeros(0))
    patches = _patches(probability, index)
    score = calibrated(_mass(patches, index, probability.shape), calibration)
    positions = index + _offset(patches)
    keep = score >= threshold
    positions, score = positions[keep], score[keep]
    order = np.argsort(-score, kind="stable")
    free = _strongest(positions[order], min_distance)
    order = np.sort(order[free])
    return Peaks(positions[order], np.minimum(score[order], 1.0))


def sharpness(probability: np.ndarray) -> float:
    """Σp² / Σp of a map of columns."""
    return float((probability**2).sum() / max(float(probability.sum()), 1.0))


def mass_at(probability: np.ndarray, positions_yx: np.ndarray) -> np.ndarray:
    """Expected number of atoms (N,) in a map (H, W) around positions (N, 2)."""
    index = np.clip(np.round(positions_yx).astype(int), 0, np.array(probability.shape) - 1).reshape(-1, 2)
    return _mass(_patches(probability, index), index, probability.shape)


def calibrated(mass: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    """Summed probability (N,) of peaks as the probability of an atom: a logistic map with slope and offset."""
    slope, offset = calibration
    inside = np.clip(mass, 1e-6, 1 - 1e-6)
    return 1 / (1 + np.exp(-(slope * np.log(inside / (1 - inside)) + offset)))


_RADIUS = int(np.ceil(REACH))
_SIDE = np.arange(-_RADIUS, _RADIUS + 1)
_GRID = np.stack(np.meshgrid(_SIDE, _SIDE, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
_DISC = ((_GRID**2).sum(axis=1) <= REACH**2 + 0.5).astype(np.float32)
_NEAR = ((_GRID**2).sum(axis=1) <= 2.3).astype(np.float32)
_IDEAL = np.exp(-0.5 * (_GRID**2).sum(axis=1) / LABEL_SIGMA**2)


def _patches(probability, index) -> np.ndarray:
    """The map around each pixel of `index` (N, 2), zero beyond its border: (N, pixels of the patch)."""
    views = np.lib.stride_tricks.sliding_window_view(np.pad(probability, _RADIUS), (len(_SIDE), len(_SIDE)))
    return views[index[:, 0], index[:, 1]].reshape(len(index), len(_GRID))


def _mass(patches, index, shape) -> np.ndarray:
    """Sum over the disc relative to a whole atom; at the border, to the part of one that lies inside."""
    at = index[:, :, None] + _SIDE
    rows, columns = ((at >= 0) & (at < np.array(shape)[:, None])).transpose(1, 0, 2)
    inside = (rows[:, :, None] & columns[:, None, :]).reshape(len(index), len(_GRID))
    return np.vecdot(patches, _DISC) / np.vecdot(inside, _DISC * _IDEAL)


def _offset(patches) -> np.ndarray:
    """Sub-pixel shift (N, 2): the peak of a Gaussian of known width through the pixels around the maximum."""
    moment = np.stack([np.vecdot(patches, _NEAR * along) for along in _GRID.T], axis=1)
    shift = moment / np.maximum(np.vecdot(patches, _NEAR), 1e-9)[:, None]
    # within so small a window the centre of mass moves less than the Gaussian does
    ideal = np.exp(-0.5 * ((_GRID - [0.1, 0.0]) ** 2).sum(axis=1) / LABEL_SIGMA**2) * _NEAR
    gain = 0.1 / ((ideal * _GRID[:, 0]).sum() / ideal.sum())
    return np.clip(shift * gain, -1, 1)


def _strongest(positions: np.ndarray, min_distance: float) -> np.ndarray:
    """Mask of those, best first, that keep their distance from all better ones."""
    keep = np.ones(len(positions), bool)
    pairs = cKDTree(positions).query_pairs(min_distance, output_type="ndarray")
    for better, worse in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if keep[better]:
            keep[worse] = False
    return keep
