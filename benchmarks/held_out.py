"""How often the scenes of the models hold a defect that `unseen_defects.py` calls unseen: it must be never.

`tmd`: V_MX3 is a metal gone, and one chalcogen of each column round it; V_MX6 a metal and all six of them. A scene
counts when such a cluster stands by itself: all six metals round it are there. `graphene-si`: Stone-Wales and 5-8-5,
told by the rings of the defects that `find_defects` sees among the scene's own atoms.

    python benchmarks/held_out.py
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from record import write_result
from scipy.spatial import cKDTree

from atomnb.graph.defects import find_defects
from atomnb.simulate.layout import Layout
from atomnb.simulate.materials import draw_layout
from atomnb.simulate.materials.graphene_si import LABELS
from atomnb.simulate.materials.tmd import METAL, SINGLE, VACANCY
from atomnb.train.recipes import recipe

NEXT = 1.25
"""Spacings within which the neighbours of a site lie."""

BOND_ANGSTROM = 1.42
RINGS = {"Stone-Wales": [5, 5, 7, 7], "5-8-5": [5, 5, 8]}
"""Rings of the defects of graphene that `graphene-si` is judged by."""


def clusters(layout: Layout) -> list[bool]:
    """Whether a scene of `tmd` holds a V_MX3, and a V_MX6.

    The site of a metal is told by what is round it: single chalcogens, or empty sites that have metal beyond them.
    """
    tree = cKDTree(layout.positions_yx)
    near = [set(row) for row in tree.query_ball_point(layout.positions_yx, NEXT * layout.spacing)]
    three, six = False, False
    for centre in np.flatnonzero(layout.label == VACANCY):
        around = near[centre] - {centre}
        beyond = set().union(*(near[i] for i in around)) - around - {centre}
        if len(around) != 3 or list(layout.label[list(beyond)]) != 6 * [METAL]:
            continue
        three |= bool((layout.label[list(around)] == SINGLE).all())
        six |= bool((layout.label[list(around)] == VACANCY).all())
    return [three, six]


def rings(layout: Layout) -> list[bool]:
    """Whether a scene of `graphene-si` holds each of RINGS, without silicon in it."""
    atoms = layout.label >= 0
    species = np.array(LABELS)[layout.label[atoms]]
    scale = BOND_ANGSTROM / layout.spacing
    found = find_defects(layout.positions_yx[atoms], rules="graphene", species=species, pixel_size=scale)
    pure = found[~found["formula"].str.contains("Si")]
    return [any(sorted(r) == wanted for r in pure["rings"]) for wanted in RINGS.values()]


JUDGED = {"tmd": (clusters, ("V_MX3", "V_MX6"), 6000), "graphene-si": (rings, tuple(RINGS), 1500)}
"""By model: what looks for the defects, their names, and scenes looked at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, help="instead of the usual numbers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, raw = [], {}
    for model, (look, names, usual) in JUDGED.items():
        scenes, n = recipe(model).curriculum[-1][1], options.scenes or usual
        found = np.array([look(draw_layout(np.random.default_rng(seed), scenes)) for seed in range(n)])
        raw[model] = {"scenes": n, "seeds": {k: np.flatnonzero(f) for k, f in zip(names, found.T, strict=True)}}
        rows += [[name, f"`{model}`", f"{hit.sum()} of {n}"] for name, hit in zip(names, found.T, strict=True)]
        print(rows[-2:], raw[model]["seeds"], flush=True)
    table = {"columns": ["Defects kept to judge by", "model", "scenes of its training that hold one"], "rows": rows}
    write_result("held_out", {**raw, "table": table})


if __name__ == "__main__":
    main()
