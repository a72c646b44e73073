"""Whether the sites of a vacancy are empty in the image, or the network missed an atom there."""

from __future__ import annotations

import numpy as np

from atomnb.graph.anomalies import Group
from atomnb.graph.naming import usual_content
from atomnb.graph.structure import StructureGraph
from atomnb.locate.emptiness import FittedColumns

BESIDE = 1.35
"""Longest bonds from an empty site within which the atoms stand that were bonded to what is missing."""


class VacantSites:
    """The image (H, W) of one frame with the graph and table of its atoms; the table must hold fitted intensities."""

    def __init__(self, image, graph: StructureGraph, table):
        fitted = (table.df[name].to_numpy() for name in ("intensity", "sigma"))
        self.columns = FittedColumns(image, table.positions_yx, *fitted)
        self.graph = graph
        self._net = np.flatnonzero(graph.part)
        self._usual = graph.at_home & ~graph.open

    def probability(self, group: Group) -> float:
        """Probability that at least as many of its sites are empty as the group lacks atoms.

        1 where nothing can be asked: the group names fewer sites than it lacks atoms, because the rim of the hole has
        closed or a foreign atom fills two sites, or too few atoms of the kind stand near.
        """
        missing = round(group.missing)
        if not 1 <= missing <= len(group.empty_yx):
            return 1.0
        each = np.nan_to_num([self._empty(place) for place in group.empty_yx], nan=1.0)
        count = np.ones(1)  # probabilities of 0, 1, … empty sites among those looked at
        for p in each:
            count = np.convolve(count, [1 - p, p])
        return float(count[missing:].sum())

    def _empty(self, place) -> float:
        alike, kind = self._alike(place)
        pairs = bool(kind) and sum(usual_content(self.graph, kind).values()) > 1
        return self.columns.empty_probability(place / self.graph.scale, alike, half_full=pairs)

    def _alike(self, place) -> tuple[np.ndarray, str]:
        """Atoms (N,) of the kind that would sit at the place (Å), that of its neighbours' neighbours, and its site; all
        atoms, and '', where it has none."""
        beside = self._net[self.graph.tree.query_ball_point(place, BESIDE * self.graph.host.longest)]
        beyond = np.setdiff1d(self.graph.neighbors_of(beside), beside)
        kinds, count = np.unique(self.graph.sites[beyond], return_counts=True)
        if not len(kinds):
            return self._usual, ""
        kind = str(kinds[count.argmax()])
        return self._usual & (self.graph.sites == kind), kind
