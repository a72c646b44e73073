"""Polarity of dumbbells by the vote of a whole grain: which of its two sublattices holds the heavier columns.

The two columns of a dumbbell are often too alike to be named one by one, but all dumbbells of a grain point the same
way. Their mean difference in brightness, and in what the network makes of them, decides for all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import ndtr

from atomnb.locate.dumbbells import Dumbbells, find_dumbbells, place_singles, split_domains
from atomnb.locate.presence import LEAST
from atomnb.simulate.materials.dumbbell import LABELS

COLUMN, HEAVIER, LIGHTER = LABELS

DECIDED = 3.0
"""Standard errors at which a vote counts."""

UNEVEN = 0.012
"""Relative difference in brightness that a comatic probe gives to alike columns: root mean square over simulated Si and
Ge with 600 Å of coma, more than a tuned microscope has."""

MISLED = 1.0
"""The difference in log-odds that the network sees there."""

CONTEXT = 2.5
"""A network sees a neighbourhood at once, so its errors on neighbours go together: on simulated silicon the mean
log-odds of a grain scatter this many times as much as those of independent columns would."""

SHARED = 0.75
"""Correlation of the two verdicts on simulated silicon: brightness and network are misled by the same noise."""

LEAST_CONTRAST = 0.07
"""Relative difference in brightness, at Z^1.7, of the two columns of InSb: no common compound has less."""

LEAST_DUMBBELLS = 10
"""Fewer than this do not tell how much dumbbells differ by chance."""

STANDS_OUT = 5.0
"""Robust standard deviations of a sublattice by which the other one, and a column of its own, must differ from it for
the column to be what the other is made of (an antisite)."""

AROUND = 12
"""Nearest columns of a sublattice with which a column is compared."""

_LEAST_MASS = 1e-3
_CLIP = 3.0
_LEAST_TO_COMPARE = 3


class Vote(NamedTuple):
    """Of each grain (G,).

    z : what speaks for the first column of its dumbbells being the heavier one, in standard errors
    alike : probability that its two columns differ less than those of any common compound
    """

    z: np.ndarray
    alike: np.ndarray


def has_polarity(classes: Iterable[str]) -> bool:
    """Whether a model with these classes names the two columns of a dumbbell."""
    return set(LABELS) <= set(classes)


def name_by_polarity(mass: Mapping[str, np.ndarray], positions_yx, intensity, usable) -> tuple[np.ndarray, np.ndarray]:
    """Names of columns by the vote of their grain, and the probability of each.

    Parameters
    ----------
    mass : mapping
        Class → (N,), the network's probability summed about each column.
    positions_yx : (N, 2) px
    intensity : (N,) integrated signal of the fit
    usable : (N,) bool
        Whose intensity can be trusted; columns cut by the border are named by the vote but have none.

    Returns
    -------
    names : (N,) "heavier" and "lighter" where the vote is decided at 3 standard errors, "column" where it is not or
        where there is no dumbbell. A column that clearly has the brightness of the other sublattice has its name.
    probability : (N,) of "heavier" and "lighter" that the vote did not go the wrong way; of "column" that the two
        columns of its dumbbell differ less than in any compound. The network's where there was no vote.
    """
    yx, intensity, usable = np.asarray(positions_yx, float), np.asarray(intensity, float), np.asarray(usable, bool)
    usable = usable & np.isfinite(intensity) & (intensity > 0)
    named = np.full(len(yx), COLUMN, object)
    probability = mass[COLUMN] / np.maximum(sum(mass[name] for name in LABELS), _LEAST_MASS)
    dumbbells = find_dumbbells(yx)
    ballot = usable[dumbbells.ends].all(axis=1)
    if ballot.sum() < LEAST_DUMBBELLS:
        return named, probability
    bright = np.where(usable, intensity, 1.0)
    odds = np.log(np.maximum(mass[HEAVIER], _LEAST_MASS) / np.maximum(mass[LIGHTER], _LEAST_MASS))
    dumbbells = split_domains(dumbbells, _contrast(dumbbells, bright), ballot)
    vote = hold_vote(dumbbells, bright, odds, ballot)
    owner, end = place_singles(yx, dumbbells)
    placed = np.flatnonzero(owner >= 0)
    grain = dumbbells.grain[owner[placed]]
    z = vote.z[grain]
    decided = np.abs(z) >= DECIDED
    heavy = (z > 0) == (end[placed] == 0)
    named[placed] = np.where(decided, np.where(heavy, HEAVIER, LIGHTER), COLUMN)
    probability[placed] = np.where(decided, ndtr(np.abs(z)), vote.alike[grain])
    return _with_exceptions(named, probability, yx, bright, usable)


def hold_vote(dumbbells: Dumbbells, intensity, log_odds, ballot) -> Vote:
    """Weigh brightness and network, grain by grain.

    Parameters
    ----------
    dumbbells : Dumbbells
    intensity : (N,) of the columns
    log_odds : (N,) of "heavier" against "lighter" for each column, by the network
    ballot : (K,) bool, dumbbells that vote

    Notes
    -----
    The standard error is that of the scatter of the dumbbells about their own grain's mean, over the whole image, so
    that a grain of few dumbbells has one too. What all dumbbells of a grain have in common but for another reason
    (a comatic probe) is added to it.
    """
    grain, n_grains = dumbbells.grain[ballot], int(dumbbells.grain.max()) + 1
    contrast = _without_outliers(_contrast(dumbbells, intensity)[ballot], grain)
    contrast, error = _means(contrast, grain, n_grains)
    first, second = dumbbells.ends[ballot].T
    odds, odds_error = _means(log_odds[first] - log_odds[second], grain, n_grains)
    error, odds_error = np.hypot(error, UNEVEN), np.hypot(CONTEXT * odds_error, MISLED)
    z = (contrast / error + odds / odds_error) / np.sqrt(2 + 2 * SHARED)
    limit = LEAST_CONTRAST / error
    return Vote(z, ndtr(limit - np.abs(z)) - ndtr(-limit - np.abs(z)))


def _contrast(dumbbells: Dumbbells, intensity: np.ndarray) -> np.ndarray:
    """Difference (K,) of the first and the second column over their mean."""
    first, second = intensity[dumbbells.ends].T
    return 2 * (first - second) / (first + second)


def _means(values: np.ndarray, grain: np.ndarray, n_grains: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (G,) of each grain and its standard error by the scatter of all; 0 and infinite for a grain without any."""
    number = np.bincount(grain, minlength=n_grains)
    mean = np.bincount(grain, values, minlength=n_grains) / np.maximum(number, 1)
    freedom = len(values) - int((number > 0).sum())
    scatter = np.sqrt(((values - mean[grain]) ** 2).sum() / freedom) if freedom else np.inf
    return mean, np.where(number, scatter / np.sqrt(np.maximum(number, 1)), np.inf)


