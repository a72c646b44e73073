"""Class averages of identical defects: how exact the mean bonds are, and whether their stated errors hold.

    python benchmarks/class_averages.py [--quick]

Writes benchmarks/results/class_averages.json. Three-fold silicon in a piece of graphene (all atoms within 5 Å),
turned by random angles, every other copy mirrored; Gaussian columns (σ 0.4 Å), 300 electrons per carbon, 1260 per
silicon, Poisson counts, 0.12 Å per pixel; positions by `refine_positions` from starts 0.4 px off. Then
`average_class` over n copies against the true bond lengths. The defects are identical and the columns are what the
fit supposes: this is what counting noise leaves; distortions of a real scan and the tails of a real probe come on
top.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from localisation import render
from record import write_result

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from atomnb.graph.averages import average_class
from atomnb.graph.geometry import bond_lengths
from atomnb.graph.matching import Placement, match_structures
from atomnb.graph.record import DefectRecord
from atomnb.locate.refine import refine_positions
from atomnb.simulate.structures import create_structure

PIXEL, TILE, ELECTRONS = 0.12, 120, {"C": 300.0, "Si": 1260.0}
"""Å, px, and electrons per column."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few copies, results not written")
    quick = parser.parse_args().quick
    shape, species, pairs = defect()
    records = [r for seed in range(1 if quick else 8) for r in copies(shape, species, pairs, seed, 4 if quick else 10)]
    sizes = (4, 8) if quick else (25, 100, 400)
    rows = [judged(records, n, shape, species) for n in sizes]
    values = {"averages": rows, "table": table(rows)}
    for row in rows:
        print(row)
    if not quick:
        print(write_result("class_averages", values))


def defect() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (N, 2) Å about the silicon, species and bonds of the true defect."""
    columns = create_structure("graphene-si", size_angstrom=(25, 25), seed=1, options={"three_fold": 1}).columns()
    silicon = columns.positions_yx[columns.content == "Si"][0]
    near = np.hypot(*(columns.positions_yx - silicon).T) < 5
    yx, species = columns.positions_yx[near] - silicon, columns.content[near]
    gap = np.hypot(*(yx[:, None] - yx[None]).T)
    pairs = np.argwhere(np.triu((gap < 1.8) & (gap > 0)))
    return yx, species, pairs


def copies(shape, species, pairs, seed: int, side: int) -> list[DefectRecord]:
    """side² copies from one image."""
    rng = np.random.default_rng(seed)
    corners = TILE * np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    turns = [
        Placement(
            rng.uniform(-np.pi, np.pi), bool(k % 2), np.full(2, (TILE - 1) / 2 * PIXEL) + rng.uniform(-0.5, 0.5, 2)
        )
        for k in range(len(corners))
    ]
    truth = np.concatenate([t.apply(shape) / PIXEL + c for t, c in zip(turns, corners, strict=True)])
    counts = np.tile([ELECTRONS[s] for s in species], len(corners))
    size = (side * TILE,) * 2
    rate = sum(
        render(truth[counts == value], 0.4 / PIXEL, value, size, background)
        for value, background in ((ELECTRONS["C"], 0.1), (ELECTRONS["Si"], 0.0))
    )
    image = rng.poisson(rate).astype(np.float32)
    found = refine_positions(image, truth + rng.normal(0, 0.4, truth.shape))
    places = found.positions_yx.reshape(len(corners), -1, 2) - corners[:, None]
    errors = found.errors_yx.reshape(places.shape)
    return [
        DefectRecord(
            image[y : y + TILE, x : x + TILE], place * PIXEL, species, pairs, "Si1C3", PIXEL, errors_yx=error * PIXEL,
            counted=np.hypot(*shape.T) < 2,
        )
        for (y, x), place, error in zip(corners, places, errors, strict=True)
    ]  # fmt: skip


def judged(records, n: int, shape, species) -> dict:
    """Errors of the mean bonds over as many averages of n copies as there are records for."""
    off, pulls, stated, silicon, used = [], [], [], [], 0
    start = time.perf_counter()
    averages = [average_class(records[k : k + n], mirror=True) for k in range(0, len(records) - n + 1, n)]
    seconds = (time.perf_counter() - start) / len(averages)
    for average in averages:
        match = match_structures(average.positions_yx, average.species, shape, species)
        partner = dict(match.pairs.tolist())
        true = bond_lengths(shape, [[partner[k] for k in pair] for pair in average.pairs]).value
        difference = average.bonds["length"].to_numpy() - true
        off.append(difference)
        pulls.append(difference / average.bonds["error"].to_numpy())
        stated.append(average.bonds["error"].to_numpy())
        silicon.append([any(average.species[k] == "Si" for k in pair) for pair in average.pairs])
        used += len(average.used)
    off, pulls, stated, silicon = (np.concatenate(part) for part in (off, pulls, stated, silicon))
    return {
        "copies": n, "averages": len(averages), "used_share": used / (n * len(averages)),
        "rmse_bond_pm": 100 * float(np.sqrt((off**2).mean())),
        "rmse_silicon_bond_pm": 100 * float(np.sqrt((off[silicon] ** 2).mean())),
        "stated_bond_pm": 100 * float(np.median(stated)),
        "inside_68": float((np.abs(pulls) < 1).mean()), "seconds_per_average": seconds,
    }  # fmt: skip


def table(rows) -> dict:
    """For README."""
    return {
        "columns": ["identical defects averaged", "error of a mean bond (pm)", "of a Si–C bond (pm)",
                    "stated error (pm)", "inside the stated 68 %"],
        "rows": [
            [row["copies"], f"{row['rmse_bond_pm']:.2f}", f"{row['rmse_silicon_bond_pm']:.2f}",
             f"{row['stated_bond_pm']:.2f}", f"{row['inside_68']:.0%}"]
            for row in rows
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
