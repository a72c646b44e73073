"""Which lattice node each atom stands on: grains, sublattices and whole-number indices, grown from ordered places.

Lattice vectors are those by which nearly every atom has a partner. From a seed where they are clear, the lattice is
followed from atom to atom with a frame that is fitted anew at each, so that strain may add up over the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from atomnb.scale import measure_spacing

TOLERANCE = 0.2
"""How far from its place an atom may stand, in nearest-neighbour distances; at twice that, strangers would do."""

LEAST_SUPPORT = 0.75
"""Share of a seed's atoms that must have a partner by a lattice vector."""

LEAST_GRAIN = 12
"""Fewer atoms than this are no grain."""

MOST_GRAINS = 300

_SEED_ATOMS = 120
_SEEDS_TRIED = 24
_LARGEST_STRETCH = 0.3
_LARGEST_TURN = np.deg2rad(20)
_STIFFNESS = 0.5
_NEIGHBOUR_REACH = 1.5
_EQUALLY_CLEAR = 0.15


class LatticeIndex(NamedTuple):
    """The lattice of a set of atoms.

    grain : (N,) int, −1 for atoms that belong to none; 0 is found first
    sublattice : (N,) int within the grain, −1 for none: atoms of one sublattice differ by lattice vectors
    indices : (N, 2) int, node n₁, n₂ of the grain's lattice (beyond a dislocation it depends on the path)
    frames : (N, 2, 2) local lattice vectors, rows (y, x), in the unit of the positions
    owner, member : (E,) int, each atom and its neighbours on the same sublattice
    step : (E, 2) int, difference of their indices
    spacing : typical nearest-neighbour distance
    """

    grain: np.ndarray
    sublattice: np.ndarray
    indices: np.ndarray
    frames: np.ndarray
    owner: np.ndarray
    member: np.ndarray
    step: np.ndarray
    spacing: float


def index_lattice(positions_yx, *, classes=None, reach: float = _NEIGHBOUR_REACH) -> LatticeIndex:
    """Find the lattices in a set of atoms and each atom's place in them.

    Parameters
    ----------
    positions_yx : array (N, 2)
        In any unit; no two at one place.
    classes : int array (N,), optional
        Atoms that must not be taken for one another, such as A and B columns; without it geometry alone decides.
    reach : float
        Neighbours are those within `reach` times the longer lattice vector (1.5: the six of a hexagonal, the eight
        of a square lattice).

    Returns
    -------
    LatticeIndex
        Atoms that belong to no lattice have grain −1 and no neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> yx = 4.0 * np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)
    >>> found = index_lattice(yx)
    >>> int(found.grain.max()), int(found.sublattice.max()), int((found.owner == 27).sum())
    (0, 0, 8)
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    growth = _Growth.start(yx, classes)
    if len(yx) >= LEAST_GRAIN:
        for grain in range(MOST_GRAINS):
            if not _grow_grain(growth, grain, reach):
                break
    owner, member, step = _edges(growth, reach)
    return LatticeIndex(
        growth.grain, growth.sublattice, growth.indices, growth.frames, owner, member, step, growth.spacing
    )


@dataclass(eq=False)
class _Growth:
    """What is known so far; `tried` marks atoms from which no grain grew."""

    yx: np.ndarray
    classes: np.ndarray
    tree: cKDTree
    spacing: float
    grain: np.ndarray
    sublattice: np.ndarray
    indices: np.ndarray
    frames: np.ndarray
    tried: np.ndarray

    @classmethod
    def start(cls, yx: np.ndarray, classes) -> _Growth:
        n = len(yx)
        spacing = (measure_spacing(yx) if n > 1 else None) or 1.0
        classes = np.zeros(n, int) if classes is None else np.unique(np.asarray(classes), return_inverse=True)[1]
        tree = cKDTree(_with_class(yx, classes, spacing))
        none = np.full(n, -1)
        return cls(
            yx, classes, tree, spacing, none.copy(), none.copy(), np.zeros((n, 2), int), np.full((n, 2, 2), np.nan),
            np.zeros(n, bool),
        )  # fmt: skip

    @property
    def free(self) -> np.ndarray:
        return self.grain < 0

    def partner(self, places: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atom nearest to each place (..., 2) and of its class, N if there is none within tolerance; distances."""
        points = _with_class(places.reshape(-1, 2), np.broadcast_to(classes, places.shape[:-1]).ravel(), self.spacing)
        distance, atom = self.tree.query(points, distance_upper_bound=TOLERANCE * self.spacing)
        return atom.reshape(places.shape[:-1]), distance.reshape(places.shape[:-1])


