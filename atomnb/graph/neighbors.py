"""Which atoms are neighbours: one list of pairs, however it was made, that every later analysis takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, Voronoi, cKDTree

from atomnb.errors import AtomnbError

if TYPE_CHECKING:
    import networkx


class Neighbors(NamedTuple):
    """Pairs of neighbouring atoms, each pair once.

    pairs : (E, 2) int, atom i < atom j. In a periodic cell a pair may occur again with another vector, and an atom may
        be the neighbour of its own image (i == j).
    vectors_yx : (E, 2), from `pairs[:, 0]` to `pairs[:, 1]`, in the unit of the positions
    probability : (E,) in [0, 1], chance that the pair is one; 1 where neighbours are a matter of definition
    n_atoms : number of atoms N, also of those without neighbours
    """

    pairs: np.ndarray
    vectors_yx: np.ndarray
    probability: np.ndarray
    n_atoms: int

    @property
    def distances(self) -> np.ndarray:
        """Lengths (E,) of the pairs."""
        return np.hypot(*self.vectors_yx.T)

    @property
    def coordination(self) -> np.ndarray:
        """Number of neighbours (N,) of each atom."""
        return np.bincount(self.pairs.ravel(), minlength=self.n_atoms)

    def half_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every pair in both directions: source (2E,), target (2E,), vectors (2E, 2); e and e + E are the same pair."""
        source = np.concatenate([self.pairs[:, 0], self.pairs[:, 1]])
        target = np.concatenate([self.pairs[:, 1], self.pairs[:, 0]])
        return source, target, np.concatenate([self.vectors_yx, -self.vectors_yx])

    def adjacency(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Neighbours atom by atom, as the index arrays of a sparse matrix.

        Returns
        -------
        indptr : (N + 1,), `indices[indptr[i]:indptr[i + 1]]` are the neighbours of atom i
        indices : (2E,)
        edge_index : (2E,), the row of `pairs` that each neighbour comes from
        """
        source, target, _ = self.half_edges()
        order = np.argsort(source, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=self.n_atoms))])
        return indptr, target[order], order % max(len(self.pairs), 1)

    def select(self, mask) -> Neighbors:
        """The pairs where `mask` (E,) is true, or those with these numbers; the atoms keep their numbers."""
        return self._replace(
            pairs=self.pairs[mask], vectors_yx=self.vectors_yx[mask], probability=self.probability[mask]
        )

    def components(self) -> np.ndarray:
        """Label (N,) of the connected part that each atom belongs to, counted from 0."""
        i, j = self.pairs.T
        graph = coo_matrix((np.ones(len(i), bool), (i, j)), shape=(self.n_atoms, self.n_atoms))
        return connected_components(graph, directed=False)[1]

    def to_networkx(self, positions_yx=None, species=None) -> networkx.Graph:
        """The same graph for networkx, HoloViews and the like.

        Parameters
        ----------
        positions_yx : (N, 2), optional
            Become the attributes `y` and `x` of the nodes.
        species : (N,) str, optional
            Becomes the attribute `species` of the nodes.

        Returns
        -------
        networkx.Graph
            Edges carry `length` and `probability`. Where a periodic cell joins two atoms twice, the last one counts.
        """
        import networkx

        graph = networkx.Graph()
        graph.add_nodes_from(range(self.n_atoms))
        rows = zip(self.pairs.tolist(), self.distances.tolist(), self.probability.tolist(), strict=True)
        graph.add_edges_from((i, j, {"length": length, "probability": chance}) for (i, j), length, chance in rows)
        if positions_yx is not None:
            points = checked_positions(positions_yx, n_atoms=self.n_atoms)
            for axis, values in zip("yx", points.T, strict=True):
                networkx.set_node_attributes(graph, dict(enumerate(values.tolist())), axis)
        if species is not None:
            names = np.asarray(species, str)
            if names.shape != (self.n_atoms,):
                raise AtomnbError(f"species must name each of the {self.n_atoms} atoms, got shape {names.shape}.")
            networkx.set_node_attributes(graph, dict(enumerate(names.tolist())), "species")
        return graph


class VectorTable(NamedTuple):
    """The vectors of a neighbour list, to be looked up by the two atoms.

    Where a periodic cell joins two atoms twice, one of the vectors is found.
    """

    key: np.ndarray
    vectors_yx: np.ndarray
    n_atoms: int

    @classmethod
    def of(cls, neighbors: Neighbors) -> VectorTable:
        """The table of a neighbour list."""
        source, target, vectors = neighbors.half_edges()
        key = source * neighbors.n_atoms + target
        order = np.argsort(key, kind="stable")
        return cls(key[order], vectors[order], neighbors.n_atoms)

    def between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Vectors (M, 2) from atoms `first` to atoms `second`, NaN where the two are no neighbours."""
        vectors = np.full((len(first), 2), np.nan)
        if len(self.key):
            key = first * self.n_atoms + second
            place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
            known = self.key[place] == key
            vectors[known] = self.vectors_yx[place[known]]
        return vectors


def neighbors_radius(positions_yx, radius: float, *, cell=None) -> Neighbors:
    """All pairs of atoms no further apart than `radius`.

    Parameters
    ----------
    positions_yx : (N, 2)
    radius : in the unit of the positions
    cell : (2, 2), optional
        Rows are the vectors (y, x) by which the structure repeats.

    Raises
    ------
    AtomnbError
        If positions are not finite, or radius or cell are impossible.

    Examples
    --------
    >>> import numpy as np
    >>> chain = neighbors_radius(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), 1.1)
    >>> chain.pairs.tolist(), chain.coordination.tolist()
    ([[0, 1], [1, 2]], [1, 2, 1])
    """
    if not (np.isfinite(radius) and radius > 0):
        raise AtomnbError(f"radius must be a positive length, got {radius!r}.")
    copies = _copies(checked_positions(positions_yx), checked_cell(cell), radius)
    pairs = cKDTree(copies.points, compact_nodes=False, balanced_tree=False).query_pairs(radius, output_type="ndarray")
    return _seen_from_home(copies, pairs[:, 0], pairs[:, 1])


def neighbors_nearest(positions_yx, k: int, *, cell=None, mutual: bool = False) -> Neighbors:
    """Each atom with the `k` atoms nearest to it.

    Parameters
    ----------
    positions_yx : (N, 2)
    k : number of neighbours asked for; where there are fewer atoms, all of them
    cell : (2, 2), optional
        Rows are the vectors (y, x) by which the structure repeats.
    mutual : keep only pairs in which each is among the nearest of the other; otherwise one of the two suffices

    Raises
    ------
    AtomnbError
        If positions are not finite, or k or cell are impossible.
    """
    if k < 1 or k != int(k):
        raise AtomnbError(f"k must be a whole number of neighbours, at least 1, got {k!r}.")
    points, cell = checked_positions(positions_yx), checked_cell(cell)
    if len(points) < (2 if cell is None else 1):
        return _none(len(points))
    copies, found, distance = _nearest(points, int(k), cell)
    here = np.repeat(np.arange(len(points)), found.shape[1])
    real = np.isfinite(distance).ravel() & (found.ravel() != here)
    rank = np.cumsum(real.reshape(found.shape), axis=1).ravel()  # two atoms at one place may stand before themselves
    keep = real & (rank <= k)
    return _unique(copies, here[keep], found.ravel()[keep], at_least=2 if mutual else 1)


def neighbors_delaunay(positions_yx, *, max_length: float | None = None, cell=None) -> Neighbors:
    """Pairs joined by an edge of the Delaunay triangulation.

    Of four atoms on one circle (a square lattice) one diagonal is an edge, which one is arbitrary;
    `neighbors_voronoi` joins neither.

    Parameters
    ----------
    positions_yx : (N, 2)
    max_length : longer edges are left out (those along a concave outline are long)
    cell : (2, 2), optional
        Rows are the vectors (y, x) by which the structure repeats.

    Raises
    ------
    AtomnbError
        If positions are not finite, two of them are the same, or cell is impossible.
    """
    points, cell = _apart(checked_positions(positions_yx)), checked_cell(cell)
    if cell is None and _on_a_line(points):
        found = _chain(points)
    else:
        copies, triangles = _triangulate(points, cell)
        sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        found = _unique(copies, *_from_home(sides, len(points)).T)
    return found if max_length is None else found.select(found.distances <= max_length)


def neighbors_voronoi(positions_yx, *, least_facet: float = 0.0, cell=None) -> Neighbors:
    """Pairs whose Voronoi cells share a side longer than `least_facet`.

    Parameters
    ----------
    positions_yx : (N, 2)
    least_facet : length, in the unit of the positions; about a third of the spacing keeps noise from joining the
        diagonals of a square lattice. Sides without an end (between atoms of the outline) always count.
    cell : (2, 2), optional
        Rows are the vectors (y, x) by which the structure repeats.

    Raises
    ------
    AtomnbError
        If positions are not finite, two of them are the same, or cell is impossible.
    """
    points, cell = _apart(checked_positions(positions_yx)), checked_cell(cell)
    if cell is None and _on_a_line(points):
        return _chain(points)
    copies, _ = _triangulate(points, cell)
    diagram = Voronoi(copies.points)
    first, last = np.asarray(diagram.ridge_vertices).T
    length = np.hypot(*(diagram.vertices[first] - diagram.vertices[last]).T)
    endless = (first < 0) | (last < 0)
    touching = endless | (length > max(least_facet, 1e-6 * _spacing(points, cell)))
    return _unique(copies, *_from_home(diagram.ridge_points[touching], len(points)).T)


def checked_positions(positions_yx, *, n_atoms: int | None = None) -> np.ndarray:
    """The positions as floats (N, 2), or an error that says which are not usable."""
    points = np.asarray(positions_yx, float)
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise AtomnbError(f"positions_yx must have the shape (N, 2), rows (y, x), got {points.shape}.")
    if n_atoms is not None and len(points) != n_atoms:
        raise AtomnbError(f"positions_yx has {len(points)} rows, but the neighbours are those of {n_atoms} atoms.")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise AtomnbError(
            f"positions_yx must be finite: {len(bad)} of {len(points)} rows are not, the first are "
            f"{bad[:5].tolist()}. Leave these atoms out."
        )
    return points


def checked_cell(cell) -> np.ndarray | None:
    """The period vectors as floats (2, 2), None if there are none, or an error."""
    if cell is None:
        return None
    vectors = np.asarray(cell, float)
    if vectors.shape != (2, 2) or not np.isfinite(vectors).all() or abs(np.linalg.det(vectors)) < 1e-9:
        raise AtomnbError(f"cell must be two vectors (y, x) that span an area, got {np.asarray(cell).tolist()!r}.")
    return vectors


class _Copies(NamedTuple):
    """Atoms of the home cell first, then the images around it: points (M, 2), the atom each shows, its shift (M, 2)."""

    points: np.ndarray
    source: np.ndarray
    shift: np.ndarray
    n_home: int


def _copies(points: np.ndarray, cell: np.ndarray | None, margin: float) -> _Copies:
    """The atoms and, in a periodic cell, their images up to `margin` outside it."""
    n = len(points)
    if cell is None:
        return _Copies(points, np.arange(n), np.zeros((n, 2), int), n)
    share = points @ np.linalg.inv(cell)
    share -= np.floor(share)
    heights = abs(np.linalg.det(cell)) / np.hypot(*cell[::-1].T)
    reach = margin / heights * (1 + 1e-9)
    steps = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)
    shifts = shifts[shifts.any(axis=1)]
    near = [np.flatnonzero(((share + s >= -reach) & (share + s <= 1 + reach)).all(axis=1)) for s in shifts]
    source = np.concatenate([np.arange(n), *near])
    shift = np.concatenate([np.zeros((n, 2), int), np.repeat(shifts, [len(atoms) for atoms in near], axis=0)])
    return _Copies((share[source] + shift) @ cell, source, shift, n)


