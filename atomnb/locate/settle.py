"""What the columns of an image have in common: their width, the tails of the probe, the slope of the ground."""

from __future__ import annotations

import numpy as np

from atomnb.locate import glow
from atomnb.locate.fit import Fit
from atomnb.locate.gaussian import AMP as _A
from atomnb.locate.gaussian import GROUND as _B
from atomnb.locate.gaussian import SIGMA as _S
from atomnb.locate.gaussian import invert, solve

_LEAST_ATOMS = 30
"""Among fewer atoms a slope of the ground is not looked for."""


def settle_width(fit: Fit, *, known: bool = False) -> float:
    """Set the common width, around which each column's own is sought, and how far the columns scatter about it.

    Empirical Bayes: a column's own width counts as far as the image tells it apart from the others. A `known` common
    width stays. Returns its relative change.
    """
    some = fit.order[:: max(1, len(fit) // 20000)]
    log_width = np.log(fit.theta[some, _S] / fit.width)
    precision = 1 / fit.scatter**2
    covariance = np.diagonal(invert(fit.fisher[some].astype(float)), axis1=1, axis2=2)
    information = np.maximum(np.nan_to_num(1 / covariance[:, _S]) - precision, 1e-3)
    # a fitted position follows the noise, which makes the column look narrower by its own variance
    narrowed = np.log1p(np.clip(np.nan_to_num(covariance[:, :2].mean(1)), 0, 0.3)) / 2
    if np.median(information) > 100:
        # what the data alone would have said, without the pull of the common width
        free = np.clip(log_width * (1 + precision / information), -1, 1)
        centre = _weighted_median(free + narrowed, information)
        spread = _weighted_median(np.abs(free + narrowed - centre), information) * 1.4826
        excess = spread**2 - 1 / np.median(information)
    else:
        # too faint one by one: one step of scoring for the sum of all columns
        fisher = fit.fisher[some].sum(0, dtype=float)
        fisher[_S, _S] -= precision * len(some)
        move = solve(fisher[None], fit.score[some].sum(0, dtype=float)[None, :, None])[0, _S, 0]
        centre, excess = move + float(np.median(narrowed)) + float(log_width.mean()), 0.03**2
    fit.scatter = float(np.sqrt(np.clip(excess, 0.005**2, 0.15**2)))
    if known:
        return 0.0
    change = float(np.clip(centre, -0.5, 0.5))
    before, fit.width = fit.width, float(np.clip(fit.width * np.exp(change), *fit.width_range))
    change = np.log(fit.width / before)
    fit.theta[-1, _S] = fit.width
    if abs(change) > 0.01:
        fit.find_neighbours()
    return abs(change)


def settle_glow(fit: Fit) -> None:
    """Take the tails of uneven columns out of the image, at the height that leaves the least misfit."""
    if not glow.matters(fit.theta[:-1, _A]):
        return
    whole, begin = fit.work, fit.theta.copy()
    tails = glow.glow_image(begin[:-1, :2], begin[:-1, _A], fit.width, whole.shape)
    tails -= np.median(tails)  # the level they share is background, and counts in the variance
    misfits = []
    for height in glow.TRIED:
        fit.work, fit.theta = whole - np.float32(height) * tails, begin.copy()
        fit.sweep(3)
        misfits.append(_misfit(fit))
    fit.tail_height = glow.best_height(misfits)
    fit.work, fit.theta = whole - np.float32(fit.tail_height) * tails, begin


def settle_tilt(fit: Fit) -> None:
    """The slope of the background under each atom, from the backgrounds of the atoms around it.

    A slope of its own would cost each position much of its precision; a shared one costs little and keeps
    thickness and contamination from pulling the atoms uphill. Slopes that may be chance are drawn to zero.
    """
    if len(fit) < _LEAST_ATOMS:
        return
    yx, ground = fit.theta[:-1, :2], fit.theta[:-1, _B]
    tilt = np.zeros((len(fit), 2), np.float32)
    for index in fit.chunks():
        near = np.column_stack([index, fit.nearest[index]])
        around = ground[near]
        around -= _middle(around)
        spread = _middle(np.abs(around))
        around = np.clip(around, -5 * spread, 5 * spread)
        offset = yx[near]
        offset -= offset.mean(1, keepdims=True)
        around -= around.mean(1, keepdims=True)
        square = offset.transpose(0, 2, 1) @ offset
        square += 1e-3 * np.trace(square, axis1=1, axis2=2)[:, None, None] * np.eye(2)
        slope = np.linalg.solve(square, offset.transpose(0, 2, 1) @ around[:, :, None])
        plane = (offset @ slope)[:, :, 0]
        chance = ((around - plane) ** 2).sum(1) / (near.shape[1] - 3)
        belief = np.maximum(0, 1 - 6 * chance / np.maximum((plane**2).sum(1), 1e-12))
        tilt[index] = slope[:, :, 0] * belief[:, None]
    fit.tilt = tilt if tilt.any() else None


def _misfit(fit: Fit) -> float:
    """χ² of all windows."""
    total = 0.0
    for index in fit.chunks():
        window = fit.window(index)
        _, _, residual, variance = fit.evaluate(window, index)
        total += float((window.mask * residual**2 / variance).sum(dtype=float))
    return total


def _middle(rows) -> np.ndarray:
    """Medians (n, 1) of rows of an odd number of values (n, K)."""
    half = rows.shape[1] // 2
    return np.partition(rows, half, axis=1)[:, half, None]


def _weighted_median(values, weights) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
