"""The recipe of the universal model, as one command: `python -m atomnb.train --run runs/universal`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from atomnb.nets.registry import create_net
from atomnb.simulate.layout import SceneConfig
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.patches import stream_batches

CURRICULUM = (
    (0, SceneConfig()),
    # Once the shapes are learnt, what is left to learn is in the noise, and in more of the lattice seen at once.
    (
        4800,
        SceneConfig(
            typical_spacing=7.5,
            spacing=(4.9, 20.0),
            sigma=(0.95, 4.0),
            share_low_dose=0.5,
            share_crystal=0.46,
            share_sparse=0.10,
        ),
    ),
    # Single atoms on a rough support: call only what stands out of the roughness.
    (
        5300,
        SceneConfig(
            typical_spacing=7.5,
            spacing=(4.9, 20.0),
            sigma=(0.95, 4.0),
            visible_over_texture=3.2,
            share_low_dose=0.5,
            share_crystal=0.46,
            share_sparse=0.16,
        ),
    ),
    # The hardest last: dense lattices at the lowest doses.
    (
        8900,
        SceneConfig(
            typical_spacing=7.0,
            spacing=(4.9, 20.0),
            sigma=(0.95, 4.0),
            visible_over_texture=3.2,
            share_low_dose=0.6,
            low_dose=(25.0, 180.0),
            share_crystal=0.52,
            share_honeycomb=0.3,
            share_sparse=0.16,
        ),
    ),
)


def main() -> None:
    """Train, printing a line every 50 steps; run again with the same folder to go on after an interruption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/universal"), help="folder of checkpoints")
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = TrainConfig(steps=options.steps)

    def batches(start: int):
        return stream_batches(CURRICULUM, batch_size=config.batch_size, seed=config.seed, start=start)

    def report(record: dict) -> None:
        print(
            "step {step:6d}  loss {loss:.5f}  rate {learning_rate:.5f}  {images_per_second:.0f} images/s".format(
                **record
            ),
            flush=True,
        )

    fit(create_net("unet"), batches, config=config, run_dir=options.run, device=options.device, on_log=report)


if __name__ == "__main__":
    main()
