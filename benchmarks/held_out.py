"""How often the scenes of `tmd` hold a defect that `unseen_defects.py` calls unseen: it must be never.

V_MX3 is a metal gone, and one chalcogen of each column round it; V_MX6 a metal and all six of them. A scene counts when
such a cluster stands by itself: all six metals round it are there.

    python benchmarks/held_out.py
"""

from __future__ import annotations

import argparse

import numpy as np
from record import write_result
from scipy.spatial import cKDTree

from atomnb.simulate.layout import Layout
from atomnb.simulate.materials import draw_layout
from atomnb.simulate.materials.tmd import METAL, SINGLE, VACANCY
from atomnb.train.recipes import recipe

NEXT = 1.25
"""Spacings within which the neighbours of a site lie."""


def clusters(layout: Layout) -> tuple[bool, bool]:
    """Whether the layout holds a V_MX3, and a V_MX6.

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
    return three, six


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=6000)
    options = parser.parse_args()
    scenes = recipe("tmd").curriculum[-1][1]
    found = np.array([clusters(draw_layout(np.random.default_rng(seed), scenes)) for seed in range(options.scenes)])
    share = found.mean(axis=0)
    rows = [[name, f"{100 * one:.2f} %"] for name, one in zip(("V_MX3", "V_MX6"), share, strict=True)]
    print(rows)
    table = {"columns": ["Clusters kept to judge by", "scenes of `tmd` that hold one"], "rows": rows}
    write_result("held_out", {"scenes": options.scenes, "share": share, "table": table})


if __name__ == "__main__":
    main()
