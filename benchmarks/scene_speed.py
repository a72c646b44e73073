"""How many training scenes one core simulates in a second, by model.

Each scene is shown twice in training (mirrored), so a core feeds twice as many images to the loop. Processor time, so
that what else runs on the machine does not count.

    python benchmarks/scene_speed.py
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch
from record import write_result

from atomnb.simulate.batch import random_batch
from atomnb.train.loop import TrainConfig
from atomnb.train.patches import USES_PER_BATCH
from atomnb.train.recipes import RECIPES

BATCHES = 10


def scenes_per_second(name: str, seed: int) -> float:
    """Of the last stage of a model's recipe, in processor time."""
    config, size = RECIPES[name].curriculum[-1][1], TrainConfig().batch_size
    random_batch(np.random.default_rng(seed), size, config)
    started = time.process_time()
    for number in range(BATCHES):
        random_batch(np.random.default_rng([seed, number]), size, config)
    return size * BATCHES / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    raw = {name: [scenes_per_second(name, seed) for seed in range(options.repeats)] for name in RECIPES}
    rows = [[f"`{name}`", round(median(v)), round(USES_PER_BATCH * median(v))] for name, v in raw.items()]
    print(rows)
    columns = ["training scenes of 128², one core", "scenes/s", "images/s fed to the loop"]
    write_result("scene_speed", {"raw": raw, "table": {"columns": columns, "rows": rows}})


if __name__ == "__main__":
    main()
