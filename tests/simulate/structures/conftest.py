"""Measures of a structure, taken with ASE's neighbour list and not with the package's own."""

from collections import Counter
from itertools import combinations

import networkx as nx
import numpy as np
import pytest


@pytest.fixture(scope="session")
def bonds():
    """bonds(atoms, cutoff) -> pairs (M, 2) with i < j or images, distances (M,), number of neighbours (N,)."""
    neighborlist = pytest.importorskip("ase.neighborlist")

    def measure(atoms, cutoff):
        i, j, d = neighborlist.neighbor_list("ijd", atoms, cutoff)
        once = i < j
        return np.column_stack([i, j])[once], d[once], np.bincount(i, minlength=len(atoms))

    return measure


@pytest.fixture(scope="session")
def ring_sizes(bonds):
    """ring_sizes(atoms, cutoff) -> Counter of the sizes of the shortest rings through pairs of neighbouring bonds."""

    def measure(atoms, cutoff):
        graph = nx.Graph(bonds(atoms, cutoff)[0].tolist())
        rings = set()
        for atom in list(graph):
            around = list(graph[atom])
            graph.remove_node(atom)
            for a, b in combinations(around, 2):
                rings.add(frozenset([atom, *nx.shortest_path(graph, a, b)]))
            graph.add_edges_from((atom, other) for other in around)
        return Counter(map(len, rings))

    return measure


@pytest.fixture(scope="session")
def elements_of():
    """elements_of(atoms) -> Counter of element symbols."""
    return lambda atoms: Counter(atoms.get_chemical_symbols())
