"""A fingerprint of how atoms are bonded: isomers apart, rotations and reflections together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np

from atomnb.errors import AtomnbError

SHORT = 4
"""Hexadecimal digits of the short form."""


def topology_hash(labels: Sequence[str], pairs, rings: Iterable[Sequence[int]] = ()) -> str:
    """Fingerprint of the graph of labelled atoms, their bonds, and the rings they form.

    The graph has a vertex for each atom, coloured by its label, and one for each ring, coloured by its size; bonds join
    atoms, and each ring is joined to its atoms. Its canonical form is that of BLISS (T. Junttila and P. Kaski,
    ALENEX 2007, 135): two graphs have the same one exactly if they are isomorphic with their colours. Numbering,
    rotation and reflection therefore change nothing, another arrangement of the same atoms does. The rings tell apart
    what bonds alone do not: the same molecule drawn with another atom inside.

    Parameters
    ----------
    labels : (n,) str
        Name of each atom.
    pairs : (E, 2) int
        Bonds, as numbers of atoms.
    rings : sequences of int
        Atoms of each ring, in any order; an atom that the walk round the ring meets twice stands in it twice.

    Returns
    -------
    str
        16 hexadecimal digits (BLAKE2b of the canonical form); `short_form` gives the first four.

    Raises
    ------
    AtomnbError
        If there is no atom, or a pair or ring names one that does not exist.

    Examples
    --------
    >>> hexagon = [(i, (i + 1) % 6) for i in range(6)]
    >>> ortho, meta, also_ortho = (
    ...     topology_hash(["Si" if i in where else "C" for i in range(6)], hexagon, [range(6)])
    ...     for where in ((0, 1), (0, 2), (5, 0))
    ... )
    >>> ortho == also_ortho, ortho == meta
    (True, False)
    """
    from igraph import Graph

    names = [str(label) for label in labels]
    members = [np.asarray(list(ring), np.int64) for ring in rings]
    edges = np.unique(np.sort(np.asarray(pairs, np.int64).reshape(-1, 2), axis=1), axis=0)
    _check(len(names), edges, members)
    spokes = [(atom, len(names) + r) for r, ring in enumerate(members) for atom in np.unique(ring).tolist()]
    colours = [f"atom {name}" for name in names] + [f"ring {len(ring)}" for ring in members]
    rank = {colour: k for k, colour in enumerate(sorted(set(colours)))}
    joined = [*map(tuple, edges[edges[:, 0] != edges[:, 1]].tolist()), *spokes]
    graph = Graph(n=len(colours), edges=joined, vertex_attrs={"colour": colours})
    # permute_vertices and not the permutation itself: igraph has changed which way round it is to be read
    canonical = graph.permute_vertices(graph.canonical_permutation(color=[rank[colour] for colour in colours]))
    ends = sorted(sorted(edge) for edge in canonical.get_edgelist())
    form = json.dumps([canonical.vs["colour"], ends], separators=(",", ":"))
    return hashlib.blake2b(form.encode(), digest_size=8).hexdigest()


def short_form(topology: str) -> str:
    """The first four digits, as they stand in names such as 'Si2C5#a1c2'."""
    return topology[:SHORT]


def _check(n_atoms: int, edges: np.ndarray, members: list[np.ndarray]) -> None:
    if not n_atoms:
        raise AtomnbError("labels is empty: a topology needs at least one atom.")
    named = np.concatenate([edges.ravel(), *members])
    if len(named) and (named.min() < 0 or named.max() >= n_atoms):
        wrong = np.unique(named[(named < 0) | (named >= n_atoms)])[:5].tolist()
        raise AtomnbError(f"pairs and rings must name atoms 0 to {n_atoms - 1}, those with a label; got {wrong}.")
