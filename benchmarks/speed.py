"""Time from a frame in memory to the refined table: atomnb, AtomAI and atomap in one run, taking turns.

A 512 × 512 frame with 1024 columns, two threads. Ours is the whole of `analyze` (scale, network, peaks,
refinement, errors); AtomAI's is its U-Net without its own peak search, then its refinement of the same peaks;
atomap's is its refinement alone, per atom. Needs `python benchmarks/setup_peers.py` once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # before torch loads, for the peers' process too

from record import ROOT, write_result  # noqa: E402
from setup_peers import peers_python  # noqa: E402

SIDE = 512
COLUMNS_PER_SIDE = 32
PIXEL_SIZE = 0.14
SIGMA_PX = 2.4
COUNTS = 1000
JITTER_PX = 0.5


def frame(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A square lattice of 1024 Gaussian columns with displacements and Poisson noise; image and positions."""
    rng = np.random.default_rng(seed)
    step = SIDE / COLUMNS_PER_SIDE
    grid = (np.arange(COLUMNS_PER_SIDE) + 0.5) * step - 0.5
    yx = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    yx = yx + rng.normal(0, JITTER_PX, yx.shape)
    axis = np.arange(SIDE)
    rows = np.exp(-((axis - yx[:, :1]) ** 2) / (2 * SIGMA_PX**2))
    cols = np.exp(-((axis - yx[:, 1:]) ** 2) / (2 * SIGMA_PX**2))
    expected = COUNTS / (2 * np.pi * SIGMA_PX**2) * (rows.T @ cols) + 1.0
    return rng.poisson(expected).astype(np.float32), yx


class Peers:
    """The peers' process; ask it for one timing at a time."""

    def __init__(self, path: Path) -> None:
        script = Path(__file__).with_name("peer_timing.py")
        self._process = subprocess.Popen(
            [str(peers_python()), str(script), str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.versions = self._answer()["ready"]

    def time(self, name: str) -> dict[str, float]:
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the peers' process ended: run benchmarks/setup_peers.py and try peer_timing.py alone")
        return json.loads(line)


def time_ours(image: np.ndarray, model: str) -> dict[str, float]:
    import atomnb

    start, processor = time.perf_counter(), time.process_time()
    found = atomnb.analyze(image, model=model, pixel_size=PIXEL_SIZE)
    seconds = time.perf_counter() - start
    return {
        "total_s": seconds,
        "cpu_s": time.process_time() - processor,
        "atoms": len(found.atoms),
        "per_atom_s": seconds / max(len(found.atoms), 1),
    }


def time_our_refinement(image: np.ndarray, peaks_yx: np.ndarray) -> dict[str, float]:
    """The part of ours that atomap's refinement is to be compared with."""
    from atomnb.locate.refine import refine_positions

    start = time.perf_counter()
    refine_positions(image, peaks_yx)
    seconds = time.perf_counter() - start
    return {"total_s": seconds, "atoms": len(peaks_yx), "per_atom_s": seconds / len(peaks_yx)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="universal")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(THREADS)
    image, yx = frame()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npz"
        np.savez(path, image=image, peaks_yx=np.round(yx))
        peers = Peers(path)
        raw: dict[str, list[dict]] = {"atomnb": [], "atomnb_refinement": [], "atomai": [], "atomap": []}
        for turn in range(options.repeats + 1):
            taken = {"atomnb": time_ours(image, options.model)}
            taken["atomnb_refinement"] = time_our_refinement(image, np.round(yx))
            taken["atomai"] = peers.time("atomai")
            if turn <= 2:  # it takes half a minute
                taken["atomap"] = peers.time("atomap")
            if turn:  # the first turn warms caches up
                for name, value in taken.items():
                    raw[name].append(value)
        versions = peers.versions
        peers.close()
    write_or_print(summary(raw), raw, versions, dry=options.dry)


def summary(raw: dict[str, list[dict]]) -> dict[str, float]:
    ours = median(t["total_s"] for t in raw["atomnb"])
    atomai = median(t["total_s"] for t in raw["atomai"])
    per_atom = median(t["per_atom_s"] for t in raw["atomnb"])
    refinement = median(t["per_atom_s"] for t in raw["atomnb_refinement"])
    atomap = median(t["per_atom_s"] for t in raw["atomap"])
    return {
        "atomnb_s": ours,
        "atomnb_per_atom_ms": 1e3 * per_atom,
        "atomnb_refinement_per_atom_ms": 1e3 * refinement,
        "atoms_found": raw["atomnb"][0]["atoms"],
        "atomai_s": atomai,
        "atomai_predict_s": median(t["predict_s"] for t in raw["atomai"]),
        "atomai_refine_s": median(t["refine_s"] for t in raw["atomai"]),
        "atomap_per_atom_ms": 1e3 * atomap,
        "cpu_ratio_to_atomai": median(t["cpu_s"] for t in raw["atomai"]) / median(t["cpu_s"] for t in raw["atomnb"]),
        "faster_than_atomai": atomai / ours,
        "faster_than_atomap_per_atom": atomap / per_atom,
        "refinement_faster_than_atomap": atomap / refinement,
    }


def write_or_print(values: dict[str, float], raw, versions, *, dry: bool) -> None:
    for name, value in values.items():
        print(f"{name:<30} {value:.4g}")
    rows = [
        ["atomnb, image → refined table with errors", values["atomnb_s"], values["atomnb_per_atom_ms"], 1.0],
        ["atomnb, its refinement alone", None, values["atomnb_refinement_per_atom_ms"], None],
        [
            f"AtomAI {versions['atomai']}, U-Net + peak refinement", values["atomai_s"],
            1e3 * values["atomai_s"] / raw["atomai"][0]["atoms"], values["faster_than_atomai"],
        ],
        [
            f"atomap {versions['atomap']}, 2-D Gaussian refinement alone", None, values["atomap_per_atom_ms"],
            values["faster_than_atomap_per_atom"],
        ],
    ]  # fmt: skip
    table = {"columns": ["512² frame, 1024 columns, two threads", "s", "ms per atom", "times ours"], "rows": rows}
    if not dry:
        values = {"threads": THREADS, "summary": values, "raw": raw, "peers": versions, "table": table}
        write_result("speed", values)


if __name__ == "__main__":
    main()
