"""Where a structure deviates from its perfect crystal, without a list of what may happen: atoms and rings in groups.

An atom deviates when its species does not belong on its site or when it lacks bonds, a ring when it has another size
than the crystal's. Deviations that touch form one group, and each group is a defect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from atomnb.graph.rim import atoms_inside_rim, goes_round_dislocation, points_inside, with_enclosed
from atomnb.graph.structure import StructureGraph

SAME_SITE = 0.6
"""Two places at which an atom seems to be missing are one if nearer than this many of the shortest bonds."""


@dataclass(frozen=True, eq=False)
class Group:
    """One connected set of deviations; atoms and rings by their number in the graph.

    dopants : atoms whose species does not belong on their site
    bonded : atoms of the crystal bonded to a dopant
    dangling : atoms that lack bonds and are no dopants; lacking : those and the dopants that lack bonds
    rings : rings of another size than the crystal's
    around : rings that hold a dopant, of whatever size
    missing : atoms that would fill the rings as the crystal does, beyond those that are there
    exact : the count is that of the crystal inside the same rim; else it is estimated from the area, and not whole
    unbound : atoms without bonds, and those that hang in its rings: adatoms, or noise taken for atoms
    empty_yx : (K, 2) Å, places at which a bond of a dangling atom points to no atom
    """

    dopants: np.ndarray
    bonded: np.ndarray
    dangling: np.ndarray
    lacking: np.ndarray
    rings: np.ndarray
    around: np.ndarray
    missing: float
    exact: bool
    unbound: int
    empty_yx: np.ndarray

    @property
    def all_rings(self) -> np.ndarray:
        """Rings of another size, and those with a dopant."""
        return np.union1d(self.rings, self.around)


def find_groups(graph: StructureGraph) -> list[Group]:
    """Groups of deviations of a graph, in no particular order.

    Dopants belong together by their bonds alone (`RuleSet.merge`); a ring of another size belongs to the dopants it
    holds, if any, and else to the deviating rings and atoms it touches.
    """
    dopant = ~graph.at_home & graph.part
    odd_ring = (graph.rings.sizes != graph.host.ring) & ~_rings_at_border(graph)
    around = _RingsOfAtoms(graph)
    with_dopant = np.zeros(len(odd_ring), bool)
    groups = []
    for dopants in _split(np.flatnonzero(dopant), _dopants_joined(graph, dopant, odd_ring)):
        rings = around(dopants)
        with_dopant[rings] = True
        groups.append(_group(graph, dopants, rings[odd_ring[rings]], dopant, around))
    odd_ring &= ~with_dopant
    lacking = graph.part & ~dopant & ~graph.open & (graph.coordination < graph.host.coordination)
    lacking &= _in_some_ring(graph, odd_ring) | (graph.coordination == 0)
    n = len(graph)
    nodes = np.concatenate([np.flatnonzero(lacking), n + np.flatnonzero(odd_ring)])
    for members in _split(nodes, _rings_joined(graph, odd_ring, lacking)):
        groups.append(_group(graph, members[members < n], members[members >= n] - n, dopant, around))
    return groups


def _split(nodes: np.ndarray, label: np.ndarray) -> list[np.ndarray]:
    """The nodes in parts of equal label."""
    order = np.argsort(label[nodes], kind="stable")
    cuts = np.flatnonzero(np.diff(label[nodes][order])) + 1
    return np.split(nodes[order], cuts) if len(nodes) else []


def _rings_at_border(graph: StructureGraph) -> np.ndarray:
    """Rings (R,) all of whose atoms are at the border: what is found there depends on what lies outside."""
    inside = np.add.reduceat(~graph.open[graph.rings.atoms], graph.rings.offsets[:-1]) if len(graph.rings.sizes) else []
    return np.asarray(inside, int) == 0


def _in_some_ring(graph: StructureGraph, ring_mask: np.ndarray) -> np.ndarray:
    """Atoms (N,) that are part of one of the rings."""
    out = np.zeros(len(graph), bool)
    out[graph.rings.atoms[np.repeat(ring_mask, graph.rings.sizes)]] = True
    return out


def _dopants_joined(graph: StructureGraph, dopant: np.ndarray, odd_ring: np.ndarray) -> np.ndarray:
    """Label of each atom (N,): equal for dopants that are bonded, and as the rules say also in other cases.

    'shared': have a neighbour in common; 'vacancy': stand round the same hole.
    """
    i, j = graph.neighbors.pairs.T
    both = dopant[i] & dopant[j]
    links = [np.stack([i[both], j[both]], axis=1)]
    if graph.rules.merge == "shared":
        links.append(_by_shared_neighbour(graph, dopant))
    elif graph.rules.merge == "vacancy":
        links.append(_by_shared_hole(graph, dopant, odd_ring))
    return _labels(np.concatenate(links), len(graph))


def _by_shared_hole(graph: StructureGraph, dopant: np.ndarray, odd_ring: np.ndarray) -> np.ndarray:
    """Pairs (K, 2) of a dopant and the one before it round a ring larger than the crystal's."""
    ring = np.repeat(np.arange(len(graph.rings.sizes)), graph.rings.sizes)
    keep = dopant[graph.rings.atoms] & (odd_ring & (graph.rings.sizes > graph.host.ring))[ring]
    atom, ring = graph.rings.atoms[keep], ring[keep]
    same = ring[1:] == ring[:-1]
    return np.stack([atom[:-1][same], atom[1:][same]], axis=1)