def _without_outliers(values: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """The values, those far from their grain's median brought nearer: an antisite or a filled vacancy is one vote."""
    grains, of, number = np.unique(grain, return_inverse=True, return_counts=True)
    excess = values - ndimage.median(values, of, np.arange(len(grains)))[of]
    several = number[of] >= _LEAST_TO_COMPARE
    if not several.any():
        return values
    far = _CLIP * 1.48 * np.median(np.abs(excess[several]))
    return values - excess + np.clip(excess, -far, far)


def _with_exceptions(named, probability, yx, intensity, usable) -> tuple[np.ndarray, np.ndarray]:
    """Names and probabilities with those of columns that clearly have the brightness of the other sublattice."""
    named, probability = named.copy(), probability.copy()
    group = {name: np.flatnonzero((named == name) & usable) for name in (HEAVIER, LIGHTER)}
    if min(map(len, group.values())) <= AROUND:
        return named, probability
    for name, other in ((HEAVIER, LIGHTER), (LIGHTER, HEAVIER)):
        own = group[name]
        typical, foreign = (_median_around(yx, intensity, own, group[kind]) for kind in (name, other))
        ratio, step = intensity[own] / typical, foreign / typical - 1
        spread = 1.48 * np.median(np.abs(ratio - 1))
        excess, beyond = np.sign(step) * (ratio - 1), np.sign(step) * (ratio - 1 - step / 2)
        clear = np.minimum(excess, np.abs(step)) > STANDS_OUT * spread
        out = clear & (beyond > 0) & (ratio > LEAST)
        named[own[out]] = other
        probability[own[out]] = ndtr(beyond[out] / max(spread, 1e-9))
    return named, probability


def _median_around(yx: np.ndarray, values: np.ndarray, at: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Median of the values of those of `among` that are nearest to each of `at`, itself left out."""
    return np.median(values[among[cKDTree(yx[among]).query(yx[at], k=AROUND + 1)[1][:, 1:]]], axis=1)
