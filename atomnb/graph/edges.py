"""Where a three-coordinated sheet ends: the outline, and which parts of it are zigzag or armchair."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.graph.faces import trace_faces
from atomnb.graph.neighbors import Neighbors, checked_positions

LEAST_HOLE = 20
"""Bonds round the smallest ring that counts as a hole with an edge; a smaller one is a vacancy."""

KINDS = ("zigzag", "armchair", "mixed", "frame")
"""What an edge atom can be part of."""


class Edges(NamedTuple):
    """The outline of a sheet and of its holes.

    atoms : (K,) int, edge atoms in order, walk after walk; `of(w)` are those of walk w
    offsets : (W + 1,)
    kind : (K,) str, one of KINDS
    """

    atoms: np.ndarray
    offsets: np.ndarray
    kind: np.ndarray

    def of(self, walk: int) -> np.ndarray:
        """Atoms in order along one outline."""
        return self.atoms[self.offsets[walk] : self.offsets[walk + 1]]

    def counts(self) -> dict[str, int]:
        """How many edge atoms there are of each kind."""
        return {kind: int((self.kind == kind).sum()) for kind in KINDS}


def find_edges(
    positions_yx,
    neighbors: Neighbors,
    *,
    frame_angstrom: tuple[float, float] | None = None,
    margin: float = 4.0,
    least_hole: int = LEAST_HOLE,
) -> Edges:
    """Edge atoms of a three-coordinated sheet, and the kind of edge each belongs to.

    Along the outline, atoms with two bonds alternate with atoms with three: one between two on a zigzag edge, none and
    two in turn on an armchair edge (K. Nakada et al., Phys. Rev. B 54, 17954 (1996)). An atom with two bonds is of the
    kind that both its sides agree on, else 'mixed'; an atom with three bonds of the kind of the gap it lies in. Atoms
    that hang on a single bond are left out first.

    Parameters
    ----------
    positions_yx : (N, 2) Å
    neighbors : Neighbors
        Without crossings, as `find_bonds` returns it.
    frame_angstrom : (height, width), optional
        Size of the image: where it cuts the sheet there is no edge, and atoms nearer than `margin` to its rim are of
        the kind 'frame'.
    margin : Å
    least_hole : bonds round the smallest hole whose rim is an edge

    Returns
    -------
    Edges

    Raises
    ------
    AtomnbError
        If positions or the frame are not usable, or bonds cross.
    """
    points = checked_positions(positions_yx, n_atoms=neighbors.n_atoms)
    faces = trace_faces(neighbors)
    bonds = np.bincount(faces.atoms, minlength=len(points))
    outline = faces.select((faces.winding < 1) | (np.diff(faces.offsets) >= least_hole))
    kind = [_kinds(bonds[outline.atoms[a:b]] == 2) for a, b in pairwise(outline.offsets)]
    kind = np.concatenate(kind) if kind else np.zeros(0, "<U8")
    if frame_angstrom is not None:
        kind[_near_frame(points[outline.atoms], frame_angstrom, margin)] = "frame"
    return Edges(outline.atoms, outline.offsets, kind)


def _kinds(two: np.ndarray) -> np.ndarray:
    """Kind (L,) of each atom of a closed outline, from which of them have two bonds."""
    kind = np.full(len(two), "mixed", "<U8")
    place = np.flatnonzero(two)
    if not len(place):
        return kind
    gap = np.diff(place, append=place[0] + len(two)) - 1  # atoms with three bonds after each atom with two
    before = np.roll(gap, 1)
    kind[place[(gap == 1) & (before == 1)]] = "zigzag"
    kind[place[((gap == 0) & (before == 2)) | ((gap == 2) & (before == 0))]] = "armchair"
    for size, name in ((1, "zigzag"), (2, "armchair")):
        start = place[gap == size]
        kind[(start[:, None] + np.arange(1, size + 1)) % len(two)] = name
    return kind


def _near_frame(points: np.ndarray, frame_angstrom: tuple[float, float], margin: float) -> np.ndarray:
    """Mask of the points that lie near the rim of the image or beyond it."""
    frame = np.asarray(frame_angstrom, float)
    if frame.shape != (2,) or not (np.isfinite(frame) & (frame > 0)).all():
        raise AtomnbError(f"frame_angstrom must be (height, width) of the image in Å, got {frame_angstrom!r}.")
    return (np.minimum(points, frame - points) < margin).any(axis=1)
