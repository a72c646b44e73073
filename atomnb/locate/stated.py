"""The errors that are stated: the joint Fisher matrix of overlapping columns, corrected by what the residuals show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atomnb.locate.fit import CHUNK, Fit
from atomnb.locate.gaussian import AMP as _A
from atomnb.locate.gaussian import GROUND as _B
from atomnb.locate.gaussian import SIGMA as _S
from atomnb.locate.gaussian import Basis, coupling, invert, solve
from atomnb.locate.gaussian import Y as _Y
from atomnb.locate.residuals import Excess

_OVERLAP_SIGMAS = 4.2
_SECOND_ORDER = 3.5


class Stated(NamedTuple):
    """Standard errors (N, 2) px per axis, not finite for columns that cannot be told apart; whether each overlaps
    with another (N,); and by what factor (N,) its variance exceeds that of the model."""

    errors_yx: np.ndarray
    overlap: np.ndarray
    factor: np.ndarray


def stated_errors(fit: Fit, found: Excess) -> Stated:
    """The errors of a finished fit."""
    variance, height_variance, overlap = _covariance(fit)
    colour = found.colour()
    factor = _shrunk(found.excess, found.error) * _believed_height(fit, height_variance)
    # next order of the maximum-likelihood error: a fit that wanders by a good part of σ does so in a
    # likelihood that is no parabola, and finds too high a column (factor from the simulated columns)
    wander = np.minimum(variance.mean(1) / fit.theta[:-1, _S] ** 2, 0.2)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(variance * colour * (factor * (1 + _SECOND_ORDER * wander))[:, None])
    return Stated(errors, overlap, factor * min(colour))


def _covariance(fit: Fit):
    """Variances of the positions (N, 2) in px² from the joint Fisher matrix of overlapping columns."""
    diagonal = np.empty((len(fit), 3))
    overlap = np.zeros(len(fit), bool)
    for index in fit.chunks():
        joint = fit.fisher[index].astype(float)
        rows, partners = _pairs(fit, index)
        for a in range(0, len(rows), CHUNK):
            row, j = rows[a : a + CHUNK], partners[a : a + CHUNK]
            i = index[row]
            block = _coupling(fit, i, j)[:, :, :3]
            own = fit.fisher[j, :3, :3].astype(float)
            np.subtract.at(joint, row, block @ solve(own, block.transpose(0, 2, 1)))
            shared = np.abs(block[:, :2, :2]).max((1, 2)) ** 2
            overlap[i[shared > 0.02 * fit.fisher[i, _Y, _Y] * own[:, _Y, _Y]]] = True
        diagonal[index] = np.diagonal(invert(joint), axis1=1, axis2=2)[:, :3]
    return diagonal[:, :2] * fit.theta[:-1, _S, None] ** 2, diagonal[:, _A], overlap


def _believed_height(fit: Fit, variance) -> np.ndarray:
    """Factor on the position variance for an amplitude that is itself uncertain (relative `variance`).

    A column that came out bright by chance would claim too small an error, and one that came out faint too
    large a one: the amplitudes are drawn to their median as far as their scatter is only chance.
    """
    height = fit.theta[:-1, _A]
    error = height * np.sqrt(np.where(np.isfinite(variance), variance, 1))
    believed = _shrunk(height, error)
    slope, intercept = fit.line
    ground = np.abs(slope * fit.theta[:-1, _B] + intercept)
    # the variance goes as 1/A on an empty ground, as 1/A² on a bright one
    power = 1 + ground / (ground + np.abs(slope) * height + 1e-9)
    return (height / np.maximum(believed, 0.1 * height)) ** power


def _shrunk(ratio, error) -> np.ndarray:
    """Ratios of found to expected variance, drawn to their median as far as their scatter is only chance."""
    centre = float(np.median(ratio))
    spread = (1.4826 * float(np.median(np.abs(ratio - centre)))) ** 2
    chance = np.minimum(1, error**2 / max(spread, 1e-12))
    return np.maximum(centre + (1 - chance) * (ratio - centre), 0.3 * centre + 1e-9)


def _pairs(fit: Fit, index):
    """Pairs of columns near enough to share information: places in `index`, and the partners' numbers."""
    near = fit.neighbours[index]
    d = np.hypot(*(fit.theta[near][:, :, :2] - fit.theta[index][:, None, :2]).transpose(2, 0, 1))
    row, col = np.nonzero((near < len(fit)) & (d < _OVERLAP_SIGMAS * fit.width))
    return row, near[row, col]


def _coupling(fit: Fit, i, j) -> np.ndarray:
    """Fisher blocks (pairs, 5, 5) between columns i and j over the window of i, in scaled parameters."""
    window = fit.window(i)
    basis, _, _, variance = fit.evaluate(window, i)
    block = coupling(basis, Basis.of(window, fit.theta[j]), window.mask / variance)
    return block * (fit.theta[i, _A] * fit.theta[j, _A])[:, None, None]
