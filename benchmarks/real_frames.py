"""F1 on labelled experimental frames: a graphene grain boundary, and single Pt and Re atoms on carbon.

- The grain boundary's labels are the coordinates its authors' network found; match 5 px, border 8 px.
- Pt and Re were labelled by hand; match 4 px. Beside atomnb stands a Laplacian of Gaussian whose width and threshold
  are the best for these very labels, which flatters it.

Needs the folder of experimental files (ATOMNB_DATA or ../shared/data). The label file of the grain boundary is a
pickle: it is opened here and in tests only, never by atomnb.

    python benchmarks/real_frames.py
    .peers/bin/python benchmarks/real_frames.py --model-callable atomai_finder:find --label atomai
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detection import named_callable
from peers import local_maxima, parabolic
from record import RESULTS, ROOT, read_result, write_result
from scipy import ndimage
from scoring import Tally, count_points

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the peers' environment has no atomnb

LOG_SIGMAS = np.geomspace(1.5, 7.0, 12)
LOG_THRESHOLDS = 40
LOG_SEPARATION_PX = 3


class Labelled(NamedTuple):
    """A frame with its labels (n, 2) row, col, and how it is scored."""

    dataset: str
    name: str
    image: np.ndarray
    pixel_size: float | None
    labels_yx: np.ndarray
    radius: float
    margin: float


def data_folder() -> Path:
    """The folder of experimental files."""
    folder = Path(os.environ.get("ATOMNB_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.tsv").exists():
        raise SystemExit("no experimental files here: set ATOMNB_DATA to their folder.")
    return folder / "stem"


def labelled_frames(folder: Path) -> list[Labelled]:
    """All labelled frames of the folder."""
    frames = [grain_boundary(folder / "graphene")]
    for image in sorted((folder / "pt_single_atoms").glob("*.tif")):
        labels = image.with_name(f"{image.name.split('_')[0]}_Results.csv")
        frames.append(by_hand("Pt single atoms", image, labels))
    for image in sorted((folder / "re_single_atoms").glob("*.png")):
        frames.append(by_hand("Re single atoms", image, image.with_suffix(".csv")))
    return frames


def grain_boundary(folder: Path) -> Labelled:
    import atomnb

    micrograph = atomnb.read_image(folder / "G-GrainBoundary-4nm.hdf5")
    held = np.load(folder / "G-GrainBoundary-4nm-coord.npy", allow_pickle=True).item()
    labels = np.asarray(held[0], float)[:, :2]
    return Labelled(
        "graphene grain boundary", "G-GrainBoundary-4nm", micrograph.frame(), micrograph.pixel_size, labels, 5, 8
    )


def by_hand(dataset: str, image: Path, labels: Path) -> Labelled:
    import atomnb

    micrograph = atomnb.read_image(image)
    with labels.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    yx = np.array([[float(row["Y"]), float(row["X"])] for row in rows])
    return Labelled(dataset, image.stem, micrograph.frame(), micrograph.pixel_size, yx, 4, 0)


def atomnb_finder(model: str, threshold: float) -> Callable[[Labelled], np.ndarray]:
    import atomnb

    def find(frame: Labelled) -> np.ndarray:
        return atomnb.analyze(
            frame.image, model=model, pixel_size=frame.pixel_size, threshold=threshold
        ).atoms.positions_yx

    return find


def scored(find: Callable[[Labelled], np.ndarray], frames: list[Labelled]) -> list[dict]:
    """A row per frame."""
    rows = []
    for frame in frames:
        tally = Tally()
        count_points(tally, find(frame), frame.labels_yx, frame.image.shape, radius=frame.radius, margin=frame.margin)
        rows.append({"dataset": frame.dataset, "frame": frame.name, **counts(tally)})
    return rows


def counts(tally: Tally) -> dict[str, float]:
    row = tally.as_row()
    return {k: row[k] for k in ("f1", "precision", "recall", "columns", "wrong", "missed")} | {"right": tally.right}


def pooled(rows: list[dict]) -> dict[str, dict[str, float]]:
    """F1 of each dataset, its frames taken together."""
    out = {}
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        mine = [row for row in rows if row["dataset"] == dataset]
        total = Tally(*(sum(row[k] for row in mine) for k in ("right", "wrong", "missed")))
        out[dataset] = counts(total)
    return out


def best_laplacian(frames: list[Labelled]) -> tuple[Callable[[Labelled], np.ndarray], dict[str, float]]:
    """The Laplacian of Gaussian with the width and threshold (in its own noise) that score best on these labels."""
    best: tuple[float, float, float] = (-1.0, 0.0, 0.0)
    for sigma in LOG_SIGMAS:
        found = [laplacian_maxima(frame.image, sigma) for frame in frames]
        for threshold in np.unique(
            np.percentile(np.concatenate([h for _, h in found]), np.linspace(30, 99.5, LOG_THRESHOLDS))
        ):
            total = Tally()
            for frame, (yx, height) in zip(frames, found, strict=True):
                kept = yx[height >= threshold]
                count_points(total, kept, frame.labels_yx, frame.image.shape, radius=frame.radius, margin=frame.margin)
            best = max(best, (total.f1, float(sigma), float(threshold)))
    _, sigma, threshold = best

    def find(frame: Labelled) -> np.ndarray:
        yx, height = laplacian_maxima(frame.image, sigma)
        return yx[height >= threshold]

    return find, {"sigma_px": sigma, "threshold": threshold}


def laplacian_maxima(image: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Maxima (n, 2) and their heights in robust standard deviations of the response."""
    response = -ndimage.gaussian_laplace(image.astype(float), sigma)
    response /= 1.4826 * np.median(np.abs(response - np.median(response))) + 1e-12
    yx = local_maxima(response, LOG_SEPARATION_PX)
    return parabolic(response, yx), response[tuple(yx.T)]


