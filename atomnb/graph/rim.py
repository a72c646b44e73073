"""How many atoms a perfect crystal has inside the rim of a defect: the rim is walked bond by bond in the crystal.

Strain, relaxation and noise move the atoms of a rim but not its bonds. At each atom of the rim the bonds that lead
outward tell by which angle the walk turns in the perfect crystal; the polygon walked there has a certain area, hence a
certain number of atoms, whatever the picture looks like. A walk that does not come back to its start goes round a
dislocation, and the gap is its Burgers vector (Frank's circuit).
"""

from __future__ import annotations

import numpy as np

from atomnb.graph.structure import StructureGraph

_AREA = {3: 3 * 3**0.5 / 4, 4: 1.0, 6: 3**0.5 / 2}
"""Area of one atom of the honeycomb, square and triangular net, in squared bonds."""


def atoms_inside_rim(graph: StructureGraph, rings: np.ndarray) -> float | None:
    """Atoms of the perfect crystal inside the rim of a set of rings, those on the rim by their share of angle.

    Parameters
    ----------
    rings : (K,) numbers of the rings, which together have no hole (`with_enclosed`)

    Returns
    -------
    float or None
        None where the rim is no single closed walk, lies at the border, or goes round a dislocation.
    """
    corners = rim_in_crystal(graph, rings)
    if corners is None or np.hypot(*(corners[-1] - corners[0])) > 1e-6:
        return None
    y, x = corners.T
    area = 0.5 * abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))
    return area / _AREA[graph.host.coordination]


def goes_round_dislocation(graph: StructureGraph, rings: np.ndarray) -> bool:
    """Whether the walk round the rings turns round once in the perfect crystal and yet does not come back."""
    corners = rim_in_crystal(graph, rings)
    return corners is not None and float(np.hypot(*(corners[-1] - corners[0]))) > 1e-6


def rim_in_crystal(graph: StructureGraph, rings: np.ndarray) -> np.ndarray | None:
    """Corners (n + 1, 2) of the walk along the rim of the rings, as it goes in the perfect crystal, in bonds.

    The first bond leads along x. None where the rim is no single closed walk, touches the border, or does not turn
    round once in the crystal, as where the rings have fewer bonds leading out than any part of the crystal.
    """
    if graph.host.coordination not in _AREA:
        return None
    walk = _rim(graph, rings)
    if walk is None or graph.open[walk].any():
        return None
    outward = _outward_bonds(graph, rings, walk)
    unit = 2 * np.pi / graph.host.coordination
    interior = 2 * np.pi - (outward + 1) * unit
    if abs((np.pi - interior).sum() - 2 * np.pi) > 1e-6:
        return None
    heading = np.concatenate([[0.0], np.cumsum(np.pi - interior[1:])])
    steps = np.stack([np.sin(heading), np.cos(heading)], axis=1)
    return np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)])


def _rim(graph: StructureGraph, rings: np.ndarray) -> np.ndarray | None:
    """Atoms in order round the rim; None if it is not one closed walk that meets each atom once."""
    walks = _walks(graph, rings)
    return walks[0][0] if len(walks) == 1 and len(walks[0][0]) >= 3 else None


def _walks(graph: StructureGraph, rings: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Closed walks along the sides that only one of the rings has: atoms, and bonds; none if one meets an atom twice.

    Walks round the rings go the way the rings do, those round a hole among them the other way.
    """
    start, end, edge = (np.concatenate(part) for part in zip(*(_sides(graph, r) for r in rings), strict=True))
    _, which, count = np.unique(edge, return_inverse=True, return_counts=True)
    outer = count[which] == 1
    start, end, edge = start[outer], end[outer], edge[outer]
    if len(np.unique(start)) != len(start):
        return []
    after = dict(zip(start.tolist(), zip(end.tolist(), edge.tolist(), strict=True), strict=True))
    walks = []
    while after:
        atoms, bonds, atom = [], [], next(iter(after))
        while atom in after:
            following, bond = after.pop(atom)
            atoms.append(atom)
            bonds.append(bond)
            atom = following
        walks.append((np.array(atoms), np.array(bonds)))
    return walks


def with_enclosed(graph: StructureGraph, rings: np.ndarray) -> np.ndarray:
    """The rings with all that they enclose, such as the hexagon amid the pentagons and heptagons of 5555-6-7777."""
    walks = _walks(graph, rings)
    if len(walks) < 2:
        return rings
    edges = graph.rings.edges
    owner = np.repeat(np.arange(len(graph.rings.sizes)), graph.rings.sizes)
    held = np.zeros(len(graph.rings.sizes), bool)
    held[rings] = True
    bonds = np.concatenate([np.zeros(0, int), *(bonds for atoms, bonds in walks if _goes_round_a_hole(graph, atoms))])
    while len(bonds):
        new = owner[np.isin(edges, bonds)]
        new = np.unique(new[~held[new]])
        held[new] = True
        bonds = edges[np.isin(owner, new)]
    return np.flatnonzero(held)


def _goes_round_a_hole(graph: StructureGraph, walk: np.ndarray) -> bool:
    y, x = graph.positions_yx[walk].T
    return bool((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0)


def _sides(graph: StructureGraph, ring: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From, to and number of each bond along one ring."""
    atoms = graph.rings.of(ring)
    edges = graph.rings.edges[graph.rings.offsets[ring] : graph.rings.offsets[ring + 1]]
    return atoms, np.roll(atoms, -1), edges


def _outward_bonds(graph: StructureGraph, rings: np.ndarray, walk: np.ndarray) -> np.ndarray:
    """Bonds (n,) of each atom of the rim that belong to none of the rings and do not lead into one."""
    inside = np.concatenate([_sides(graph, r)[2] for r in rings])
    outer = np.setdiff1d(graph.bonds_of(walk), inside)
    outer = np.setdiff1d(outer, _hanging(graph, rings, outer))
    return (graph.neighbors.pairs[outer].ravel()[:, None] == walk).sum(axis=0)


def _hanging(graph: StructureGraph, rings: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Bonds of the rim that lead to an atom inside the rings: loose ends, which belong to no ring."""
    number = candidates[~graph.in_ring[graph.neighbors.pairs[candidates]].all(axis=1)]
    keep = []
    for bond in number:
        loose = graph.neighbors.pairs[bond][~graph.in_ring[graph.neighbors.pairs[bond]]][0]
        point = graph.positions_yx[loose]
        keep.append(any(_holds(graph.positions_yx[graph.rings.of(r)], point) for r in rings))
    return number[np.array(keep, bool)] if len(number) else number


def _holds(polygon: np.ndarray, point: np.ndarray) -> bool:
    """Whether a polygon (M, 2) holds a point (2,), by the parity of crossings."""
    return bool(points_inside(point[None], polygon)[0])


def points_inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which of the points (N, 2) a polygon (M, 2) holds, by the parity of crossings (N,)."""
    y, x = points[:, :1], points[:, 1:]
    (y0, x0), (y1, x1) = polygon.T, np.roll(polygon, -1, axis=0).T
    spans = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return (spans & left).sum(axis=1) % 2 == 1
