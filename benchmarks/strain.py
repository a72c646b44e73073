"""Strain measured against planted strain: slope, and whether the stated errors hold, from positions and from images.

    python benchmarks/strain.py [--quick]

Writes benchmarks/results/strain.json. The planted displacement is quadratic in the position, so that every component
of strain and the rotation run linearly, up to 3 %, over the field. *Positions*: 300 Å, noise of unlike, stated errors
(0.5 to 1.5 times the mean) and 3 % vacancies. *Images*: 150 Å, Gaussian columns (σ 0.4 Å) with Poisson counts on a weak
background, analysed by `atomnb.analyze`, nothing told but the pixel size. Reference: the unstrained cell. Coverage is
over all atoms with a value, those at the border and beside vacancies included. The slope is over those with all their
neighbours: where some are missing, the value stands for a place up to half a lattice vector inward (`slope_everywhere`
in the results). The rotation is measured from each grain's mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from localisation import render
from record import write_result
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atomnb
from atomnb.graph.deformation import polar_decomposition
from atomnb.order.strain import COMPONENTS, measure_strain

CELLS = {
    "hexagonal": ([[0, 2.8], [2.425, 1.4]], [[0, 0]]),
    "square": ([[0, 3.9], [3.9, 0]], [[0, 0]]),
    "honeycomb": ([[0, 2.46], [2.13, 1.23]], [[0, 0], [1 / 3, 1 / 3]]),
    "dumbbell [110]": ([[0, 3.84], [5.43, 0]], [[0, 0], [0, 0.25], [0.5, 0.5], [0.5, 0.75]]),
}
"""Cell vectors, rows (y, x) in Å, and sites in fractions of them."""

ANGLE = 0.2
"""Orientation of the lattices, rad."""

PEAK = 0.03
"""Largest planted strain."""

PERIODS = (8, 16, 32, 64)
"""Lengths of strain waves, in lattice vectors, whose transmission is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small fields, results not written")
    quick = parser.parse_args().quick
    side = 80.0 if quick else 300.0
    positions = [
        measure_positions(name, error_pm, side, repeats=1 if quick else 3) for name in CELLS for error_pm in (1, 5)
    ]
    images = [
        measure_images(name, electrons, repeats=1 if quick else 3)
        for name in ("honeycomb", "square", "dumbbell [110]")
        for electrons in (1000, 300)
    ]
    values = {
        "positions": positions, "images": images, "transmission": transmission(), "speed": speed(100 if quick else 465)
    }  # fmt: skip
    values["table"] = table(values)
    for row in values["table"]["rows"]:
        print(*row, sep=" | ")
    print(values["transmission"], values["speed"])
    if not quick:
        print(write_result("strain", values))


def lattice(name: str, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) about the origin in a square of the given side, Å, and the cell (2, 2)."""
    cell, sites = (np.array(part, float) for part in CELLS[name])
    cosine, sine = np.cos(ANGLE), np.sin(ANGLE)
    cell = cell @ np.array([[cosine, -sine], [sine, cosine]])
    n = int(side / 2)
    nodes = np.stack(np.meshgrid(*[np.arange(-n, n)] * 2, indexing="ij"), -1).reshape(-1, 1, 2)
    yx = ((nodes + sites) @ cell).reshape(-1, 2)
    return yx[np.abs(yx).max(axis=1) <= side / 2], cell


def bend(yx: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements quadratic in the position, and the deformation gradients (N, 2, 2)."""
    y, x = yx.T
    c = PEAK / side
    moved = yx + c * np.stack([x**2 / 2 - x * y + y**2, x**2 - 1.5 * x * y - y**2 / 2], axis=1)
    gradient = np.stack([np.stack([2 * y - x, x - y], -1), np.stack([-1.5 * x - y, 2 * x - 1.5 * y], -1)], axis=-2)
    return moved, np.eye(2) + c * gradient


def measure_positions(name: str, error_pm: float, side: float, repeats: int) -> dict:
    """Planted against measured for positions with stated errors."""
    rng = np.random.default_rng([len(name), error_pm])
    yx, cell = lattice(name, side)
    pairs = []
    for _ in range(repeats):
        there = rng.random(len(yx)) > 0.03
        moved, gradients = bend(yx[there], side)
        errors = error_pm / 100 * rng.uniform(0.5, 1.5, moved.shape)
        found = measure_strain(moved + rng.normal(size=moved.shape) * errors, reference=cell, errors_yx=errors)
        pairs.append(compared(found.df, gradients))
    return {"lattice": name, "error_pm": error_pm, "atoms": int(there.sum()), **summary(pairs)}


