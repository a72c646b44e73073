"""Silicon defects in graphene on real frames labelled by others: found at their place, with their formula?

Frames and labels are those of the published defect library (arXiv:1809.04256, half of them are here). A labelled defect
counts as found when one of the same formula lies within 1 Å of the middle of its silicon atoms. Beside it, on the same
atoms: the published rules (bonds shorter than C-C 1.75, Si-C 2.10, Si-Si 2.50 Å, at most the four nearest of each
dopant, connected parts), and what counting silicon alone would score if each count stood for its most frequent formula.

A doubtful atom may turn on the last digits of the network: what processors find that compute in bfloat16 is a result of
its own.

    python benchmarks/defects_real.py
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from graphene_si import coordinates_of_file, labelled_frames
from real_frames import data_folder
from record import write_result
from scipy.spatial import cKDTree

from atomnb.nets.shared import has_fast_bf16

PLACE = 1.0
"""Å."""

PUBLISHED = {("C", "C"): 1.75, ("C", "Si"): 2.10, ("Si", "Si"): 2.50}
MOST = 4


def labelled_defects(rows: list[dict[str, str]]) -> list[tuple[str, np.ndarray]]:
    """Formula and middle of the silicon (y, x) px of each labelled defect of a frame."""
    members = defaultdict(list)
    for row in rows:
        if row["element"] == "Si":
            members[row["defect"], row["formula"]].append((float(row["row_px"]), float(row["col_px"])))
    return [(formula, np.mean(points, axis=0)) for (_, formula), points in members.items()]


def published_defects(positions: np.ndarray, species: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Formula and middle of each defect by the published rules; positions (N, 2) in Å."""
    dopants = np.flatnonzero(species == "Si")
    tree = cKDTree(positions)
    bonds = {}
    for i in dopants:
        near = [j for j in tree.query_ball_point(positions[i], 2.5) if j != i]
        length = {j: float(np.hypot(*(positions[j] - positions[i]))) for j in near}
        kept = [j for j in near if length[j] < PUBLISHED[tuple(sorted((species[i], species[j])))]]
        bonds[i] = sorted(kept, key=length.get)[:MOST]
    parts: list[set[int]] = []
    for i in dopants:
        whole = {int(i), *bonds[i]}
        touching = [p for p in parts if p & whole]
        parts = [p for p in parts if not p & whole] + [whole.union(*touching)]
    found = []
    for part in parts:
        silicon = [i for i in part if species[i] == "Si"]
        carbon = len(part) - len(silicon)
        formula = f"Si{len(silicon)}" + (f"C{carbon}" if carbon else "")
        found.append((formula, positions[silicon].mean(axis=0)))
    return found


def agrees(formula: str, middle: np.ndarray, found: list[tuple[str, np.ndarray]], reach: float) -> bool:
    """Whether one of the defects found has the formula and lies within `reach` of the middle."""
    return any(f == formula and np.hypot(*(yx - middle)) < reach for f, yx in found)


def judged(path: Path, model: str) -> list[dict]:
    """One row per labelled defect of a frame."""
    import atomnb

    analysis = atomnb.analyze(atomnb.read_image(path), model=model, rules="graphene")
    pixel = analysis.graph.scale
    table, positions = analysis.defects, analysis.atoms.positions_yx * pixel
    ours = [(f, np.array([y, x]) * pixel) for f, y, x in zip(table["formula"], table["y"], table["x"], strict=True)]
    theirs = published_defects(positions, analysis.atoms.df["species"].to_numpy().astype(str))
    return [
        {
            "frame": path.name,
            "formula": formula,
            "found": agrees(formula, middle * pixel, ours, PLACE),
            "published": agrees(formula, middle * pixel, theirs, PLACE),
            "instead": [f for f, yx in ours if np.hypot(*(yx - middle * pixel)) < 3 * PLACE],
        }
        for formula, middle in labelled_defects(coordinates_of_file(path))
    ]


def by_silicon_alone(rows: list[dict]) -> float:
    """Share right when the number of silicon atoms is known and the formula guessed as the most frequent with it."""
    counts = defaultdict(Counter)
    for row in rows:
        counts[re.match(r"Si\d+", row["formula"])[0]][row["formula"]] += 1
    return sum(c.most_common(1)[0][1] for c in counts.values()) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="graphene-si")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = data_folder() / "graphene_si_library"
    rows = [row for name in labelled_frames(folder) for row in judged(folder / name, options.model)]
    lines = []
    for formula, total in sorted(Counter(r["formula"] for r in rows).items()):
        mine = [r for r in rows if r["formula"] == formula]
        found, published = (sum(r[k] for r in mine) for k in ("found", "published"))
        lines.append([formula, f"{found} of {total}", f"{published} of {total}", "–"])
    found, published = (sum(r[k] for r in rows) / len(rows) for k in ("found", "published"))
    lines.append(["all", f"{found:.3f} (≥ 0.95)", f"{published:.3f}", f"{by_silicon_alone(rows):.3f}"])
    for line in lines:
        print(line)
    for row in rows:
        if not row["found"]:
            print(row)
    table = {
        "columns": ["Labelled defect", "atomnb", "published rules, the same atoms", "silicon counted alone"],
        "rows": lines,
    }
    if not options.dry:
        fast = has_fast_bf16(torch.device("cpu"))
        write_result("defects_real_bfloat16" if fast else "defects_real", {"rows": rows, "table": table})


if __name__ == "__main__":
    main()