def _rings_joined(graph: StructureGraph, odd_ring: np.ndarray, lacking: np.ndarray) -> np.ndarray:
    """Label of each atom and ring (N + R,): equal where odd rings share a bond or an atom with more bonds than the
    crystal's, and for the lacking atoms on them.

    At an atom with a bond too many rings may meet in that corner alone, as the squares of a mirror-twin line 4|4P do.
    """
    n = len(graph)
    ring_of = np.repeat(np.arange(len(graph.rings.sizes)), graph.rings.sizes)
    crowded = graph.part & (graph.coordination > graph.host.coordination)
    touching = (lacking | crowded)[graph.rings.atoms] & odd_ring[ring_of]
    on_ring = np.stack([graph.rings.atoms[touching], n + ring_of[touching]], axis=1)
    adjacent = graph.rings.adjacent()
    side_by_side = n + adjacent[odd_ring[adjacent].all(axis=1)]
    return _labels(np.concatenate([on_ring, side_by_side]), n + len(graph.rings.sizes))


def _labels(links: np.ndarray, n: int) -> np.ndarray:
    """Connected part (n,) of each of n nodes."""
    links = links.reshape(-1, 2).astype(int)
    return connected_components(coo_matrix((np.ones(len(links), bool), links.T), shape=(n, n)), directed=False)[1]


def _by_shared_neighbour(graph: StructureGraph, dopant: np.ndarray) -> np.ndarray:
    """Pairs (K, 2) of a dopant and the one before it in the neighbour list of a common neighbour."""
    indptr, indices, _ = graph.neighbors.adjacency()
    owner = np.repeat(np.arange(len(graph)), np.diff(indptr))
    keep = dopant[indices] & ~dopant[owner]
    owner, member = owner[keep], indices[keep]
    same = owner[1:] == owner[:-1]
    return np.stack([member[:-1][same], member[1:][same]], axis=1)


class _RingsOfAtoms:
    """Rings of each atom, looked up many times."""

    def __init__(self, graph: StructureGraph):
        self.indptr, self.ring_ids = graph.rings.atoms_rings()

    def __call__(self, atoms: np.ndarray) -> np.ndarray:
        parts = [self.ring_ids[self.indptr[a] : self.indptr[a + 1]] for a in atoms]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, int)


