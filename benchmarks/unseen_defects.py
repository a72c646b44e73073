"""Defects no model was trained on: are they found at their place with their exact topology, and how many are false?

Multislice images of `benchmarks/unseen_defects/` (`make_unseen_defects.py`). The truth is what `find_defects` says of
the structure's own columns. A defect counts as found when one of the same topology (bonds, rings, contents) lies within
1.5 Å; as false counts every defect of confidence 0.9 or more that is not such a one, by 1000 atoms. Defects whose
surroundings leave the image are left out on both sides.

    python benchmarks/unseen_defects.py
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from record import ROOT, write_result
from tmd import noisy

FOLDER = ROOT / "benchmarks" / "unseen_defects"
DOSES = (1000, 300, 100)
SEEDS = range(8)
MATCH_ANGSTROM = 1.5
SURE = 0.9

MODELS = {"graphene": ("graphene-si", "graphene"), "mos2": ("tmd", "mos2"), "wse2": ("tmd", "wse2")}
"""Model and rules by material."""

TARGETS = {1000: (0.95, 0.5), 300: (0.90, 2.0)}
"""Least recall and most false defects per 1000 atoms."""


def judged(path: Path, counts: float, seed: int) -> dict:
    """What became of the defects of one noisy frame."""
    import atomnb

    material = path.stem.split("-")[0]
    model, rules = MODELS[material]
    image, pixel_size, columns, content = noisy(path, counts, seed)
    truth = within(atomnb.find_defects(columns, rules=rules, species=content, pixel_size=pixel_size), image.shape)
    analysis = atomnb.analyze(image, model=model, rules=rules, pixel_size=pixel_size)
    found = within(analysis.defects, image.shape)
    right = np.zeros(len(found), bool)
    row = {"field": path.stem, "counts": counts, "seed": seed, "atoms": len(analysis.atoms), "missed": [], "named": 0}
    for _, one in truth.iterrows():
        near = np.hypot(found["y"] - one["y"], found["x"] - one["x"]) * pixel_size < MATCH_ANGSTROM
        same = (near & (found["topology"] == one["topology"])).to_numpy()
        right |= same
        row["named"] += int((near & (found["name"] == one["name"])).any())
        if not same.any():
            row["missed"].append([one["name"], found["name"][near].tolist()])
    false = found[~right & (found["confidence"] >= SURE)]
    return row | {
        "true": len(truth),
        "found": len(truth) - len(row["missed"]),
        "false": len(false),
        "false_names": dict(Counter(false["name"])),
    }


def within(defects, shape):
    """Defects all of whose atoms have their neighbours in the image."""
    return defects[defects["complete"]].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    paths = sorted(FOLDER.glob("*.npz"))
    rows = [judged(p, counts, seed) for counts in DOSES for p in paths for seed in range(options.seeds)]
    lines = []
    for material in ("graphene", "dichalcogenide"):
        for counts in DOSES:
            mine = [
                r for r in rows
                if r["counts"] == counts and r["field"].startswith("graphene") == (material == "graphene")
            ]  # fmt: skip
            if not mine:
                continue
            total = {k: sum(r[k] for r in mine) for k in ("true", "found", "named", "false", "atoms")}
            per_1000 = 1000 * total["false"] / total["atoms"]
            target = TARGETS.get(counts)
            lines.append([
                f"{material}, {counts} electrons",
                f"{total['found'] / total['true']:.3f}" + (f" (≥ {target[0]:g})" if target else ""),
                f"{total['named'] / total['true']:.3f}",
                f"{per_1000:.2f}" + (f" (< {target[1]:g})" if target else ""),
            ])  # fmt: skip
            print(lines[-1], total)
            print("   missed:", Counter(str(m) for r in mine for m in r["missed"]).most_common(8))
            print("   false:", sum((Counter(r["false_names"]) for r in mine), Counter()).most_common(8))
    table = {
        "columns": ["Unseen defects, electrons per column", "topology recall", "named right", "false per 1000 atoms"],
        "rows": lines,
    }
    if not options.dry:
        write_result("unseen_defects", {"rows": rows, "table": table})


if __name__ == "__main__":
    main()