def table(results: dict[str, dict[str, dict[str, float]]]) -> dict:
    """Finder by dataset, F1."""
    datasets = list(next(iter(results.values())))
    rows = []
    for finder, by_dataset in results.items():
        rows.append([finder, *(f"{by_dataset[d]['f1']:.3f}" if d in by_dataset else None for d in datasets)])
    return {"columns": ["F1 on labelled experimental frames", *datasets], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="universal")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--model-callable", metavar="MODULE:FUNCTION", help="another finder instead of atomnb")
    parser.add_argument("--label", default="atomnb")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    frames = labelled_frames(data_folder())
    find = (
        named_callable(options.model_callable)
        if options.model_callable
        else atomnb_finder(options.model, options.threshold)
    )
    rows = scored(find, frames)
    results = {options.label: pooled(rows)}
    values = {"rows": {options.label: rows}, "pooled": results}
    if options.label == "atomai":
        import torch
        from train_peer import WEIGHTS

        values["trained_minutes"] = torch.load(WEIGHTS, weights_only=True)["minutes"]
    if not options.model_callable:
        laplacian_rows, chosen = [], {}
        for dataset in results[options.label]:
            mine = [frame for frame in frames if frame.dataset == dataset]
            best, chosen[dataset] = best_laplacian(mine)
            laplacian_rows += scored(best, mine)
        results["Laplacian of Gaussian, best for these labels"] = pooled(laplacian_rows)
        values |= {"laplacian": {"chosen": chosen, "rows": laplacian_rows}}
        if (RESULTS / "real_frames_atomai.json").exists():
            peer = read_result("real_frames_atomai")["values"]
            trained = f"AtomAI U-Net, {peer['trained_minutes']:.0f} processor minutes on our patches"
            results[trained] = peer["pooled"]["atomai"]
    for row in rows:
        print(
            f"{row['dataset']:<24} {row['frame'][:24]:<24} F1 {row['f1']:.3f}  "
            f"P {row['precision']:.3f}  R {row['recall']:.3f}"
        )
    for finder, by_dataset in results.items():
        print(f"{finder:<46}", "  ".join(f"{d}: {r['f1']:.3f}" for d, r in by_dataset.items()))
    if not options.dry:
        name = "real_frames" if options.label == "atomnb" else f"real_frames_{options.label}"
        write_result(name, values | {"table": table(results)})


if __name__ == "__main__":
    main()
