"""Substitutions of an unknown element: atoms whose brightness stands out of that of their sublattice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import norm

from atomnb.graph.site_votes import sublattices

BRIGHT, DARK = "bright", "dark"
"""Species of atoms brighter or darker than their sublattice; rules that list both have such atoms named so."""

CLEAR = 5.0
"""Standard deviations of the sublattice's own brightness by which an atom must stand out."""

LEAST_CHANGE = 0.15
"""Share of the usual brightness by which it must: a neighbour of a heavy atom has a little of that one's light."""

MOST = 0.1
"""Share of a sublattice that may stand out; more are columns of another kind, not substitutions."""

NEAREST = 12
"""Atoms of the same sublattice, next to an atom, whose median brightness is the usual one there."""

AROUND = 60
"""Atoms of the same sublattice round one that stands out, of which at most the share `MOST` may come halfway to it."""

FEWEST = 30
"""Fewer atoms of a sublattice do not tell how bright it is."""

LEAST_SPREAD = 0.01
"""Standard deviation of the brightness of equal columns, as a share of it, at least."""

RARE = 0.03
"""Share of substitutions expected beforehand; their brightness may be anything from nothing to twice the usual."""


class Standouts(NamedTuple):
    """`names` (N,) BRIGHT, DARK or '' for atoms that do not stand out; `scores` (N,) probability of that name."""

    names: np.ndarray
    scores: np.ndarray


def find_standouts(graph, intensity: np.ndarray) -> Standouts:
    """Atoms on intact sites that are brighter or darker than the same sublattice around them.

    Parameters
    ----------
    graph : StructureGraph
    intensity : (N,) brightness of each atom, NaN where unknown

    Notes
    -----
    Compared is the brightness of an atom with the median of the nearest atoms of its sublattice, so a slope of
    thickness or background does no harm; the spread of these ratios over the sublattice (from the median absolute
    deviation) is what an atom must exceed. Atoms near the border, without all their bonds, or of sublattices that
    brightness itself divides, are left as they are.
    """
    names, scores = np.full(len(graph), "", object), np.ones(len(graph))
    settled = graph.part & ~graph.open & (graph.coordination == graph.host.coordination) & np.isfinite(intensity)
    grain, sublattice = sublattices(graph.neighbors, graph.rings, graph.host.ring)
    kind = np.where(sublattice == 0, -1, 2 * grain + (sublattice > 0))
    for members in (np.flatnonzero(settled & (kind == k)) for k in np.unique(kind[settled])):
        if len(members) < FEWEST:
            continue
        change, spread = _changes(graph.positions_yx[members], intensity[members])
        out = (np.abs(change) >= CLEAR * spread) & (np.abs(change) >= LEAST_CHANGE)
        if out.mean() > MOST:
            continue
        out[out] = _is_rare(graph.positions_yx[members], intensity[members], np.flatnonzero(out), change[out])
        names[members[out]] = np.where(change[out] > 0, BRIGHT, DARK)
        scores[members[out]] = _probability(change[out], spread)
    return Standouts(names, scores)


def _changes(points: np.ndarray, intensity: np.ndarray) -> tuple[np.ndarray, float]:
    """Brightness (n,) against the usual one nearby, and its robust spread, as shares of the usual one.

    What is brighter counts by its logarithm, which is the smaller measure there: noise in proportion to brightness
    reaches farther up than down.
    """
    near = cKDTree(points).query(points, k=NEAREST + 1)[1][:, 1:]
    usual = np.median(intensity[near], axis=1)
    ratio = np.where(usual > 0, intensity / np.where(usual > 0, usual, 1), 1.0)
    ratio /= np.median(ratio)
    change = np.where(ratio > 1, np.log(np.maximum(ratio, 1)), ratio - 1)
    return change, max(1.4826 * float(np.median(np.abs(change))), LEAST_SPREAD)


def _is_rare(points: np.ndarray, intensity: np.ndarray, out: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Which of the atoms `out` (n,) have hardly any like them round about: others are columns of another kind.

    The platinum of PtSe2 is every third atom of a triangular net; its brightest few alone stand out.
    """
    near = cKDTree(points).query(points[out], k=min(AROUND + 1, len(points)))[1][:, 1:]
    own, around = intensity[out][:, None], intensity[near]
    usual = np.median(around, axis=1, keepdims=True)
    alike = (around - (usual + own) / 2) * np.sign(change)[:, None] > 0
    return alike.mean(axis=1) <= MOST


def _probability(change: np.ndarray, spread: float) -> np.ndarray:
    """That an atom so far off is a substitution and no chance deviation."""
    chance, other = (1 - RARE) * norm.pdf(change, 0, spread), RARE / 2
    return other / (other + chance)
