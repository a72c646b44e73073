"""One model per lattice or one for all: each shipped model on the lattices of all the others.

The method's own claim: a network trained on one crystal at any rotation learns its periodicity and fails on others,
one trained on lattices of every symmetry does not. F1 of positions at 300 electrons per column on multislice images of
`benchmarks/validation/` and the scoring kit, none of them in any training set, in two ways:

- as `analyze` does it: each image is first brought to the zoom, of several tried, at which the model sees it best. That
  takes away much of the difference, because at some zoom part of one lattice looks like part of another.
- at a fixed scale: neighbours 7 px apart, as in the training of all models, and no search. Here a model can only use
  the lattice that it knows.

    python benchmarks/one_or_many.py
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
from detection import Finder, atomnb_finder, materials
from record import write_result
from scoring import Frame, score_material

from atomnb.locate.detect import detect_atoms
from atomnb.locate.zoom import Zoom
from atomnb.nets.checkpoint import WEIGHTS_DIR, list_models, load_model
from atomnb.resample import to_input

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

FIXED_SPACING = 7.0
"""px between neighbours, of the network's input."""


def fixed_scale_finder(name: str) -> Finder:
    """The model's columns with neighbours brought to `FIXED_SPACING`, positions as the network gives them."""
    model = load_model(name)

    def find(frame: Frame) -> np.ndarray:
        zoom = Zoom(FIXED_SPACING / frame.spacing, True, [])
        image = np.asarray(frame.image, np.float32)
        found = detect_atoms(image, model, zoom)
        return to_input(found.peaks.positions_yx, image.shape, found.probability.shape[1:])

    return find


def matrix_row(find: Finder, known, seeds: int) -> dict[str, float]:
    """Mean F1 by lattice."""
    return {
        lattice: float(np.mean([score_material(find, known[n][1], DOSE, range(seeds)).f1 for n in names if n in known]))
        for lattice, names in LATTICES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    known = materials(())
    matrix = {"zoom searched": {}, "fixed scale": {}}
    for card in list_models(WEIGHTS_DIR):
        finders = atomnb_finder(card.name, pixel_size_given=True), fixed_scale_finder(card.name)
        for (way, rows), find in zip(matrix.items(), finders, strict=True):
            rows[card.name] = matrix_row(find, known, options.seeds)
            row = "  ".join(f"{k}: {v:.3f}" for k, v in rows[card.name].items())
            print(f"{card.name:<14} {way:<14} {row}", flush=True)
    table = {
        "columns": [f"F1 at {DOSE} electrons per column", *LATTICES],
        "rows": [
            [f"{name}, {way}", *(f"{v:.3f}" for v in row.values())]
            for way, rows in matrix.items()
            for name, row in rows.items()
        ],
    }
    if not options.dry:
        write_result("one_or_many", {"matrix": matrix, "table": table})


if __name__ == "__main__":
    main()