def _seen_from_home(copies: _Copies, first: np.ndarray, second: np.ndarray) -> Neighbors:
    """Pairs of copies, first < second, as pairs of atoms: each once, though images show those across the rim twice."""
    home = first < copies.n_home
    first, second = first[home], second[home]
    i, j = first, copies.source[second]
    shift = copies.shift[second]
    positive = (shift[:, 0] > 0) | ((shift[:, 0] == 0) & (shift[:, 1] > 0))
    once = (i < j) | ((i == j) & positive)
    vectors = copies.points[second[once]] - copies.points[first[once]]
    pairs = np.stack([i[once], j[once]], axis=1).astype(np.int64)
    order = np.argsort(pairs[:, 0] * copies.n_home + pairs[:, 1], kind="stable")
    return Neighbors(pairs[order], vectors[order], np.ones(len(pairs)), copies.n_home)


def _unique(copies: _Copies, first: np.ndarray, second: np.ndarray, *, at_least: int = 1) -> Neighbors:
    """Directed pairs (copy in the home cell, any copy) as pairs of atoms, kept if met in `at_least` directions."""
    i, j = copies.source[first], copies.source[second]
    shift = copies.shift[second]
    negative = (shift[:, 0] < 0) | ((shift[:, 0] == 0) & (shift[:, 1] < 0))
    turned = (i > j) | ((i == j) & negative)
    sign = np.where(turned, -1, 1)[:, None]
    low, high = np.minimum(i, j), np.maximum(i, j)
    key = _as_one_number(low, high, sign * shift)
    _, index = np.unique(2 * key + turned, return_index=True)
    _, one, count = np.unique(key[index], return_index=True, return_counts=True)
    kept = index[one[count >= at_least]]
    vectors = sign[kept] * (copies.points[second[kept]] - copies.points[first[kept]])
    pairs = np.stack([low[kept], high[kept]], axis=1).astype(np.int64)
    return Neighbors(pairs, vectors, np.ones(len(kept)), copies.n_home)


