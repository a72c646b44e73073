"""Whether the sites of a vacancy are empty in the image, or the network missed an atom there."""

from __future__ import annotations

import numpy as np

from atomnb.graph.anomalies import Group
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
        """Probability that as many of its sites are empty as the group lacks atoms; 1 where it names no site."""
        missing = round(group.missing)
        if missing < 1 or not len(group.empty_yx):
            return 1.0
        each = [
            self.columns.empty_probability(place / self.graph.scale, self._alike(place)) for place in group.empty_yx
        ]
        each = np.sort(np.nan_to_num(each, nan=1.0))[::-1]
        return float(np.prod(each[:missing]))

    def _alike(self, place) -> np.ndarray:
        """Atoms (N,) of the kind that would sit at the place (Å): that of its neighbours' neighbours."""
        beside = self._net[self.graph.tree.query_ball_point(place, BESIDE * self.graph.host.longest)]
        beyond = np.setdiff1d(self.graph.neighbors_of(beside), beside)
        if not len(beyond):
            return self._usual
        kinds, count = np.unique(self.graph.sites[beyond], return_counts=True)
        return self._usual & (self.graph.sites == kinds[count.argmax()])
