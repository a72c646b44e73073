"""Single chalcogen vacancies in MoS2 and WSe2: multislice images of the bank, at three doses.

A column with one chalcogen where the others hold two counts as found when an atom of the species "single chalcogen"
lies within 0.3 bonds. Electrons per column are all detected ones over the number of columns. MoSe2 is outside the
model's range (its card says so) and shown to warn: its metal is the fainter column, so the names come out swapped.

    python benchmarks/tmd.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from record import ROOT, write_result
from scipy import ndimage
from scoring import DRIFT_STEP, MATCH_RADIUS, ROW_JITTER, inside, pair_up, shear_rows

BANK = ROOT / "benchmarks" / "multislice_bank"
DOSES = (1000, 300, 100)
MARGIN_ANGSTROM = 1.5
SEEDS = range(5)
GROUPS = {"MoS2 and WSe2": ("mos2", "wse2"), "WS2": ("ws2",), "MoSe2 (out of range)": ("mose2",)}
"""Lines of the table."""

KINDS = {"metal": ("Mo", "W"), "chalcogen pair": ("S2", "Se2"), "single chalcogen": ("S", "Se")}
"""Species of the model, and the column contents they stand for."""


def fields() -> list[Path]:
    """The bank's images of dichalcogenides."""
    return sorted(p for p in BANK.glob("*.npz") if p.stem.split("-")[0] in ("mos2", "ws2", "mose2", "wse2"))


def noisy(path: Path, counts: float, seed: int):
    """Counts (H, W), pixel size, columns (n, 2) where the jittered scan shows them, and what each holds."""
    rng = np.random.default_rng([seed, int(counts)])
    with np.load(path) as held:
        clean, columns = held["haadf"].astype(float), held["columns_yx"].astype(float)
        content, pixel_size = held["content"].astype(str), float(held["pixel_size"])
    shift = np.cumsum(rng.normal(0, DRIFT_STEP, len(clean))) + rng.normal(0, ROW_JITTER, len(clean))
    expected = shear_rows(clean / clean.sum() * counts * len(columns), shift)
    felt = ndimage.gaussian_filter1d(shift, 0.4 / pixel_size / 2**0.5)
    columns[:, 1] -= np.interp(columns[:, 0], np.arange(len(felt)), felt)
    return rng.poisson(np.clip(expected, 0, None)).astype(np.float32), pixel_size, columns, content


def judged(path: Path, counts: float, model: str, seeds: Iterable[int]) -> dict:
    """What was found of each kind in one field of view."""
    import atomnb

    row = {"field": path.stem, "counts": counts} | {f"{k} {w}": 0 for k in KINDS for w in ("true", "found", "right")}
    row |= {"columns": 0, "columns found": 0, "species right": 0}
    for seed in seeds:
        image, pixel_size, columns, content = noisy(path, counts, seed)
        atoms = atomnb.analyze(image, model=model, pixel_size=pixel_size).atoms
        species, margin = atoms.df["species"].to_numpy().astype(str), MARGIN_ANGSTROM / pixel_size
        truth = np.array([next(k for k, names in KINDS.items() if c in names) for c in content])
        spacing = 1.84 / pixel_size
        pairs = pair_up(atoms.positions_yx, columns, MATCH_RADIUS * spacing)
        scored, seen = inside(columns, image.shape, margin), inside(atoms.positions_yx, image.shape, margin)
        seen[pairs[~scored[pairs[:, 1]], 0]] = False  # of a column just outside of what is scored
        pairs = pairs[scored[pairs[:, 1]]]
        row["columns"] += int(scored.sum())
        row["columns found"] += len(pairs)
        row["species right"] += int((species[pairs[:, 0]] == truth[pairs[:, 1]]).sum())
        for kind in KINDS:
            row[f"{kind} true"] += int((truth[scored] == kind).sum())
            row[f"{kind} found"] += int((species[seen] == kind).sum())
            row[f"{kind} right"] += int(((species[pairs[:, 0]] == kind) & (truth[pairs[:, 1]] == kind)).sum())
    return row


def summary(rows: list[dict], kind: str) -> tuple[float, float]:
    """Recall and precision of a kind over the rows."""
    true, found, right = (sum(r[f"{kind} {w}"] for r in rows) for w in ("true", "found", "right"))
    return right / max(true, 1), right / max(found, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tmd")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [judged(path, counts, options.model, SEEDS) for counts in DOSES for path in fields()]
    for row in rows:
        recall, precision = summary([row], "single chalcogen")
        print(f"{row['counts']:5d} {row['field']:<10} single chalcogen: recall {recall:.3f} precision {precision:.3f}")
    lines = []
    for group, names in GROUPS.items():
        for counts in DOSES:
            mine = [r for r in rows if r["counts"] == counts and r["field"].split("-")[0] in names]
            if not mine:
                continue
            recall, precision = summary(mine, "single chalcogen")
            share = sum(r["species right"] for r in mine) / max(sum(r["columns"] for r in mine), 1)
            lines.append([f"{group}, {counts} electrons", f"{recall:.3f}", f"{precision:.3f}", f"{share:.4f}"])
            print(lines[-1])
    table = {
        "columns": [
            "TMD model on multislice, electrons per column",
            "vacancy recall",
            "vacancy precision",
            "columns named right",
        ],
        "rows": lines,
    }
    if not options.dry:
        write_result("tmd", {"rows": rows, "table": table})


if __name__ == "__main__":
    main()
