"""How vectors between atoms are stretched and turned: deformation gradients, polar decomposition, their errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_SPREAD = 0.02
"""Smallest share of the reference vectors' spread that must lie across their main direction: below, they count as
one direction (about 8° between two of equal length) and do not determine a deformation."""

_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
"""Generator of a rotation from +x toward +y, acting on (y, x)."""


class Gradients(NamedTuple):
    """Deformation gradients fitted to vectors.

    matrix : (N, 2, 2), maps a reference vector (y, x) onto the current one; NaN where it is not determined
    response : (E, 2, 2), d matrix[owner, a, b] / d current[e, a]: how each vector enters
    count : (N,) vectors used
    """

    matrix: np.ndarray
    response: np.ndarray
    count: np.ndarray


class Stretches(NamedTuple):
    """Strain and rotation of deformation gradients F = R (1 + ε).

    strain : (N, 3), ε_yy, ε_xx, ε_xy
    rotation : (N,) rad, positive from +x toward +y: clockwise on the screen, where y points down
    strain_errors, rotation_errors : the same shapes, 1σ
    """

    strain: np.ndarray
    rotation: np.ndarray
    strain_errors: np.ndarray
    rotation_errors: np.ndarray


def fit_gradients(reference_yx, current_yx, owner, n: int, *, weights=None) -> Gradients:
    """The gradient F of each owner that maps its reference vectors onto the current ones, by least squares.

    Parameters
    ----------
    reference_yx, current_yx : arrays (E, 2)
        Vectors before and after, in one unit.
    owner : int array (E,)
        Which of the `n` gradients a vector belongs to.
    n : int
    weights : array (E, 2), optional
        Weight of the y and of the x component of each vector; equal if left out.

    Returns
    -------
    Gradients

    Notes
    -----
    F = (Σ w v rᵀ)(Σ w r rᵀ)⁻¹ with reference vectors r and current vectors v, row by row
    (Falk and Langer, Phys. Rev. E 57, 7192 (1998)).
    """
    reference, current = np.asarray(reference_yx, float), np.asarray(current_yx, float)
    owner = np.asarray(owner, np.intp)
    weights = np.ones_like(reference) if weights is None else np.asarray(weights, float)
    response = np.full((len(owner), 2, 2), np.nan)
    matrix = np.full((n, 2, 2), np.nan)
    for a in (0, 1):
        weighted = weights[:, a, None] * reference
        moment = _summed(weighted[:, :, None] * reference[:, None, :], owner, n)
        response[:, a] = np.einsum("ebc,ec->eb", _inverse(moment)[owner], weighted)
        matrix[:, a] = _summed(response[:, a] * current[:, a, None], owner, n)
    count = np.bincount(owner, minlength=n)
    matrix[count == 0] = np.nan
    return Gradients(matrix, response, count)


def gradient_covariance(fit: Gradients, owner, member, errors_yx) -> np.ndarray:
    """Covariance of the gradients when each vector runs from atom `owner` to atom `member`.

    Parameters
    ----------
    fit : Gradients
        Of the vectors position[member] − position[owner].
    owner, member : int arrays (E,)
    errors_yx : array (N, 2)
        Standard errors of the positions, independent, in the unit of the vectors.

    Returns
    -------
    array (N, 2, 2, 2)
        [n, a] is the covariance of row a of gradient n; the rows are independent of one another.
    """
    variance = np.asarray(errors_yx, float) ** 2
    owner, n = np.asarray(owner, np.intp), len(fit.matrix)
    outer = fit.response[:, :, :, None] * fit.response[:, :, None, :]
    from_members = _summed(outer * variance[member][:, :, None, None], owner, n)
    common = _summed(fit.response, owner, n)
    return from_members + common[:, :, :, None] * common[:, :, None, :] * variance[:n, :, None, None]


def polar_decomposition(matrix, covariance=None) -> Stretches:
    """Strain and rotation of gradients of any size, F = R U with ε = U − 1 in the axes of the reference.

    Parameters
    ----------
    matrix : array (N, 2, 2)
        Acts on (y, x).
    covariance : array (N, 2, 2, 2), optional
        As `gradient_covariance` gives it; without it the errors are NaN.

    Returns
    -------
    Stretches

    Examples
    --------
    >>> import numpy as np
    >>> one = polar_decomposition(np.array([[[1.0, 0.0], [0.0, 1.02]]]))
    >>> one.strain.round(6).tolist(), float(one.rotation[0])
    ([[0.0, 0.02, 0.0]], 0.0)
    """
    f = np.asarray(matrix, float).reshape(-1, 2, 2)
    cosine, sine = f[:, 0, 0] + f[:, 1, 1], f[:, 0, 1] - f[:, 1, 0]
    angle = np.arctan2(sine, cosine)
    back = np.swapaxes(turn_matrix(angle), 1, 2)
    stretch = back @ f
    strain = np.stack([stretch[:, 0, 0] - 1, stretch[:, 1, 1] - 1, stretch[:, 0, 1]], axis=1)
    if covariance is None:
        return Stretches(strain, angle, np.full_like(strain, np.nan), np.full_like(angle, np.nan))
    slopes = _slopes(stretch, back, cosine, sine)
    variance = np.einsum("npab,nabc,npac->np", slopes, np.asarray(covariance, float), slopes)
    errors = np.sqrt(np.maximum(variance, 0))
    return Stretches(strain, angle, errors[:, :3], errors[:, 3])


def turn_matrix(angle_rad) -> np.ndarray:
    """Matrices (N, 2, 2) that turn vectors (y, x) from +x toward +y by the angles (N,)."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)


def _slopes(stretch, back, cosine, sine) -> np.ndarray:
    """d (ε_yy, ε_xx, ε_xy, θ) / d F: (N, 4, 2, 2). From R = exp(θK): dU = Rᵀ dF − dθ K U."""
    slopes = np.empty((len(stretch), 4, 2, 2))
    size = cosine**2 + sine**2
    turned = _TURN @ stretch
    for a in (0, 1):
        for b in (0, 1):
            turn = (cosine * (b - a) - sine * (a == b)) / size
            change = -turn[:, None, None] * turned
            change[:, :, b] += back[:, :, a]
            slopes[:, :3, a, b] = np.stack([change[:, 0, 0], change[:, 1, 1], change[:, 0, 1]], axis=1)
            slopes[:, 3, a, b] = turn
    return slopes


def _inverse(moment: np.ndarray) -> np.ndarray:
    """Inverses (N, 2, 2) of symmetric matrices, NaN where they hold no two directions."""
    trace = moment[:, 0, 0] + moment[:, 1, 1]
    determinant = moment[:, 0, 0] * moment[:, 1, 1] - moment[:, 0, 1] ** 2
    # of the eigenvalues λ ≤ Λ: λΛ / (λ + Λ)² is the smaller one's share, nearly
    usable = determinant > LEAST_SPREAD * trace**2
    safe = np.where(usable, determinant, np.nan)
    adjugate = np.stack(
        [np.stack([moment[:, 1, 1], -moment[:, 0, 1]], -1), np.stack([-moment[:, 0, 1], moment[:, 0, 0]], -1)], -2
    )
    return adjugate / safe[:, None, None]


def _summed(values: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """Sum of the values (E, ...) of each owner, shape (n, ...)."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    sums = [np.bincount(owner, weights=column, minlength=n) for column in flat.T]
    return np.stack(sums, axis=1).reshape(n, *values.shape[1:])
