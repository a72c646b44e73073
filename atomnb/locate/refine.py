"""Maximum-likelihood refinement of all atoms of an image at once, with a standard error for each.

Every column is a Gaussian on a background of its own; columns that overlap are fitted to their summed model. The
score and the Fisher matrix of a separable Gaussian are moments of the weighted residual, so each step is a few
batched matrix products over all atoms. Weights are those of the Poisson likelihood at the image's own gain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from atomnb.data.flags import Flag
from atomnb.errors import AtomnbError
from atomnb.locate import glow
from atomnb.locate.fit import Fit, nearest_others
from atomnb.locate.gaussian import AMP, GROUND, SIGMA
from atomnb.locate.noise import NoiseModel, estimate_noise
from atomnb.locate.residuals import Excess, NoiseSamples
from atomnb.locate.settle import settle_glow, settle_tilt, settle_width
from atomnb.locate.stated import Stated, stated_errors
from atomnb.locate.width import blob_response, first_peak

LOW_SIGNAL_SHARE = 0.08
"""Above this error, in nearest-neighbour distances, an unbiased fit would only scatter the position."""


class Refined(NamedTuple):
    """What the refinement found, one row per atom in the order of the input.

    `positions_yx` and `errors_yx` (N, 2) in px, 1σ per axis; `intensity` (N,) the integrated signal above the
    background in image units × px, positive for dark atoms too; `sigma` (N,) px; `background` (N,) in image
    units; `flags` (N,) of `Flag`; `noise` the noise model that was used.
    """

    positions_yx: np.ndarray
    errors_yx: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    background: np.ndarray
    flags: np.ndarray
    noise: NoiseModel


def refine_positions(
    image,
    positions_yx,
    *,
    sigma: float | None = None,
    max_move: float | None = None,
    noise: NoiseModel | None = None,
    dark: bool | None = None,
    iterations: int = 20,
) -> Refined:
    """Refine positions to the maximum of the likelihood of the raw image.

    Parameters
    ----------
    image : array (H, W)
        Raw image in any units: no filter, no resampling, so that its noise is that of the detector.
    positions_yx : array (N, 2)
        Starting positions, px, within about one σ of the truth.
    sigma : float, optional
        Typical standard deviation of a column, px; estimated from the image if None.
    max_move : float, optional
        Largest move that is believed, px; by default 3 σ, and at most 0.45 nearest-neighbour distances.
    noise : NoiseModel, optional
        Gain, offset and read noise; estimated from the image and the residuals of the fit if None.
    dark : bool, optional
        Atoms are darker than their surroundings (ABF, BF); looked up in the image if None.
    iterations : int
        Steps at most.

    Returns
    -------
    Refined
        Problems are flagged, never raised: a position that could not be improved is the one given.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:32, :32]
    >>> spot = np.random.default_rng(0).poisson(50 * np.exp(-((y - 15.3) ** 2 + (x - 16.2) ** 2) / 8))
    >>> refine_positions(spot, [[15, 16]]).positions_yx.round(1)
    array([[15.3, 16.2]])
    """
    pixels = np.asarray(image)
    start = np.array(positions_yx, float).reshape(-1, 2)
    _check(pixels, start)
    first = noise or estimate_noise(pixels)
    if len(start) == 0:
        none = np.zeros(0)
        return Refined(start, start.copy(), none, none, none, np.zeros(0, np.int64), first)
    spacing, nearest = nearest_others(start)
    typical = float(np.median(spacing[np.isfinite(spacing)])) if len(start) > 1 else min(pixels.shape) / 2.0
    spacing = np.where(np.isfinite(spacing), spacing, typical)
    scales, response = blob_response(pixels, start, typical)
    if dark is None:
        dark = bool(response[np.abs(response).argmax()] < 0)
    sign = -1.0 if dark else 1.0
    fit = Fit.begin(pixels, start, first, sign, sigma or first_peak(scales, sign * response), nearest, spacing)
    for _ in range(4):
        fit.sweep(4)
        if settle_width(fit, known=sigma is not None) < 0.01:
            break
    settle_glow(fit)
    settle_tilt(fit)
    samples = NoiseSamples(fit)
    fit.sweep(max(iterations - 9, 4), then=None if noise else samples.add)
    settle_width(fit, known=sigma is not None)
    model = noise or samples.learn(first)
    excess = Excess(fit)
    fit.sweep(5, then=excess.add)
    return _result(fit, stated_errors(fit, excess), model, max_move)


def nearest_distances(positions_yx) -> np.ndarray:
    """Distance of each point to its nearest neighbour (N,), px; infinite for a single point."""
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    if len(yx) < 2:
        return np.full(len(yx), np.inf)
    return cKDTree(yx).query(yx, k=2)[0][:, 1]


def _result(fit: Fit, stated: Stated, noise: NoiseModel, max_move: float | None) -> Refined:
    theta = fit.theta[:-1]
    bad = ~np.isfinite(stated.errors_yx).all(1)
    errors = np.where(np.isfinite(stated.errors_yx), stated.errors_yx, fit.spacing[:, None] / 2)
    moved = np.hypot(*(theta[:, :2] - fit.start).T)
    limit = np.minimum(3 * theta[:, SIGMA], 0.45 * fit.spacing) if max_move is None else max_move
    low = errors.max(1) > LOW_SIGNAL_SHARE * fit.spacing
    far = ~low & (moved > np.maximum(limit, 3 * errors.max(1)))
    # the last step, in units of the error that is stated
    step = fit.step / np.sqrt(np.maximum(stated.factor, 1))
    lost = ~low & ~far & (bad | (step > 0.3))
    flags = np.zeros(len(fit), np.int64)
    for where, flag in (
        (low, Flag.LOW_SIGNAL), (far, Flag.MOVED_FAR), (lost, Flag.NOT_CONVERGED), (stated.overlap, Flag.OVERLAP),
        (_at_border(fit), Flag.BORDER), (_clipped(fit), Flag.SATURATED),
    ):  # fmt: skip
        flags[where] |= int(flag)
    kept = low | far | lost
    positions = np.where(kept[:, None], fit.start, theta[:, :2])
    width = np.sqrt(np.maximum(theta[:, SIGMA] ** 2 - 1 / 12, 0.01))
    intensity = 2 * np.pi * theta[:, AMP] * theta[:, SIGMA] ** 2 * abs(fit.scale)
    intensity *= 1 + fit.tail_height * glow.REACH**2
    return Refined(positions, errors, intensity, width, theta[:, GROUND] * fit.scale + fit.zero, flags, noise)


def _at_border(fit: Fit) -> np.ndarray:
    y, x = fit.theta[:-1, :2].T
    height, breadth = fit.work.shape
    edge = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, breadth - 1 - x))
    return edge < np.minimum(fit.radius, 2.5 * fit.theta[:-1, SIGMA])


def _clipped(fit: Fit) -> np.ndarray:
    if not np.isfinite(fit.clip):
        return np.zeros(len(fit), bool)
    near = maximum_filter(fit.pixels >= fit.clip, 2 * int(np.ceil(fit.width)) + 1)
    at = np.clip(np.round(fit.theta[:-1, :2]).astype(int), 0, np.array(fit.pixels.shape) - 1)
    return near[at[:, 0], at[:, 1]]


def _check(pixels, start) -> None:
    if pixels.ndim != 2:
        raise AtomnbError(f"image must be one frame (H, W), got shape {pixels.shape}: pass the frames one by one.")
    if not np.isfinite(start).all():
        raise AtomnbError("positions_yx holds NaN or infinite values: drop those rows first.")
    if len(start):
        inside = ((start >= -0.5) & (start <= np.array(pixels.shape) - 0.5)).all()
        if not inside:
            raise AtomnbError(f"positions_yx must lie inside the image of {pixels.shape} px, in the order y, x.")
