"""A model of one lattice from nothing in ten minutes on two cores: train, then find columns it never saw.

Trains the recipe's network for a short, fixed number of steps and scores it like `named_columns.py`, on multislice
images at 300 electrons per column. Beside the seconds stands the processor time of training and simulating together;
on a busy machine half of it is what two idle cores would take at least.

    python benchmarks/ten_minute_model.py
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from dataclasses import replace

import dumbbell
import perovskite
import torch
from detection import materials
from named_columns import judged
from record import write_result

from atomnb.locate.calibrate import fit_calibration
from atomnb.nets.checkpoint import Model
from atomnb.nets.registry import create_net
from atomnb.train.cards import model_card
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import Recipe, recipe

DOSE = 300
STEPS = 300
NAMES = {"dumbbell": dumbbell.NAMES, "perovskite": perovskite.NAMES}


def trained(name: str, steps: int, threads: int) -> tuple[torch.nn.Module, dict[str, float]]:
    """The network after `steps` of the recipe's last scenes, and what it took."""
    chosen: Recipe = recipe(name)
    config = TrainConfig(steps=steps, warmup_steps=100, decay_share=0.5, ema_decay=0.99)
    net = create_net(chosen.net, {"n_classes": len(chosen.classes)}, seed=0)

    def batches(first: int):
        return stream_batches([(0, chosen.curriculum[-1][1])], batch_size=config.batch_size, seed=0, start=first)

    def report(record: dict) -> None:
        print(f"step {record['step']}  loss {record['loss']:.4f}  {time.perf_counter() - began:.0f} s", flush=True)

    torch.set_num_threads(threads)
    began, processor = time.perf_counter(), _processor_s()
    net = fit(net, batches, config=config, on_log=report).net
    return net, {"seconds": time.perf_counter() - began, "processor_seconds": _processor_s() - processor}


def _processor_s() -> float:
    """Of this process and the simulating ones that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(p.ru_utime + p.ru_stime for p in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="dumbbell", choices=sorted(NAMES))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    net, cost = trained(options.recipe, options.steps, options.threads)
    cost["load_average"] = os.getloadavg()[0]
    scenes = recipe(options.recipe).curriculum[-1][1]
    on_lattice = fit_calibration(net, replace(scenes, share_sparse=0.0), batches=6)
    card = model_card(options.recipe, net, calibration={"lattice": on_lattice, "single": on_lattice})
    known, rows = materials(()), []
    for material, names in NAMES[options.recipe].items():
        if material in known:
            row = judged(known[material][1], DOSE, Model(net, card), names)
            rows.append({"material": material} | row)
            print(material, f"F1 {row['f1']:.4f}, named right {row['named_right']:.3f}", flush=True)
    print(cost)
    table = {
        "columns": [f"{options.recipe} model from nothing, {options.steps} steps, two cores", "measured", "target"],
        "rows": [
            [f"minutes, at a load of {cost['load_average']:.0f}", f"{cost['seconds'] / 60:.1f}", "≤ 10"],
            ["processor minutes", f"{cost['processor_seconds'] / 60:.1f}", "–"],
            *[[f"F1 at {DOSE} electrons, {r['material']}", f"{r['f1']:.3f}", "≥ 0.98"] for r in rows],
        ],
    }
    if not options.dry:
        write_result("ten_minute_model", {"cost": cost, "rows": rows, "table": table})


if __name__ == "__main__":
    main()