def _as_one_number(low: np.ndarray, high: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A number (M,) that two pairs have in common only if they are the same, in the order of the pairs."""
    reach = int(np.abs(shift).max(initial=0))
    number, side = low.astype(np.int64), 2 * reach + 1
    for digit, base in ((high, int(high.max(initial=0)) + 1), (shift[:, 0] + reach, side), (shift[:, 1] + reach, side)):
        number = number * base + digit
    return number


def _from_home(pairs: np.ndarray, n_home: int) -> np.ndarray:
    """Undirected pairs of copies as directed ones (M, 2) that begin in the home cell."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return both[both[:, 0] < n_home]


def _none(n_atoms: int) -> Neighbors:
    return Neighbors(np.zeros((0, 2), np.int64), np.zeros((0, 2)), np.zeros(0), n_atoms)


def _spacing(points: np.ndarray, cell: np.ndarray | None) -> float:
    """A typical distance: the side of the square that one atom has to itself."""
    area = np.ptp(points, axis=0).prod() if cell is None else abs(np.linalg.det(cell))
    return float(np.sqrt(area / max(len(points), 1)))


def _nearest(points: np.ndarray, k: int, cell: np.ndarray | None) -> tuple[_Copies, np.ndarray, np.ndarray]:
    """For each atom the copies nearest to it, itself among them, with images as far out as they can matter."""
    margin = _spacing(points, cell) * (1 + np.sqrt(k))
    while True:
        copies = _copies(points, cell, margin)
        distance, found = cKDTree(copies.points).query(copies.points[: len(points)], k=k + 1)
        furthest = distance.max()
        if cell is None or furthest <= margin:
            return copies, found, distance
        margin = 2 * margin if np.isinf(furthest) else furthest


def _apart(points: np.ndarray) -> np.ndarray:
    """The points, or an error that names atoms at one and the same place."""
    twins = cKDTree(points).query_pairs(0.0, output_type="ndarray") if len(points) else points
    if len(twins):
        raise AtomnbError(
            f"two atoms stand at one place: {twins[:5].tolist()}, {len(twins)} pairs in all. Leave one of each out."
        )
    return points


def _on_a_line(points: np.ndarray) -> bool:
    """Whether the points span no area."""
    if len(points) < 3:
        return True
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] <= 1e-9 * spread[0])


