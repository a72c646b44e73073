"""A first grouping of columns by brightness, else by surroundings: groups, not elements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

MAX_GROUPS = 4
"""More brightness levels than this are not told apart."""

MIN_ATOMS = 10
"""Fewer atoms than this are one group."""

_BINS = 400
_SEPARATION = 3.0
_SMALLEST_SHARE = 0.01
_BALANCED_SHARE = 0.2


class Mixture(NamedTuple):
    """A one-dimensional Gaussian mixture: `mean`, `std`, `share` (k,), ascending in mean, and its BIC."""

    mean: np.ndarray
    std: np.ndarray
    share: np.ndarray
    bic: float


def group_columns(positions_yx, intensity, *, max_groups: int = MAX_GROUPS) -> np.ndarray:
    """Group columns by their brightness; equally bright ones by how their neighbours lie around them.

    The logarithm of the intensity is described by 1 to `max_groups` Gaussians; the Bayesian information criterion
    says how many, and levels count only if they lie apart (Ashman's D). If brightness gives one group,
    the moments of the directions to the nearest neighbours are tried: they separate the two
    sublattices of a honeycomb and the two ends of a dumbbell. Where neither is clear, all are group 0.

    A group is what the image can tell apart: elements, thicknesses or surroundings. It names no element.

    Parameters
    ----------
    positions_yx : array (N, 2)
        px or Å.
    intensity : array (N,)
        Integrated intensity of each column; values that are not positive join the faintest group.

    Returns
    -------
    int array (N,)
        Group of each column; 0 is the brightest, or among equals that with the first atom.

    Examples
    --------
    >>> import numpy as np
    >>> yx = np.stack(np.meshgrid(np.arange(6), np.arange(6)), -1).reshape(-1, 2)
    >>> bright = np.where(yx.sum(1) % 2, 100.0, 20.0) * np.random.default_rng(0).normal(1, 0.03, 36)
    >>> bool((group_columns(yx, bright) == (yx.sum(1) % 2 == 0)).all())
    True
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    value = np.asarray(intensity, float).ravel()
    groups = np.zeros(len(yx), np.int64)
    if len(yx) < MIN_ATOMS:
        return groups
    usable = np.isfinite(value) & (value > 0)
    if usable.sum() >= MIN_ATOMS:
        logs = np.log(value[usable])
        mixture = fit_mixture(logs, max_groups)
        faintest = len(mixture.mean) - 1
        if faintest:
            groups[usable] = faintest - assign(mixture, logs)
            groups[~usable] = faintest
            return groups
    return _by_surroundings(yx)


def fit_mixture(values, max_groups: int = MAX_GROUPS) -> Mixture:
    """The mixture of well separated Gaussians with the lowest BIC.

    Parameters
    ----------
    values : array (N,)
        One number per atom.
    max_groups : int
        Largest number of Gaussians tried.
    """
    points, number = _condensed(np.asarray(values, float))
    best = last = _expectation_maximisation(points, number, 1)
    for k in range(2, max_groups + 1):
        trial = _expectation_maximisation(points, number, k)
        # a difference of 10 in BIC is the usual "very strong"
        if trial.bic > last.bic - 10:
            break
        if _apart(trial, len(values)):
            best = trial
        last = trial
    return best


def assign(mixture: Mixture, values) -> np.ndarray:
    """Component of the mixture that each value most probably belongs to, 0 the lowest mean."""
    values = np.asarray(values, float)
    nearest = _log_density(mixture.mean, mixture.std, mixture.share, values).argmax(1)
    # beyond the outermost means a wide component must not capture what lies past a narrow one
    nearest[values <= mixture.mean[0]] = 0
    nearest[values >= mixture.mean[-1]] = len(mixture.mean) - 1
    return nearest


def _condensed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values as the means of narrow bins, ascending, and how many lie in each: enough for a few levels."""
    low, high = values.min(), values.max()
    bins = ((values - low) * ((_BINS - 1) / max(high - low, 1e-12))).astype(np.intp)
    number = np.bincount(bins)
    filled = number > 0
    return np.bincount(bins, weights=values)[filled] / number[filled], number[filled].astype(float)


def _expectation_maximisation(points, number, k: int) -> Mixture:
    """Maximum likelihood from parts cut at the widest gaps and from evenly spread parts, the better of the two."""
    starts = [_even_parts(points, number, k)]
    gaps = np.diff(points)
    if k > 1 and len(gaps) >= k:
        starts.append(np.sort(np.argsort(gaps)[len(gaps) - (k - 1) :] + 1))
    return _climb(points, number, starts)


def _even_parts(points, number, k: int, steps: int = 20) -> np.ndarray:
    """Where to cut sorted points into k parts around evenly spread, then recentred, means (Lloyd)."""
    mean, cuts = np.linspace(points[0], points[-1], 2 * k + 1)[1::2], None
    for _ in range(steps):
        cuts, last = np.searchsorted(points, (mean[1:] + mean[:-1]) / 2), cuts
        if np.array_equal(cuts, last):
            break
        parts = zip(np.split(points, cuts), np.split(number, cuts), mean, strict=True)
        mean = np.array([np.average(p, weights=n) if len(p) else m for p, n, m in parts])
    return cuts


def _climb(points, number, starts, steps: int = 100) -> Mixture:
    """Expectation maximisation from the parts between the cuts of each of the `starts`; the best of what they reach."""
    total, k = number.sum(), len(starts[0]) + 1
    floor = max(1e-3 * (points[-1] - points[0]), 1e-9)
    part = np.array([np.searchsorted(cuts, np.arange(len(points)), side="right") for cuts in starts])
    belongs = (part[:, None] == np.arange(k)[:, None]) + 1e-3
    last = np.full(len(starts), -np.inf)
    for _ in range(steps):
        weight = belongs * (number / belongs.sum(1))[:, None]
        population = weight.sum(2)
        mean = weight @ points / population
        square = (points - mean[..., None]) ** 2
        variance = ((weight * square).sum(2) / population).clip(floor**2)
        log_density = (np.log(population / total) - 0.5 * np.log(variance))[..., None] - square / (2 * variance)[
            ..., None
        ]
        top = log_density.max(1)
        belongs = np.exp(log_density - top[:, None])
        likelihood = (np.log(belongs.sum(1)) + top) @ number
        if (likelihood - last < 1e-6 * total).all():
            break
        last = likelihood
    best = int(likelihood.argmax())
    order = np.argsort(mean[best])
    mean, std, share = (v[best, order] for v in (mean, np.sqrt(variance), population / total))
    return Mixture(mean, std, share, float((3 * k - 1) * np.log(total) - 2 * likelihood[best]))


def _log_density(mean, std, share, values) -> np.ndarray:
    return np.log(share) - np.log(std) - 0.5 * ((values[:, None] - mean) / std) ** 2


def _apart(mixture: Mixture, n: int) -> bool:
    """Whether each level is populated and lies clear of the next: Ashman's D above 3."""
    gap = np.diff(mixture.mean)
    width = np.sqrt((mixture.std[1:] ** 2 + mixture.std[:-1] ** 2) / 2)
    populated = (mixture.share * n >= max(3.0, _SMALLEST_SHARE * n)).all()
    return bool(populated and (gap > _SEPARATION * width).all())


def _by_surroundings(yx: np.ndarray) -> np.ndarray:
    """Two groups whose neighbours lie in opposite directions, or one."""
    distance, index = cKDTree(yx).query(yx, k=min(7, len(yx)))
    for order in (1, 3):
        projected = _direction_moment(yx, distance, index, order)
        inner = np.isfinite(projected)
        if inner.sum() < MIN_ATOMS:
            continue
        mixture = fit_mixture(projected[inner], 2)
        if len(mixture.mean) == 2 and mixture.share.min() > _BALANCED_SHARE:
            side = (projected > mixture.mean.mean()).astype(np.int64)
            # an atom at the edge is of the other kind than its nearest neighbour inside
            if not inner.all():
                side[~inner] = 1 - side[inner][cKDTree(yx[inner]).query(yx[~inner])[1]]
            return side ^ side[0]
    return np.zeros(len(yx), np.int64)


def _direction_moment(yx: np.ndarray, distance: np.ndarray, index: np.ndarray, order: int) -> np.ndarray:
    r"""Mean of :math:`e^{i m \varphi}` over the nearest neighbours, along its principal axis (N,).

    `distance` and `index` (N, K) are those of each position itself and its neighbours, nearest first.
    m = 1 points to a partner on one side; m = 3 has opposite signs on the two sublattices of a honeycomb. NaN
    for atoms without full surroundings: those at the edge of the image would look one-sided.
    """
    near = 1 if order == 1 else 3
    reach = 1.35 * np.median(distance[:, 1])
    offset = yx[index[:, 1 : near + 1]] - yx[:, None]
    angle = np.arctan2(offset[..., 0], offset[..., 1])
    counted = distance[:, 1 : near + 1] <= reach
    moment = (np.exp(1j * order * angle) * counted).sum(1) / near
    # the partner of a dumbbell must be much nearer than anything else
    lonely = distance[:, near + 1] <= reach if distance.shape[1] > near + 1 else np.zeros(len(yx), bool)
    moment[lonely | ~counted.all(1)] = np.nan
    known = moment[np.isfinite(moment)]
    if len(known) < MIN_ATOMS or len(known) < 0.5 * len(yx):
        return np.full(len(yx), np.nan)
    axis = np.sqrt((known**2).mean())
    return (moment * np.conj(axis) / max(abs(axis), 1e-12)).real