def _group(graph: StructureGraph, atoms, rings, dopant: np.ndarray, rings_of: _RingsOfAtoms) -> Group:
    """`atoms` are the dopants, or without any the atoms that lack bonds."""
    dopants, loose = atoms[dopant[atoms]], atoms[~dopant[atoms]]
    around = rings_of(dopants)
    bonded = _host_neighbours(graph, dopants, dopant)
    edge = np.unique(np.concatenate([loose, *(graph.rings.of(r) for r in rings)]).astype(int))
    lacking = edge[(graph.coordination[edge] < graph.host.coordination) & ~graph.open[edge]]
    dangling = lacking[~dopant[lacking]]
    concerned = np.union1d(rings, around)
    inside = _hanging_inside(graph, concerned)
    missing, exact = _missing(graph, concerned, inside, lacking)
    unbound = inside + int((graph.coordination[atoms] == 0).sum())
    return Group(
        dopants, bonded, dangling, lacking, rings, around, missing, exact, unbound, _empty_sites(graph, lacking)
    )


def _host_neighbours(graph: StructureGraph, dopants: np.ndarray, dopant: np.ndarray) -> np.ndarray:
    i, j = graph.neighbors.pairs[graph.bonds_of(dopants)].T
    near = np.unique(np.concatenate([i, j]))
    return near[~dopant[near]]


def _missing(graph: StructureGraph, rings: np.ndarray, inside: int, lacking: np.ndarray) -> tuple[float, bool]:
    """How many atoms more the perfect crystal would have inside the rim of the rings, and whether the count is exact.

    A ring of n atoms holds (n - 2) / 2 of them, the sum of its angles over 2π; the `inside` atoms that hang in one
    count too. A dislocation whose atoms have all their bonds lacks none: what its half plane ends with is no defect.
    """
    if not len(rings):
        return 0.0, True
    rings = with_enclosed(graph, rings)
    held = float(((graph.rings.sizes[rings] - 2) / 2).sum() + inside)
    due = atoms_inside_rim(graph, rings)
    if due is not None:
        return due - held, True
    if not len(lacking) and not inside and goes_round_dislocation(graph, rings):
        return 0.0, True
    return float(graph.rings.areas[rings].sum() / graph.host.area - held), False


def _hanging_inside(graph: StructureGraph, rings: np.ndarray) -> int:
    """Atoms inside the rings that are in no ring themselves."""
    large = rings[graph.rings.sizes[rings] > graph.host.ring]
    if not len(large):
        return 0
    if not len(graph.loose_yx):
        return 0
    return int(sum(points_inside(graph.loose_yx, graph.positions_yx[graph.rings.of(r)]).sum() for r in large))


def _empty_sites(graph: StructureGraph, lacking: np.ndarray) -> np.ndarray:
    """Where atoms seem to be missing (K, 2) Å: what an atom's bonds lack of the sum that is usual leads there."""
    one = lacking[graph.coordination[lacking] == graph.host.coordination - 1]
    if not len(one):
        return np.zeros((0, 2))
    lack = np.array([_usual_sum(graph, atom) - graph.bond_vectors(atom).sum(axis=0) for atom in one])
    guess = graph.positions_yx[one] + lack
    near = SAME_SITE * graph.host.shortest
    taken = graph.tree.query(guess)[0] < near
    return _merged(guess[~taken], near)


def _usual_sum(graph: StructureGraph, atom: int) -> np.ndarray:
    """Sum (2,) Å of the bonds of an intact atom on such a site: that of its neighbours' neighbours (their median).

    Zero in a honeycomb; in dumbbells and polar crystals it is not.
    """
    near = np.setdiff1d(graph.neighbors_of(graph.neighbors_of([atom])), [atom])
    near = near[(graph.coordination[near] == graph.host.coordination) & ~graph.open[near]]
    sums = [graph.bond_vectors(other).sum(axis=0) for other in near]
    return np.median(sums, axis=0) if sums else np.zeros(2)


def _merged(points: np.ndarray, radius: float) -> np.ndarray:
    """Means of the points that lie within `radius` of one another."""
    label = _labels(cKDTree(points).query_pairs(radius, output_type="ndarray"), len(points)) if len(points) else []
    return np.array([points[label == k].mean(axis=0) for k in np.unique(label)]).reshape(-1, 2)