def _chain(points: np.ndarray) -> Neighbors:
    """Points on a line, each with the next."""
    if len(points) < 2:
        return _none(len(points))
    along = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    order = np.argsort(points @ along)
    pairs = np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1).astype(np.int64)
    return Neighbors(pairs, points[pairs[:, 1]] - points[pairs[:, 0]], np.ones(len(pairs)), len(points))


def _triangulate(points: np.ndarray, cell: np.ndarray | None) -> tuple[_Copies, np.ndarray]:
    """Copies and the Delaunay triangles (T, 3) that touch the home cell."""
    if cell is None:
        copies = _copies(points, None, 0.0)
        return copies, Delaunay(points).simplices
    # four atoms on one circle must be cut along the same diagonal in every image
    nudge = 1e-7 * _spacing(points, cell) * np.random.default_rng(0).uniform(-1, 1, points.shape)
    margin = 4 * _spacing(points, cell)
    while True:
        copies = _copies(points + nudge, cell, margin)
        if len(copies.points) >= 4:
            triangles = Delaunay(copies.points).simplices
            triangles = triangles[(triangles < len(points)).any(axis=1)]
            if 2 * _circumradius(copies.points[triangles]).max() <= margin:
                return copies._replace(points=copies.points - nudge[copies.source]), triangles
        margin *= 2


def _circumradius(corners: np.ndarray) -> np.ndarray:
    """Radius (T,) of the circle through the corners (T, 3, 2)."""
    a, b, c = (np.hypot(*(corners[:, i] - corners[:, j]).T) for i, j in ((1, 2), (2, 0), (0, 1)))
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a * b * c / np.maximum(2 * np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]), 1e-300)
