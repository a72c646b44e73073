"""Gaussian columns in windows of an image: their profiles, derivatives and Fisher matrices, all atoms at once.

A column is a row (y, x, amplitude, σ, background) of `theta`, lengths in px. The parameters of scores and Fisher
matrices are scaled: y/σ, x/σ, ln A, ln σ and B/A. Each derivative of a Gaussian is a polynomial times the Gaussian
and separates into a factor in y and one in x, so every entry is a moment Σ w·Y(y)·X(x) of the weights: two batched
matrix products instead of a Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

Y, X, AMP, SIGMA, GROUND = range(5)
"""Columns of `theta`, and rows of scores and Fisher matrices."""


@dataclass
class Window:
    """Square cut-outs (n, W, W) of the image around atoms, with a mask of the pixels that count."""

    data: np.ndarray
    mask: np.ndarray
    y0: np.ndarray
    x0: np.ndarray

    @classmethod
    def cut(cls, work, theta, radius, valid) -> Window:
        """Windows with a disc of `radius` (n,) px around each atom; pixels outside the range `valid` do not count."""
        height, breadth = work.shape
        half = int(np.ceil(np.quantile(radius, 0.98)))
        ny, nx = min(2 * half + 1, height), min(2 * half + 1, breadth)
        y0 = np.clip(np.round(theta[:, Y]).astype(int) - half, 0, height - ny)
        x0 = np.clip(np.round(theta[:, X]).astype(int) - half, 0, breadth - nx)
        data = np.lib.stride_tricks.sliding_window_view(work, (ny, nx))[y0, x0]
        window = cls(data, np.empty_like(data), y0, x0)
        dy, dx = window.distances(theta)
        left = _single(radius**2) - dy * dy
        window.mask[...] = (dx * dx)[:, None, :] <= left[:, :, None]
        if np.isfinite(valid).any():
            window.mask *= (data > valid[0]) & (data < valid[1])
        return window

    def take(self, rows) -> Window:
        """The windows of some of the atoms."""
        return Window(self.data[rows], self.mask[rows], self.y0[rows], self.x0[rows])

    def distances(self, theta):
        """Distance of each row and column of the windows from the atom, px: (n, ..., W) each."""
        lead = (slice(None),) + (None,) * (theta.ndim - 2)
        dy = np.arange(self.data.shape[1], dtype=np.float32) - _single(theta[..., Y] - self.y0[lead])
        dx = np.arange(self.data.shape[2], dtype=np.float32) - _single(theta[..., X] - self.x0[lead])
        return dy, dx

    def offsets(self, theta):
        """The same in σ."""
        per_sigma = _single(1 / theta[..., SIGMA])
        dy, dx = self.distances(theta)
        dy *= per_sigma
        dx *= per_sigma
        return dy, dx


def _single(values):
    """Values (...) as float32 (..., 1), to be spread over pixels."""
    return values.astype(np.float32)[..., None]


def profile(offsets):
    """The Gaussian at `offsets` in σ, peak 1."""
    out = offsets * offsets
    out *= np.float32(-0.5)
    return np.exp(out, out=out)


class Basis(NamedTuple):
    """g·rᵏ for k = 0…2, and 1, along y and along x: (n, 4, W) each, of columns with the Gaussian g and offsets r."""

    y: np.ndarray
    x: np.ndarray

    @classmethod
    def of(cls, window: Window, theta) -> Basis:
        return cls(*(_powers(r) for r in window.offsets(theta)))


def _powers(r):
    out = np.empty((len(r), 4, r.shape[1]), np.float32)
    out[:, 0] = profile(r)
    np.multiply(out[:, 0], r, out=out[:, 1])
    np.multiply(out[:, 1], r, out=out[:, 2])
    out[:, 3] = 1
    return out


# which products of the basis (g, g·r, g·r², 1) in y and in x make the derivative in each scaled parameter
_TERMS = (((1, 0),), ((0, 1),), ((0, 0),), ((2, 0), (0, 2)), ((3, 3),))

# places in `_squares` of the products of two elements of the basis: g²rᵏ for k = 0…4, g·rᵏ for k = 0…2, and 1
_PRODUCTS = ((0, 1, 2, 5), (1, 2, 3, 6), (2, 3, 4, 7), (5, 6, 7, 8))


def _sums(terms_of: list[list[tuple[int, int]]], columns: int) -> list[tuple[list[int], list[int]]]:
    """Sums of moments as pairs of places: in the result, and in the flattened table of moments to add there."""
    longest = max(map(len, terms_of))
    layers = [[(k, terms[i]) for k, terms in enumerate(terms_of) if i < len(terms)] for i in range(longest)]
    return [([k for k, _ in layer], [y * columns + x for _, (y, x) in layer]) for layer in layers]


_SCORE = _sums([list(terms) for terms in _TERMS], 4)
_FISHER = _sums(
    [
        [(_PRODUCTS[y][v], _PRODUCTS[x][u]) for (y, x), (v, u) in product(terms, others)]
        for terms, others in product(_TERMS, _TERMS)
    ],
    9,
)


def score(basis: Basis, pull):
    """Derivatives (n, 5) of the likelihood per A; `pull` (n, W, W) is the weighted residual."""
    return _summed(_moments(basis.y, pull, basis.x), _SCORE)


def fisher(basis: Basis, weight):
    """Fisher matrices (n, 5, 5) per A²; `weight` (n, W, W) is the inverse variance of the pixels."""
    return _summed(_moments(_squares(basis.y), weight, _squares(basis.x)), _FISHER).reshape(-1, 5, 5)


def _moments(by, values, bx):
    """Σ by·values·bx over the pixels for all pairs of rows of `by` (n, a, W) and of `bx` (n, b, W): (n, a, b)."""
    return np.matmul(by, np.matmul(values, np.ascontiguousarray(bx.transpose(0, 2, 1))))


def _summed(moments, sums):
    flat = moments.reshape(len(moments), -1)
    out = flat[:, sums[0][1]]
    for places, terms in sums[1:]:
        out[:, places] += flat[:, terms]
    return out


def _squares(basis):
    """The different products of two elements of the basis: (n, 9, W)."""
    out = np.empty((len(basis), 9, basis.shape[2]), np.float32)
    out[:, 5:] = basis
    for k, (a, b) in enumerate(((0, 0), (0, 1), (1, 1), (1, 2), (2, 2))):
        np.multiply(basis[:, a], basis[:, b], out=out[:, k])
    return out


def solve(fisher, right) -> np.ndarray:
    """Solve scaled and slightly ridged systems, so that an atom without signal stands still."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(fisher, axis1=1, axis2=2), 1e-6))
    scaled = fisher * scale[:, :, None] * scale[:, None, :] + 1e-5 * np.eye(fisher.shape[1])
    return np.linalg.solve(scaled, right * scale[:, :, None]) * scale[:, :, None]


