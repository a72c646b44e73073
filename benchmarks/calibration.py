"""Are the scores probabilities? Reliability of the universal model's scores on multislice images never trained on.

Every candidate down to a score of 0.05 counts; one is right when it matches a column that can be seen. The expected
calibration error (ECE) is the mean gap between score and share of right ones over ten bins, weighted by their number.
Out of range (too few electrons, too coarse pixels, blurred) the scores should become undecided: the doubt is the
mean of 1 - |2 score - 1|.

    python benchmarks/calibration.py
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from detection import DOSES, materials
from record import write_result
from scipy import ndimage
from scoring import MARGIN, MATCH_RADIUS, inside, near, noisy_frame, pair_up

LOWEST = 0.05
BINS = np.linspace(0, 1, 11)


def candidates(image, pixel_size, model):
    """Positions and scores of everything the model considers, before refinement."""
    import atomnb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = atomnb.analyze(image, model=model, pixel_size=pixel_size, threshold=LOWEST, refine=False).atoms
    return atoms.positions_yx, atoms.df["score"].to_numpy()


def judged(frame, model):
    """Scores (n,) of the candidates of a frame, and whether each is a column."""
    found, score = candidates(frame.image, frame.pixel_size, model)
    radius = MATCH_RADIUS * frame.spacing
    right = np.zeros(len(found), bool)
    right[pair_up(found, frame.columns_yx, radius)[:, 0]] = True
    counted = inside(found, frame.image.shape, MARGIN) & (right | ~near(found, frame.ignored_yx, radius))
    return score[counted], right[counted]


def expected_error(score: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error."""
    place = np.clip(np.digitize(score, BINS) - 1, 0, len(BINS) - 2)
    gap = [abs(score[place == b].sum() - right[place == b].sum()) for b in range(len(BINS) - 1)]
    return float(sum(gap) / max(len(score), 1))


def reliability(score: np.ndarray, right: np.ndarray) -> list[dict]:
    """A row per bin: number, mean score, share of right ones."""
    place = np.clip(np.digitize(score, BINS) - 1, 0, len(BINS) - 2)
    return [
        {"n": int((place == b).sum()), "score": score[place == b].mean(), "right": right[place == b].mean()}
        for b in range(len(BINS) - 1)
        if (place == b).any()
    ]


def doubt(score: np.ndarray) -> float:
    """0 where the model has made up its mind, 1 where it could not say less."""
    return float(np.mean(1 - np.abs(2 * score - 1))) if len(score) else 1.0


OUT_OF_RANGE = {
    "6 electrons per column": lambda image, rng, frame: rng.poisson(image / image.sum() * 6 * len(frame.columns_yx)),
    "3 px between columns": lambda image, rng, frame: ndimage.zoom(image, 3 / frame.spacing, order=1),
    "blurred by half a spacing": lambda image, rng, frame: ndimage.gaussian_filter(image, 0.5 * frame.spacing),
}
"""What is done to a frame of 3000 electrons per column."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="universal")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    by_dose, doubts = {}, {}
    known = materials(())
    for dose in DOSES:
        pairs = [judged(noisy_frame(path, dose), options.model) for _, path in known.values()]
        score, right = (np.concatenate(part) for part in zip(*pairs, strict=True))
        by_dose[str(dose)] = {"ece": expected_error(score, right), "n": len(score), "bins": reliability(score, right)}
        doubts[f"{dose} electrons per column"] = doubt(score)
        print(dose, {k: v for k, v in by_dose[str(dose)].items() if k != "bins"}, doubt(score), flush=True)
        for row in by_dose[str(dose)]["bins"]:
            print("   ", {k: round(float(v), 3) for k, v in row.items()})
    for name, change in OUT_OF_RANGE.items():
        rng = np.random.default_rng(0)
        scores = []
        for _, path in known.values():
            frame = noisy_frame(path, 3000)
            changed = change(np.clip(frame.image.astype(float), 0, None), rng, frame).astype(np.float32)
            scores.append(candidates(changed, None, options.model)[1])
        doubts[name] = doubt(np.concatenate(scores))
        print(name, doubts[name], flush=True)
    worst = max(row["ece"] for row in by_dose.values())
    table = {
        "columns": ["Scores of the universal model", "ECE", "doubt"],
        "rows": [
            *([f"{dose} electrons per column", f"{row['ece']:.3f}", f"{doubts[f'{dose} electrons per column']:.2f}"]
              for dose, row in by_dose.items()),
            *([f"out of range: {name}", None, f"{doubts[name]:.2f}"] for name in OUT_OF_RANGE),
        ],
    }  # fmt: skip
    if not options.dry:
        write_result("calibration", {"by_dose": by_dose, "doubt": doubts, "worst_ece": worst, "table": table})


if __name__ == "__main__":
    main()