def _with_class(yx: np.ndarray, classes: np.ndarray, spacing: float) -> np.ndarray:
    """Points with a third coordinate that keeps the classes far apart."""
    return np.column_stack([yx, 1e3 * spacing * classes])


def _grow_grain(growth: _Growth, grain: int, reach: float) -> bool:
    """Seed and grow one grain with all its sublattices; False when no seed is left."""
    while True:
        seed, frame = _best_seed(growth)
        if seed is None:
            return False
        steps = lattice_steps(frame, reach)
        members = _grow(growth, seed, frame, steps)
        if len(members) >= LEAST_GRAIN:
            break
        growth.tried[members] = True
        growth.tried[seed] = True
    _settle(growth, members, grain, 0)
    _grow_other_sublattices(growth, grain, steps)
    return True


def _settle(growth: _Growth, members, grain: int, sublattice: int) -> None:
    growth.grain[members] = grain
    growth.sublattice[members] = sublattice


def _grow_other_sublattices(growth: _Growth, grain: int, steps: np.ndarray) -> None:
    """Follow the grain's lattice also from the atoms between its nodes."""
    sublattice = 1
    barren = np.zeros(len(growth.yx), bool)
    while True:
        inside = np.flatnonzero(growth.grain == grain)
        waiting = np.flatnonzero(growth.free & ~barren)
        if not len(waiting):
            return
        gap, near = cKDTree(growth.yx[inside]).query(growth.yx[waiting])
        close = gap < 2 * growth.spacing
        waiting, frames = waiting[close], growth.frames[inside[near[close]]]
        if not len(waiting):
            return
        matched = _matches(growth, waiting, frames, steps)
        best = int(np.argmax(matched))
        if matched[best] < max(3, len(steps) // 2):
            return
        members = _grow(growth, waiting[best], frames[best], steps)
        if len(members) < LEAST_GRAIN // 2:
            barren[members] = barren[waiting[best]] = True
            growth.frames[members] = np.nan
            continue
        _settle(growth, members, grain, sublattice)
        sublattice += 1


def _matches(growth: _Growth, atoms, frames, steps) -> np.ndarray:
    """How many free partners each atom (A,) has by the lattice steps in its frame (A, 2, 2)."""
    places = growth.yx[atoms][:, None] + steps @ frames
    partner, _ = growth.partner(places, growth.classes[atoms][:, None])
    return np.append(growth.free, False)[partner].sum(axis=1)


def lattice_steps(frame: np.ndarray, reach: float = _NEIGHBOUR_REACH) -> np.ndarray:
    """Index differences (K, 2) of the nodes within `reach` times the longer of the two lattice vectors."""
    span = int(np.ceil(2 * reach)) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-span, span + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    length = np.hypot(*(grid @ frame).T)
    return grid[(length > 0) & (length <= reach * np.hypot(*frame.T).max())]


def _grow(growth: _Growth, seed: int, frame: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Atoms reached from the seed, ring by ring; writes their indices and frames.

    An atom leads further if at least half of the partners expected inside the image are there. One that does not,
    at the edge of a hole or of the grain, is a member still if two leaders hit it.
    """
    n = len(growth.yx)
    reached, led, hits = np.zeros(n + 1, bool), np.zeros(n, bool), np.zeros(n + 1, int)
    frames, indices = growth.frames, growth.indices
    reached[seed] = True
    frames[seed], indices[seed] = frame, 0
    front = np.array([seed])
    low, high = growth.yx.min(0) - 0.5 * growth.spacing, growth.yx.max(0) + 0.5 * growth.spacing
    free = np.append(growth.free, False)
    while len(front):
        fitted, partner, distance = _fit_frames(growth, front, frames[front], steps)
        places = growth.yx[front][:, None] + steps @ fitted
        expected = ((places >= low) & (places <= high)).all(axis=2).sum(axis=1)
        own = free[partner]
        good = (own.sum(axis=1) >= np.maximum(2, 0.5 * expected)) & _resembles(fitted, frame)
        leaders = front[good]
        led[leaders] = True
        frames[leaders] = fitted[good]
        hits += np.bincount(partner[good][own[good]], minlength=n + 1)
        target, source, way = _new_targets(partner[good], distance[good], own[good] & ~reached[partner[good]])
        reached[target] = True
        indices[target] = indices[leaders[source]] + steps[way]
        frames[target] = frames[leaders[source]]
        front = target
    member = led | (reached[:n] & (hits[:n] >= 2))
    frames[reached[:n] & ~member] = np.nan
    return np.flatnonzero(member)


def _new_targets(partner, distance, wanted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each atom newly reached, by the closest hit: the atom, the row and the column it was reached by."""
    source, way = np.nonzero(wanted)
    atom = partner[source, way]
    order = np.lexsort([distance[source, way], atom])
    _, first = np.unique(atom[order], return_index=True)
    best = order[first]
    return atom[best], source[best], way[best]


def _fit_frames(growth: _Growth, atoms, frames, steps):
    """Frames (A, 2, 2) fitted to the partners found with the frames given; the partners and their distances."""
    classes = growth.classes[atoms][:, None]
    padded = np.vstack([growth.yx, [0, 0]])
    fitted = frames
    for _ in range(2):
        places = growth.yx[atoms][:, None] + steps @ fitted
        partner, distance = growth.partner(places, classes)
        found = partner < len(growth.yx)
        vectors = np.where(found[..., None], padded[partner] - growth.yx[atoms][:, None], 0)
        used = steps[None] * found[..., None]
        moment = np.einsum("aki,akj->aij", used, used) + _STIFFNESS * np.eye(2)
        fitted = np.linalg.solve(moment, np.einsum("aki,akj->aij", used, vectors) + _STIFFNESS * frames)
    return fitted, partner, distance


def _resembles(frames: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Whether frames (A, 2, 2) are the original one within plausible stretch and turn."""
    change = np.swapaxes(np.linalg.inv(original)[None] @ frames, 1, 2)
    cosine, sine = change[:, 0, 0] + change[:, 1, 1], change[:, 0, 1] - change[:, 1, 0]
    stretch = np.linalg.svd(change, compute_uv=False)
    turn = np.abs(np.arctan2(sine, cosine))
    return (np.abs(stretch - 1).max(axis=1) < _LARGEST_STRETCH) & (turn < _LARGEST_TURN)


def _best_seed(growth: _Growth) -> tuple[int | None, np.ndarray | None]:
    """The most ordered of some places among the free atoms, and the lattice vectors there.

    Of several classes the one with the largest cell tells the lattice: the others repeat by its vectors too.
    """
    found = []
    for label in np.unique(growth.classes):
        candidates = np.flatnonzero(growth.free & ~growth.tried & (growth.classes == label))
        if len(candidates) < LEAST_GRAIN:
            continue
        seeds = candidates[np.unique(np.linspace(0, len(candidates) - 1, _SEEDS_TRIED).astype(int))]
        own = np.flatnonzero(growth.free & (growth.classes == label))
        tree = cKDTree(growth.yx[own])
        tried = [(*_local_lattice(growth.yx[own], tree, growth.yx[s], growth.spacing), s) for s in seeds]
        tried = [t for t in tried if t[0] is not None]
        if tried:
            # where the border or a defect hides a short vector, longer ones may look better
            clear = [t for t in tried if t[1] >= max(quality for _, quality, _ in tried) - _EQUALLY_CLEAR]
            smallest = min(_area(t[0]) for t in clear)
            found.append(max((t for t in clear if _area(t[0]) < 1.3 * smallest), key=lambda t: t[1]))
    if not found:
        return None, None
    frame, _, seed = max(found, key=lambda t: _area(t[0]))
    return int(seed), frame


def _area(frame: np.ndarray) -> float:
    return float(abs(np.linalg.det(frame)))


def _local_lattice(yx, tree, place, spacing) -> tuple[np.ndarray | None, float]:
    """The two shortest vectors by which the atoms about a place repeat, rows (y, x), and how well they do."""
    distance, around = tree.query(place, k=min(_SEED_ATOMS, len(yx)))
    radius = distance[-1] / 2
    inner = around[distance <= radius]
    if len(inner) < 4:
        return None, 0.0
    candidates = (yx[around][None] - yx[inner[:6]][:, None]).reshape(-1, 2)
    length = np.hypot(*candidates.T)
    candidates = candidates[(length > 0.5 * spacing) & (length <= radius)]
    if not len(candidates):
        return None, 0.0
    vectors, support, spread = _support(tree, yx, inner, candidates, TOLERANCE * spacing)
    good = support >= max(LEAST_SUPPORT, 0.9 * support.max())
    vectors, support, spread = vectors[good], support[good], spread[good]
    order = np.argsort(np.hypot(*vectors.T))
    vectors, quality = vectors[order], (support - spread / spacing)[order]
    for second in range(1, len(vectors)):
        first, other = vectors[0], vectors[second]
        area = first[0] * other[1] - first[1] * other[0]
        if abs(area) > 0.35 * np.hypot(*first) * np.hypot(*other):
            return reduced(np.array([first, other])), float(min(quality[0], quality[second]))
    return None, 0.0


def reduced(frame: np.ndarray) -> np.ndarray:
    """The shortest pair of vectors, rows of (2, 2), that spans the same lattice (Gauss)."""
    first, second = sorted(frame, key=lambda v: v @ v)
    while True:
        second = second - np.round(first @ second / (first @ first)) * first
        if second @ second >= first @ first * (1 - 1e-9):
            return np.array([first, second])
        first, second = second, first


def _support(tree, yx, inner, candidates, tolerance):
    """Candidate vectors (C, 2) refined, the share of the inner atoms with a partner by them, the partners' spread."""
    vectors = candidates
    for _ in range(2):
        distance, partner = tree.query(yx[inner][None] + vectors[:, None], distance_upper_bound=tolerance)
        found = np.isfinite(distance)
        offset = np.where(found[..., None], yx[np.where(found, partner, 0)] - yx[inner][None], 0)
        number = np.maximum(found.sum(axis=1), 1)
        vectors = offset.sum(axis=1) / number[:, None]
    miss = np.where(found[..., None], offset - vectors[:, None], 0)
    return vectors, found.mean(axis=1), np.sqrt((miss**2).sum(axis=(1, 2)) / number)


def _edges(growth: _Growth, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours of all atoms on the same sublattice of their grain, both ways, with the steps between them."""
    found = []
    for grain in range(int(growth.grain.max(initial=-1)) + 1):
        atoms = np.flatnonzero(growth.grain == grain)
        steps = lattice_steps(np.median(growth.frames[atoms], axis=0), reach)
        places = growth.yx[atoms][:, None] + steps @ growth.frames[atoms]
        partner, _ = growth.partner(places, growth.classes[atoms][:, None])
        known = np.append(growth.grain, -1)[partner] == grain
        row, way = np.nonzero(known)
        owner, member, step = atoms[row], partner[row, way], steps[way]
        same = growth.sublattice[owner] == growth.sublattice[member]
        found += [(owner[same], member[same], step[same]), (member[same], owner[same], -step[same])]
    if not found:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2), int)
    owner, member, step = (np.concatenate(parts) for parts in zip(*found, strict=True))
    whole = np.unique(np.column_stack([owner, member, step]), axis=0)
    return whole[:, 0], whole[:, 1], whole[:, 2:]
