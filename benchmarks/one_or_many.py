"""One model per lattice or one for all: each shipped model on the lattices of all the others.

The method's own claim: a network trained on one crystal at any rotation learns its periodicity and fails on others,
one trained on lattices of every symmetry does not. Here each image is first brought to the scale at which the model
finds its neighbours' distance, which takes away much of the difference; what remains is measured. F1 of positions
at 300 electrons per column on multislice images of `benchmarks/validation/` and the scoring kit, none of them in any
training set.

    python benchmarks/one_or_many.py
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from detection import atomnb_finder, materials
from record import write_result
from scoring import score_material

LATTICES = {
    "graphene": ("graphene_sw", "g_si"),
    "dichalcogenide": ("wse2", "mos2"),
    "perovskite": ("srtio3", "pbtio3"),
    "dumbbell": ("gaas110", "si110", "cdte110"),
    "fcc and hcp metal": ("au001", "cu_sigma5", "mg1120"),
    "rutile and 1T'": ("tio2_001", "wte2"),
}
"""Test materials by lattice; the last two are in no model's training but the universal one's, as shapes."""

DOSE = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import atomnb

    known = materials(())
    matrix = {}
    for card in atomnb.list_models():
        find = atomnb_finder(card.name, pixel_size_given=True)
        row = {}
        for lattice, names in LATTICES.items():
            tallies = [score_material(find, known[n][1], DOSE, range(options.seeds)) for n in names if n in known]
            row[lattice] = float(np.mean([t.f1 for t in tallies]))
        matrix[card.name] = row
        print(f"{card.name:<14}", "  ".join(f"{k}: {v:.3f}" for k, v in row.items()), flush=True)
    table = {
        "columns": [f"F1 at {DOSE} electrons per column", *LATTICES],
        "rows": [[name, *(f"{v:.3f}" for v in row.values())] for name, row in matrix.items()],
    }
    if not options.dry:
        write_result("one_or_many", {"matrix": matrix, "table": table})


if __name__ == "__main__":
    main()
