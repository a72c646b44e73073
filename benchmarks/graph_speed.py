"""Time of graphs and defects against the number of atoms: bonds, rings, and every defect named.

Graphene with an error of 0.05 Å per coordinate in which every hundredth atom is missing. Each size is run three times;
the least time counts, on the clock and on the processor: on a busy machine the latter is what the code needs.

    python benchmarks/graph_speed.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from record import write_result

from atomnb.data.atoms import AtomTable
from atomnb.graph.defects import find_defects
from atomnb.graph.rings import find_rings
from atomnb.graph.rules import load_rules
from atomnb.graph.structure import build_graph

SIZES = (10_000, 30_000, 100_000, 300_000)
PIXEL_SIZE = 0.1
CONSTANT = 2.46
ERROR = 0.05
VACANT = 0.01


def graphene(n_atoms: int, seed: int = 0) -> AtomTable:
    """About `n_atoms` carbon atoms with vacancies and errors, as a finder would give them."""
    side = round((n_atoms / 4 / (1 - VACANT)) ** 0.5)
    height, third = CONSTANT * 3**0.5, CONSTANT / 3**0.5
    motif = np.array([[0, 0], [third, 0], [height / 2, CONSTANT / 2], [height / 2 + third, CONSTANT / 2]])
    origins = np.stack(np.meshgrid(np.arange(side) * height, np.arange(side) * CONSTANT, indexing="ij"), -1)
    points = (origins.reshape(-1, 1, 2) + motif).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    points = (points + rng.normal(0, ERROR, points.shape))[rng.random(len(points)) > VACANT]
    table = AtomTable.from_positions(points / PIXEL_SIZE, pixel_size=PIXEL_SIZE)
    errors = {"species": "C", "y_err": ERROR / PIXEL_SIZE, "x_err": ERROR / PIXEL_SIZE}
    return AtomTable(table.df.assign(**errors), PIXEL_SIZE)


def timed(work) -> tuple[float, float]:
    """Least seconds of three runs, on the clock and on the processor."""
    clock, processor = [], []
    for _ in range(3):
        start, busy = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return min(clock), min(processor)


def measure(n_atoms: int) -> dict:
    """Times of the steps for one size."""
    atoms, rules = graphene(n_atoms), load_rules("graphene")
    graph = build_graph(atoms, rules=rules)
    steps = {
        "graph": lambda: build_graph(atoms, rules=rules),
        "rings": lambda: find_rings(graph.positions_yx, graph.neighbors),
        "defects": lambda: find_defects(atoms, rules=rules),
    }
    times = {name: timed(work) for name, work in steps.items()}
    return {
        "atoms": len(atoms),
        "defects": len(find_defects(atoms, rules=rules)),
        "seconds": {name: clock for name, (clock, _) in times.items()},
        "cpu_seconds": {name: busy for name, (_, busy) in times.items()},
    }


def exponent(runs: list[dict]) -> float:
    """Power of the number of atoms by which the time of all steps on the processor grows."""
    atoms = np.log([run["atoms"] for run in runs])
    return float(np.polyfit(atoms, np.log([run["cpu_seconds"]["defects"] for run in runs]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of atoms")
    runs = [measure(n) for n in parser.parse_args().sizes]
    columns = ["atoms", "defects", "bonds and rings, s", "all, named, s", "all, named, CPU s"]
    rows = [
        [
            run["atoms"],
            run["defects"],
            round(run["seconds"]["graph"], 2),
            round(run["seconds"]["defects"], 2),
            round(run["cpu_seconds"]["defects"], 2),
        ]
        for run in runs
    ]
    grows = exponent(runs) if len(runs) > 1 else None
    path = write_result("graph_speed", {"runs": runs, "exponent": grows, "table": {"columns": columns, "rows": rows}})
    print(*rows, f"time grows as atoms^{grows:.2f}" if grows else "", path, sep="\n")


if __name__ == "__main__":
    main()
