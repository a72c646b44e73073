"""From a finished run to a model in the package: scores calibrated on fresh scenes, card with the measured accuracy.

python -m atomnb.train tmd
python benchmarks/ship_model.py tmd                            into atomnb/nets/weights
python benchmarks/ship_model.py tmd --folder FOLDER            somewhere else, to try it first
python benchmarks/ship_model.py tmd --accuracy-only            the card alone, after new benchmarks
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from record import RESULTS, read_result

from atomnb.locate.calibrate import fit_calibration
from atomnb.locate.outshone import BESIDE
from atomnb.nets.checkpoint import WEIGHTS_DIR, read_card, save_model
from atomnb.nets.registry import create_net
from atomnb.simulate.materials import MATERIALS
from atomnb.train.cards import model_card
from atomnb.train.recipes import RECIPES, recipe
from atomnb.train.rundir import shipped_weights

UNIVERSAL, ENSEMBLE = "universal", "universal-ensemble"
"""Models that find the atoms of any lattice; the ensemble is made by `make_ensemble.py`, here only its card is."""

BATCHES = 12
"""Batches of 16 scenes that calibrate the scores."""


def calibration(net, name: str) -> dict[str, tuple[float, float]]:
    """Of atoms on lattices, of single atoms on a support where the recipe has such scenes, and of those beside a class
    that outshines them."""
    scenes = replace(recipe(name).curriculum[-1][1], share_stm=0.0)
    on_lattice = fit_calibration(net, replace(scenes, share_sparse=0.0), batches=BATCHES)
    if scenes.material:
        fitted = {"lattice": on_lattice, "single": on_lattice}
        if bright := MATERIALS[scenes.material].outshining:
            kind = recipe(name).classes.index(bright)
            fitted[BESIDE + bright] = fit_calibration(net, scenes, batches=4 * BATCHES, beside=kind)
        return fitted
    alone = replace(
        scenes, share_sparse=1.0, share_crystal=0.0, share_random_crystal=0.0, share_polycrystal=0.0, share_network=0.0
    )
    return {"lattice": on_lattice, "single": fit_calibration(net, alone, batches=BATCHES)}


def accuracy(name: str) -> dict[str, str]:
    """What the benchmarks in `benchmarks/results` say of the model."""
    if name in (UNIVERSAL, ENSEMBLE):
        result = "detection" if name == UNIVERSAL else f"detection_{name}"
        return {
            "source": f"benchmarks/results/{result}.json: multislice materials never trained on, pixel size given"
        } | {
            f"{s['dose']} electrons per column": f"F1 mean {s['f1_mean']:.3f}, worst {s['f1_worst']:.3f} "
            f"({s['worst_material']}), vacancies filled {s['vacancies_filled']} of {s['vacancies']}"
            for s in read_result(result)["values"]["summary"]
            if s["pixel_size"] == "given"
        }
    path = RESULTS / f"{name.replace('-', '_')}.json"
    if not path.exists():
        return {}
    table = read_result(path.stem)["values"]["table"]
    heads = table["columns"][1:]
    said = {row[0]: ", ".join(f"{h} {c}" for h, c in zip(heads, row[1:], strict=True)) for row in table["rows"]}
    return {"source": f"benchmarks/results/{path.name}"} | said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted([*RECIPES, ENSEMBLE]))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, default=WEIGHTS_DIR)
    parser.add_argument("--accuracy-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.accuracy_only:
        path = options.folder / f"{options.model}.json"
        card = replace(read_card(path), accuracy=accuracy(options.model))
        path.write_text(json.dumps(card.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)
        return
    chosen = recipe(options.model)
    net = create_net(chosen.net, {"n_classes": len(chosen.classes)})
    net.load_state_dict(shipped_weights(options.run or Path("runs") / options.model))
    net.eval()
    card = model_card(options.model, net, calibration=calibration(net, options.model), accuracy=accuracy(options.model))
    print(save_model(net, card, options.folder))


if __name__ == "__main__":
    main()
