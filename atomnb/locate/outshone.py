"""Atoms beside a brighter kind: they are shoulders in its glow, and a score promises less there than elsewhere.

A model that was taught such atoms (`SceneConfig.shoulders`) also sees some that are not there. On simulated scenes the
logistic map of all other peaks makes them surer than they are, so they have one of their own.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from atomnb.locate.peaks import Peaks, calibrated, mass_at
from atomnb.nets.checkpoint import Model
from atomnb.scale import measure_spacing

BESIDE = "beside "
"""Start of the entry of a card's calibration that names the brighter class: "beside Si"."""

REACH_SPACINGS = 1.5
"""How far the glow is felt, in distances of nearest neighbours."""


def is_outshone(positions_yx: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Mask (N,) of the atoms that are not `bright` (N,) themselves but lie beside one that is."""
    spacing = measure_spacing(positions_yx)
    if spacing is None or not bright.any():
        return np.zeros(len(bright), bool)
    nearest = cKDTree(positions_yx[bright]).query(positions_yx)[0]
    return ~bright & (nearest < REACH_SPACINGS * spacing)


def rescored(peaks: Peaks, probability: np.ndarray, model: Model, *, usual, threshold: float) -> Peaks:
    """The peaks with those beside a brighter kind judged anew; the ones that fall below the threshold are left out.

    Parameters
    ----------
    probability : (C, h, w) map in which the peaks lie
    usual : the calibration (slope, offset) of their scores
    """
    for key, calibration in model.card.calibration.items():
        if not key.startswith(BESIDE) or not len(peaks.score):
            continue
        name = model.classes.index(key.removeprefix(BESIDE))
        mass = np.stack([mass_at(probability[k], peaks.positions_yx) for k in model.atom_classes])
        outshone = is_outshone(peaks.positions_yx, mass.argmax(axis=0) == model.atom_classes.index(name))
        score = np.where(outshone, calibrated(_uncalibrated(peaks.score, usual), calibration), peaks.score)
        keep = score >= threshold
        peaks = Peaks(peaks.positions_yx[keep], score[keep])
    return peaks


def _uncalibrated(score: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    """The summed probability (N,) that `calibrated` made `score` of."""
    slope, offset = calibration
    return calibrated(score, (1 / slope, -offset / slope))
