"""How sure a defect is: each thing that must hold for it, by the scores and standard errors of its atoms."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from atomnb.graph.anomalies import Group
from atomnb.graph.bonds import SOFT_END
from atomnb.graph.structure import StructureGraph
from atomnb.graph.vacant import VacantSites

ADATOM = 0.5
"""Chance that an atom without a bond to the crystal is one: in noise most of them are not."""

MAY_BE_BONDED = 2.0
"""Longest bonds within which two atoms might be bonded in truth, whatever their errors."""

AREA_SPREAD = 0.09
"""Standard deviation of the area of a ring about what its atoms should fill, in atoms per atom of the ring; strain and
relaxation of a lattice, on top of which come the errors of the positions."""


def confidence_of(group: Group, graph: StructureGraph, table, vacant: VacantSites | None = None) -> float:
    """Probability (0 to 1) that all of it holds: the atoms are there, are what they are called, are bonded as drawn
    and not otherwise, and by `vacant`, which asks the image, those that are missing are not merely unseen.

    The parts are taken as independent, so the product is a careful, low figure for large defects.
    """
    parts = [_species(group, graph), _existence(group, table), _missing(group, graph)]
    parts += [_bonds(group, graph), _no_more_bonds(group, graph)]
    unseen = 1.0 if vacant is None else vacant.probability(group)
    return float(np.prod(parts) * unseen * ADATOM**group.unbound)


def _species(group: Group, graph: StructureGraph) -> float:
    return float(np.prod(graph.species_score[group.dopants]))


def _existence(group: Group, table) -> float:
    atoms = np.union1d(group.dopants, group.bonded)
    return float(np.prod(table.df["score"].to_numpy()[atoms])) if len(atoms) else 1.0


def _bonds(group: Group, graph: StructureGraph) -> float:
    """All bonds of the dopants."""
    if not len(group.dopants):
        return 1.0
    return float(np.prod(graph.neighbors.probability[graph.bonds_of(group.dopants)]))


def _no_more_bonds(group: Group, graph: StructureGraph) -> float:
    """That atoms which lack bonds, and stand where they could be bonded to one another, are not.

    Noise that moves one of two neighbours aside makes of two rings a large one, which no missing atom explains.
    """
    atoms = np.sort(group.lacking)
    i, j = (atoms[k] for k in np.triu_indices(len(atoms), 1))
    drawn = graph.neighbors.pairs[graph.bonds_of(atoms)]
    drawn = np.sort(drawn, axis=1) @ [len(graph), 1]
    offset = graph.positions_yx[i] - graph.positions_yx[j]
    length = np.hypot(*offset.T)
    near = (length < MAY_BE_BONDED * graph.host.longest) & ~np.isin(i * len(graph) + j, drawn)
    i, j, length, along = i[near], j[near], length[near], offset[near] / length[near, None]
    variance = ((graph.errors_yx[i] ** 2 + graph.errors_yx[j] ** 2) * along**2).sum(axis=1) + SOFT_END**2
    low, high = _ranges(graph, i, j)
    bonded = ndtr((high - length) / np.sqrt(variance)) - ndtr((low - length) / np.sqrt(variance))
    return float(np.prod(1 - bonded))


def _ranges(graph: StructureGraph, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Shortest and longest bond (2, K) of pairs of atoms, Å; as short as none can be for symbols that do not bond."""
    pairs = (tuple(sorted(pair)) for pair in zip(graph.symbols[i], graph.symbols[j], strict=True))
    return np.array([graph.rules.ranges.get(pair, (-np.inf, -np.inf)) for pair in pairs]).reshape(-1, 2).T


def _missing(group: Group, graph: StructureGraph) -> float:
    """That the number of missing atoms is the whole number it is taken for."""
    rings = group.rings
    if not len(rings) or group.exact:
        return 1.0
    size = graph.rings.sizes[rings].sum()
    spread = AREA_SPREAD * np.sqrt(size)
    off = abs(group.missing - round(group.missing))
    return float(ndtr((0.5 - off) / spread) - ndtr((-0.5 - off) / spread))
