"""How sure a defect is: each thing that must hold for it, by the scores and standard errors of its atoms."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from atomnb.graph.anomalies import Group
from atomnb.graph.structure import StructureGraph
from atomnb.graph.vacant import VacantSites

ADATOM = 0.5
"""Chance that an atom without a bond to the crystal is one: in noise most of them are not."""

AREA_SPREAD = 0.09
"""Standard deviation of the area of a ring about what its atoms should fill, in atoms per atom of the ring; strain and
relaxation of a lattice, on top of which come the errors of the positions."""


def confidence_of(group: Group, graph: StructureGraph, table, vacant: VacantSites | None = None) -> float:
    """Probability (0 to 1) that all of it holds: the atoms are there, are what they are called, are bonded as drawn,
    and by `vacant`, which asks the image, those that are missing are not merely unseen.

    The parts are taken as independent, so the product is a careful, low figure for large defects.
    """
    parts = _species(group, graph), _existence(group, table), _bonds(group, graph), _missing(group, graph)
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


def _missing(group: Group, graph: StructureGraph) -> float:
    """That the number of missing atoms is the whole number it is taken for."""
    rings = group.rings
    if not len(rings) or group.exact:
        return 1.0
    size = graph.rings.sizes[rings].sum()
    spread = AREA_SPREAD * np.sqrt(size)
    off = abs(group.missing - round(group.missing))
    return float(ndtr((0.5 - off) / spread) - ndtr((-0.5 - off) / spread))
