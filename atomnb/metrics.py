"""How well found positions match the truth: one-to-one, by optimal assignment, never by pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


class MatchResult(NamedTuple):
    """Pairs (M, 2) of (index found, index true), their residuals (M, 2) found - true, and counts."""

    pairs: np.ndarray
    residuals_yx: np.ndarray
    n_found: int
    n_true: int

    @property
    def precision(self) -> float:
        """Share of the found positions that are right; 1 when none was found."""
        return len(self.pairs) / self.n_found if self.n_found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true positions that were found; 1 when there are none."""
        return len(self.pairs) / self.n_true if self.n_true else 1.0

    @property
    def f1(self) -> float:
        """2 · matches / (found + true); 1 when both are empty."""
        total = self.n_found + self.n_true
        return 2 * len(self.pairs) / total if total else 1.0

    @property
    def rmse(self) -> float:
        """Root-mean-square residual per axis, in the unit of the positions; NaN without pairs."""
        return float(np.sqrt((self.residuals_yx**2).mean())) if len(self.pairs) else float("nan")


def match_positions(found_yx, true_yx, *, tolerance: float) -> MatchResult:
    """Pair found with true positions: as many pairs as possible within `tolerance`, at the least total distance.

    Parameters
    ----------
    found_yx, true_yx : (N, 2) and (M, 2), same unit
    tolerance : largest distance of a pair, in that unit
    """
    found, true = (np.asarray(p, float).reshape(-1, 2) for p in (found_yx, true_yx))
    if not len(found) or not len(true):
        return MatchResult(np.zeros((0, 2), int), np.zeros((0, 2)), len(found), len(true))
    near = cKDTree(found).sparse_distance_matrix(cKDTree(true), tolerance, output_type="coo_matrix")
    pairs = _assign(near.row, near.col, near.data, len(found), len(true), tolerance)
    return MatchResult(pairs, found[pairs[:, 0]] - true[pairs[:, 1]], len(found), len(true))


def _assign(rows, columns, distance, n_rows: int, n_columns: int, tolerance: float) -> np.ndarray:
    """Optimal assignment, cluster by cluster of positions that could be confused."""
    graph = coo_matrix((np.ones(len(rows)), (rows, columns + n_rows)), shape=(n_rows + n_columns,) * 2)
    label = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []
    pairs = [_assign_cluster(rows[p], columns[p], distance[p], tolerance) for p in parts]
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), int)


def _assign_cluster(rows, columns, distance, tolerance: float) -> np.ndarray:
    if len(rows) == 1:
        return np.array([[rows[0], columns[0]]])
    row_of, i = np.unique(rows, return_inverse=True)
    column_of, j = np.unique(columns, return_inverse=True)
    forbidden = 1e6 * tolerance
    cost = np.full((len(row_of), len(column_of)), forbidden)
    cost[i, j] = distance
    a, b = linear_sum_assignment(cost)
    allowed = cost[a, b] < forbidden
    return np.stack([row_of[a[allowed]], column_of[b[allowed]]], axis=1)
