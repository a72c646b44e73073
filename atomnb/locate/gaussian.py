"""Gaussian columns in windows of an image: their profiles, derivatives and Fisher matrices, all atoms at once.

A column is a row (y, x, amplitude, σ, background) of `theta`, lengths in px. The parameters of scores and Fisher
matrices are scaled: y/σ, x/σ, ln A, ln σ and B/A. Each derivative of a Gaussian is a polynomial times the Gaussian
and separates into a factor in y and one in x, so every entry is a moment Σ w·Y(y)·X(x) of the weights: two batched
matrix products instead of a Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        views = np.lib.stride_tricks.sliding_window_view(work, (ny, nx))
        data = views[y0, x0]
        dy = (np.arange(ny) - (theta[:, Y] - y0)[:, None]) ** 2
        dx = (np.arange(nx) - (theta[:, X] - x0)[:, None]) ** 2
        mask = (dy[:, :, None] + dx[:, None, :] <= (radius**2)[:, None, None]).astype(np.float32)
        if np.isfinite(valid).any():
            mask *= (data > valid[0]) & (data < valid[1])
        return cls(data, mask, y0, x0)

    def take(self, rows) -> Window:
        """The windows of some of the atoms."""
        return Window(self.data[rows], self.mask[rows], self.y0[rows], self.x0[rows])

    def distances(self, theta):
        """Distance of each row and column of the windows from the atom, px: (n, ..., W) each."""
        lead = (slice(None),) + (None,) * (theta.ndim - 2)
        dy = np.arange(self.data.shape[1]) - (theta[..., Y] - self.y0[lead])[..., None]
        dx = np.arange(self.data.shape[2]) - (theta[..., X] - self.x0[lead])[..., None]
        return dy.astype(np.float32), dx.astype(np.float32)

    def offsets(self, theta):
        """The same in σ."""
        per_sigma = (1 / theta[..., SIGMA, None]).astype(np.float32)
        dy, dx = self.distances(theta)
        return dy * per_sigma, dx * per_sigma

    def profiles(self, theta):
        """The Gaussian along y and along x, peak 1."""
        ry, rx = self.offsets(theta)
        return np.exp(-0.5 * ry * ry), np.exp(-0.5 * rx * rx)


# which products of the basis (g, g·r, g·r², 1) in y and in x make the derivative in each scaled parameter
_TERMS = (((1, 0),), ((0, 1),), ((0, 0),), ((2, 0), (0, 2)), ((3, 3),))


def _basis(g, r):
    """g·rᵏ for k = 0…2, and 1: (n, 4, W)."""
    out = np.empty((len(g), 4, g.shape[1]), np.float32)
    out[:, 0] = g
    np.multiply(g, r, out=out[:, 1])
    np.multiply(out[:, 1], r, out=out[:, 2])
    out[:, 3] = 1
    return out


def moments(window, theta, gy, gx, weight, pull):
    """Fisher matrix (n, 5, 5) per A² and score (n, 5) per A of the profiles `gy`, `gx`.

    `weight` (n, W, W) is the inverse variance of the pixels, `pull` the weighted residual.
    """
    ry, rx = window.offsets(theta)
    s = np.matmul(np.matmul(_basis(gy, ry), pull), _basis(gx, rx).transpose(0, 2, 1)).astype(float)
    score = np.stack([s[:, 1, 0], s[:, 0, 1], s[:, 0, 0], s[:, 2, 0] + s[:, 0, 2], s[:, 3, 3]], 1)
    m = np.matmul(np.matmul(_squares(gy, ry), weight), _squares(gx, rx).transpose(0, 2, 1)).astype(float)
    fisher = np.empty((len(m), 5, 5))
    entries = {
        (Y, Y): m[:, 2, 0], (Y, X): m[:, 1, 1], (Y, AMP): m[:, 1, 0],
        (Y, SIGMA): m[:, 3, 0] + m[:, 1, 2], (Y, GROUND): m[:, 6, 5],
        (X, X): m[:, 0, 2], (X, AMP): m[:, 0, 1], (X, SIGMA): m[:, 2, 1] + m[:, 0, 3], (X, GROUND): m[:, 5, 6],
        (AMP, AMP): m[:, 0, 0], (AMP, SIGMA): m[:, 2, 0] + m[:, 0, 2], (AMP, GROUND): m[:, 5, 5],
        (SIGMA, SIGMA): m[:, 4, 0] + 2 * m[:, 2, 2] + m[:, 0, 4], (SIGMA, GROUND): m[:, 7, 5] + m[:, 5, 7],
        (GROUND, GROUND): m[:, 8, 8],
    }  # fmt: skip
    for (p, q), value in entries.items():
        fisher[:, p, q] = fisher[:, q, p] = value
    return fisher, score


def _squares(g, r):
    """g²rᵏ for k = 0…4, g·rᵏ for k = 0…2, and 1: (n, 9, W)."""
    out = np.empty((len(g), 9, g.shape[1]), np.float32)
    out[:, 5:] = _basis(g, r)
    for k, (a, b) in enumerate(((5, 5), (5, 6), (6, 6), (6, 7), (7, 7))):
        np.multiply(out[:, a], out[:, b], out=out[:, k])
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


def derivatives(window, theta) -> np.ndarray:
    """Derivatives of each column's model in its five scaled parameters: (n, 5, W, W)."""
    by, bx = (_basis(np.exp(-0.5 * r * r), r) for r in window.offsets(theta))
    unit = [sum(by[:, a, :, None] * bx[:, b, None, :] for a, b in terms) for terms in _TERMS]
    return np.stack(unit, 1) * theta[:, AMP, None, None, None].astype(np.float32)


def coupling(window, theta, others, weight) -> np.ndarray:
    """Fisher blocks (n, 5, 5) per A·A' between columns and one neighbour each, over the windows of the former.

    The neighbour's background is not part of the model here: its column is zero.
    """
    n = len(theta)
    own = (_basis(np.exp(-0.5 * r * r), r) for r in window.offsets(theta))
    other = (_basis(np.exp(-0.5 * r * r), r)[:, :3] for r in window.offsets(others))
    y, x = ((p[:, :, None] * q[:, None]).reshape(n, 12, -1) for p, q in zip(own, other, strict=True))
    m = np.matmul(np.matmul(y, weight), x.transpose(0, 2, 1)).reshape(n, 4, 3, 4, 3)
    block = np.zeros((n, 5, 5))
    for p, terms in enumerate(_TERMS):
        for q, others_terms in enumerate(_TERMS[:4]):
            block[:, p, q] = sum(m[:, ya, yb, xa, xb] for ya, xa in terms for yb, xb in others_terms)
    return block