def measure_images(name: str, electrons: float, repeats: int, *, pixel: float = 0.15, shape=(1024, 1024)) -> dict:
    """Planted against measured from the image on."""
    rng = np.random.default_rng([len(name), electrons, 7])
    side = shape[0] * pixel
    yx, cell = lattice(name, 1.1 * side)
    pairs = []
    for _ in range(repeats):
        moved, gradients = bend(yx + rng.uniform(-1, 1, 2), side)
        truth = moved / pixel + (np.array(shape) - 1) / 2
        image = rng.poisson(render(truth, 0.4 / pixel, electrons, shape, 0.1)).astype(np.float32)
        analysis = atomnb.analyze(image, pixel_size=pixel)
        found = measure_strain(analysis.atoms, reference=cell).df
        gap, nearest = cKDTree(truth).query(found[["y", "x"]])
        right = gap < 0.5 / pixel
        pairs.append(compared(found[right], gradients[nearest[right]]))
    return {"lattice": name, "electrons": electrons, "atoms": len(found), **summary(pairs)}


def compared(df, gradients) -> np.ndarray:
    """(C, 4, N): planted, measured, stated error and whether all neighbours took part, of atoms with a value."""
    truth = polar_decomposition(gradients)
    planted = dict(zip(("eps_yy", "eps_xx", "eps_xy"), truth.strain.T, strict=True)) | {"rotation": truth.rotation}
    known = np.isfinite(df["rotation"]).to_numpy()
    shown = float(known.mean())
    assert shown > 0.9, f"only {shown:.0%} of the atoms have a strain"
    whole = (df["neighbors"] >= df["neighbors"].mode()[0]).to_numpy()
    out = np.array([[planted[c], df[c], df[f"{c}_err"], whole] for c in COMPONENTS])[:, :, known]
    turn = COMPONENTS.index("rotation")
    out[turn, :2] -= np.median(out[turn, :2], axis=1, keepdims=True)
    return out


def summary(pairs: list[np.ndarray]) -> dict:
    """Slopes with their standard errors over the repeats' atoms, coverage and median stated error."""
    planted, measured, error, whole = np.moveaxis(np.concatenate(pairs, axis=2), 1, 0)
    weight = whole * (planted - (planted * whole).sum(axis=1, keepdims=True) / whole.sum(axis=1, keepdims=True))
    slope = (weight * measured).sum(axis=1) / (weight * planted).sum(axis=1)
    return {
        "slope": dict(zip(COMPONENTS, slope, strict=True)),
        "slope_all": float((weight * measured).sum() / (weight * planted).sum()),
        "slope_error": float(np.sqrt((weight**2 * error**2).sum()) / (weight * planted).sum()),
        "slope_everywhere": [float(np.polyfit(p, m, 1)[0]) for p, m in zip(planted, measured, strict=True)],
        "inside_68": dict(zip(COMPONENTS, (np.abs(measured - planted) < error).mean(axis=1), strict=True)),
        "median_error": dict(zip(COMPONENTS, np.median(error, axis=1), strict=True)),
        "values": int(planted.size),
    }


def transmission() -> dict:
    """Share of the amplitude of a strain wave that is measured, by its length in lattice vectors."""
    yx, cell = lattice("square", 200.0)
    out = {}
    for period in PERIODS:
        k = 2 * np.pi / (period * 3.9)
        along = np.array([np.sin(ANGLE), np.cos(ANGLE)])
        phase = k * yx @ along
        moved = yx + 0.005 / k * np.sin(phase)[:, None] * along
        df = measure_strain(moved, reference=cell).df
        tensor = np.array([[df["eps_yy"], df["eps_xy"]], [df["eps_xy"], df["eps_xx"]]])
        strain = np.einsum("a,abn,b->n", along, tensor, along)
        inner = (df["neighbors"] == 8).to_numpy()
        out[period] = float(np.polyfit(0.005 * np.cos(phase[inner]), strain[inner], 1)[0])
    return out


def speed(side: float) -> dict:
    """Seconds for a honeycomb of about 10⁵ atoms when `side` is 465."""
    rng = np.random.default_rng(0)
    yx, cell = lattice("honeycomb", side)
    noisy = yx + rng.normal(0, 0.03, yx.shape)
    start = time.perf_counter()
    measure_strain(noisy, reference=cell)
    return {"atoms": len(yx), "seconds": time.perf_counter() - start}


def table(values) -> dict:
    """For README: one row per lattice and source, the worst component of each."""
    rows = []
    for row in values["positions"]:
        rows.append([row["lattice"], f"positions, {row['error_pm']} pm", *_cells(row)])
    for row in values["images"]:
        rows.append([row["lattice"], f"images, {row['electrons']} electrons", *_cells(row)])
    rows.append(["target", "", "1.00 ± 0.01", "64–72 %", ""])
    return {
        "columns": ["lattice", "from", "slope of found against planted", "inside the stated 68 %", "error of ε_xx (%)"],
        "rows": rows,
    }


def _cells(row) -> list[str]:
    inside = row["inside_68"].values()
    return [
        f"{row['slope_all']:.4f} ± {row['slope_error']:.4f}",
        f"{min(inside):.0%}–{max(inside):.0%}",
        f"{100 * row['median_error']['eps_xx']:.2f}",
    ]


if __name__ == "__main__":
    main()