def invert(fisher) -> np.ndarray:
    """Inverses; NaN where a matrix is not positive definite (columns that cannot be told apart)."""
    diagonal = np.diagonal(fisher, axis1=1, axis2=2)
    good = (diagonal > 0).all(1)
    scale = 1 / np.sqrt(np.where(good[:, None], diagonal, 1))
    scaled = fisher * scale[:, :, None] * scale[:, None, :] + 1e-9 * np.eye(5)
    scaled[~good] = np.eye(5)
    inverse = np.linalg.inv(scaled)
    # the inverse of a positive matrix with unit diagonal has nothing below 1 on its own diagonal
    variance = np.diagonal(inverse, axis1=1, axis2=2)
    good &= ((variance > 1 - 1e-6) & (variance < 1e7)).all(1)
    inverse *= scale[:, :, None] * scale[:, None, :]
    inverse[~good] = np.nan
    return inverse


def derivatives(basis: Basis, amplitude) -> np.ndarray:
    """Derivatives of each column's model in its five scaled parameters: (n, 5, W, W)."""
    unit = [sum(basis.y[:, a, :, None] * basis.x[:, b, None, :] for a, b in terms) for terms in _TERMS]
    return np.stack(unit, 1) * amplitude[:, None, None, None].astype(np.float32)


def coupling(own: Basis, other: Basis, weight) -> np.ndarray:
    """Fisher blocks (n, 5, 5) per A·A' between columns and one neighbour each, over the windows of the former.

    The neighbour's background is not part of the model here: its column is zero.
    """
    n = len(weight)
    y, x = ((p[:, :, None] * q[:, None, :3]).reshape(n, 12, -1) for p, q in zip(own, other, strict=True))
    m = _moments(y, weight, x).reshape(n, 4, 3, 4, 3)
    block = np.zeros((n, 5, 5))
    for p, terms in enumerate(_TERMS):
        for q, others_terms in enumerate(_TERMS[:4]):
            block[:, p, q] = sum(m[:, ya, yb, xa, xb] for ya, xa in terms for yb, xb in others_terms)
    return block
