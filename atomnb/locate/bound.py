"""The Cramér–Rao bound: the smallest error any unbiased position estimate can have.

References
----------
Mortensen et al., Nat. Methods 7, 377 (2010), doi:10.1038/nmeth.1447 (pixelated Gaussian spot);
Rieger & Stallinga, ChemPhysChem 15, 664 (2014), doi:10.1002/cphc.201300711 (the closed form below);
Van Aert et al., J. Struct. Biol. 138, 21 (2002), doi:10.1016/S1047-8477(02)00016-3 (overlapping columns).
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from atomnb.errors import AtomnbError


def crlb_isolated(sigma, counts, background=0.0, pixel=1.0):
    r"""Bound on the position of one isolated Gaussian column, 1σ per axis.

    .. math:: \sigma_x^2 = \frac{s_a^2}{N}\left(1 + 4t + \sqrt{\frac{2t}{1 + 4t}}\right), \quad
              s_a^2 = s^2 + a^2/12, \quad t = \frac{2\pi\, b\, s_a^2}{N a^2}

    with the column's standard deviation s, N detected electrons, pixels of side a, and b background electrons
    per pixel (Rieger & Stallinga 2014). Within 2 % of the numerical Fisher matrix while s is not below a.

    Parameters
    ----------
    sigma : float or array
        Standard deviation of the column, Å or px.
    counts : float or array
        Detected electrons of the column above its background.
    background : float or array
        Detected electrons per pixel beneath the column.
    pixel : float
        Side of a pixel, in the unit of `sigma`.

    Returns
    -------
    float or array
        Standard error per axis, in the unit of `sigma`.

    Examples
    --------
    >>> round(float(crlb_isolated(sigma=0.35, counts=1000, background=0, pixel=0.1)) * 100, 1)  # pm
    1.1
    """
    counts = np.asarray(counts, float)
    width2 = np.asarray(sigma, float) ** 2 + pixel**2 / 12
    t = 2 * np.pi * np.asarray(background, float) * width2 / (counts * pixel**2)
    return np.sqrt(width2 / counts * (1 + 4 * t + np.sqrt(2 * t / (1 + 4 * t))))


def crlb_joint(positions_yx, sigmas, counts, background=0.0, pixel=1.0, *, fit_sigma=False) -> np.ndarray:
    r"""Bound on the positions of columns that may overlap, 1σ per axis, from their joint Fisher matrix.

    .. math:: F_{kl} = \sum_p \frac{1}{\lambda_p} \frac{\partial\lambda_p}{\partial\theta_k}
              \frac{\partial\lambda_p}{\partial\theta_l}, \quad \operatorname{cov}(\hat\theta) \ge F^{-1}

    over pixels p with Poisson mean λ (columns integrated over the pixels, one common background). Unknown are
    the positions and counts of all columns and the background, and the widths with `fit_sigma`.

    Parameters
    ----------
    positions_yx : array (N, 2)
        Positions in the unit of `pixel`; pixel centres lie at whole multiples of `pixel`.
    sigmas, counts : float or array (N,)
        Width and detected electrons of each column.
    background : float
        Detected electrons per pixel.
    pixel : float
        Side of a pixel, Å or px.

    Returns
    -------
    array (N, 2)
        Standard error along y and x, in the unit of `pixel`; infinite where the columns cannot be told apart.
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2) / pixel
    n = len(yx)
    if n == 0:
        return np.zeros((0, 2))
    s = np.broadcast_to(np.asarray(sigmas, float) / pixel, n)
    total = np.broadcast_to(np.asarray(counts, float), n)
    if (s <= 0).any() or (total <= 0).any() or background < 0:
        raise AtomnbError("the bound needs sigmas > 0, counts > 0 and background >= 0.")
    reach = 6 * s.max() + 2
    y = np.arange(np.floor(yx[:, 0].min() - reach), np.ceil(yx[:, 0].max() + reach) + 1)
    x = np.arange(np.floor(yx[:, 1].min() - reach), np.ceil(yx[:, 1].max() + reach) + 1)
    gy, dy, sy = _pixel_integrals(y, yx[:, 0], s)
    gx, dx, sx = _pixel_integrals(x, yx[:, 1], s)
    outer = "ny,nx->nyx"
    parts = [np.einsum(outer, dy, gx) * total[:, None, None], np.einsum(outer, gy, dx) * total[:, None, None]]
    parts.append(np.einsum(outer, gy, gx))
    if fit_sigma:
        parts.append((np.einsum(outer, sy, gx) + np.einsum(outer, gy, sx)) * total[:, None, None])
    columns = np.stack(parts, axis=1).reshape(n * len(parts), -1)
    rate = np.einsum("n,ny,nx->yx", total, gy, gx).ravel() + background
    # without any background its own error is zero and it drops out of the unknowns
    jac = np.vstack([columns, np.ones_like(rate)]) if background > 0 else columns
    fisher = (jac / np.maximum(rate, 1e-12)) @ jac.T
    return _errors(fisher, n, len(parts)) * pixel


def _errors(fisher: np.ndarray, n: int, per_column: int) -> np.ndarray:
    """Standard errors (n, 2) of the positions from the Fisher matrix, scaled so that units do not matter."""
    scale = 1 / np.sqrt(np.diag(fisher))
    scaled = fisher * scale[:, None] * scale
    if np.linalg.cond(scaled) > 1e14:
        return np.full((n, 2), np.inf)
    variance = np.diag(np.linalg.inv(scaled)) * scale**2
    return np.sqrt(variance[: n * per_column].reshape(n, per_column)[:, :2])


def _pixel_integrals(grid, centre, s):
    """A 1-D Gaussian integrated over each pixel (n, len(grid)), and its derivatives in centre and width."""
    lower = (grid - 0.5 - centre[:, None]) / s[:, None]
    upper = (grid + 0.5 - centre[:, None]) / s[:, None]
    at_lower, at_upper = (np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) for u in (lower, upper))
    value = (erf(upper / np.sqrt(2)) - erf(lower / np.sqrt(2))) / 2
    return value, (at_lower - at_upper) / s[:, None], (lower * at_lower - upper * at_upper) / s[:, None]
