"""Are the scores probabilities? Reliability of the universal model's scores on multislice images never trained on.

Every candidate down to a score of 0.05 counts; one is right when it matches a column that can be seen. The expected
calibration error (ECE) is the mean gap between score and share of right ones over ten bins, weighted by their number.
Out of range (too few electrons, too coarse pixels, blurred) the scores should become undecided: the doubt is the
mean of 1 - |2 score - 1|; and the members of an ensemble should come to differ: `score_spread`, the standard deviation
of their scores, of the same candidates.

    python benchmarks/calibration.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from detection import DOSES, materials
from record import write_result
from scipy import ndimage
from scoring import MARGIN, MATCH_RADIUS, Frame, inside, near, noisy_frame, pair_up

LOWEST = 0.05
EVERY = 3
"""The ensemble, which is slower, is asked about every third material."""

BINS = np.linspace(0, 1, 11)


class Seen(NamedTuple):
    """Of all candidates of a frame: score (n,), whether each is a column (n,), how far an ensemble differs (n,)."""

    score: np.ndarray
    right: np.ndarray
    spread: np.ndarray


def candidates(image, pixel_size, model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, scores and spread (0 for a single network) of everything the model considers, before refinement."""
    import atomnb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = atomnb.analyze(image, model=model, pixel_size=pixel_size, threshold=LOWEST, refine=False).atoms
    score = atoms.df["score"].to_numpy()
    spread = atoms.df["score_spread"].to_numpy() if "score_spread" in atoms.df else np.zeros(len(score))
    return atoms.positions_yx, score, spread


def judged(frame: Frame, model, *, pixel_size_given: bool = True) -> Seen:
    """The candidates of a frame, without those that can count neither way."""
    found, score, spread = candidates(frame.image, frame.pixel_size if pixel_size_given else None, model)
    radius = MATCH_RADIUS * frame.spacing
    right = np.zeros(len(found), bool)
    right[pair_up(found, frame.columns_yx, radius)[:, 0]] = True
    counted = inside(found, frame.image.shape, MARGIN) & (right | ~near(found, frame.ignored_yx, radius))
    return Seen(score[counted], right[counted], spread[counted])


def joined(parts: Iterable[Seen]) -> Seen:
    """The candidates of many frames."""
    return Seen(*(np.concatenate(part) for part in zip(*parts, strict=True)))


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


def starved(frame: Frame) -> Frame:
    """The frame with 6 electrons per column."""
    share = np.clip(frame.image, 0, None) / frame.image.sum()
    counts = np.random.default_rng(0).poisson(share * 6 * len(frame.columns_yx))
    return frame._replace(image=counts.astype(np.float32))


def coarse(frame: Frame) -> Frame:
    """The frame on pixels a third of its columns' distance."""
    image = ndimage.zoom(frame.image.astype(float), 3 / frame.spacing, order=1).astype(np.float32)
    factor = (np.array(image.shape) - 1) / (np.array(frame.image.shape) - 1)
    moved = {key: getattr(frame, key) * factor for key in ("columns_yx", "ignored_yx", "vacancies_yx")}
    return frame._replace(image=image, spacing=3.0, **moved)


def blurred(frame: Frame) -> Frame:
    """The frame blurred by half the distance of its columns."""
    return frame._replace(image=ndimage.gaussian_filter(frame.image.astype(np.float32), 0.5 * frame.spacing))


OUT_OF_RANGE = {
    "6 electrons per column": starved,
    "3 px between columns": coarse,
    "blurred by half a spacing": blurred,
}
"""What is done to a frame of 3000 electrons per column; its pixel size is not given then."""


def row_of(frames: list[Frame], model, ensemble, *, pixel_size_given: bool) -> dict:
    """What the scores of the model are worth on some frames, and how far the ensemble differs."""
    alone = joined(judged(frame, model, pixel_size_given=pixel_size_given) for frame in frames)
    some = frames[::EVERY]
    many = joined(judged(frame, ensemble, pixel_size_given=pixel_size_given) for frame in some)
    return {
        "ece": expected_error(alone.score, alone.right),
        "right": float(alone.right[alone.score >= 0.5].mean()) if (alone.score >= 0.5).any() else None,
        "doubt": doubt(alone.score),
        "spread": float(many.spread.mean()) if len(many.spread) else None,
        "n": len(alone.score),
        "bins": reliability(alone.score, alone.right),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="universal")
    parser.add_argument("--ensemble", default="universal-ensemble")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    known = materials(())
    by_dose, out_of_range = {}, {}
    for dose in DOSES:
        frames = [noisy_frame(path, dose) for _, path in known.values()]
        by_dose[str(dose)] = row_of(frames, options.model, options.ensemble, pixel_size_given=True)
        report(f"{dose} electrons per column", by_dose[str(dose)])
    frames = [noisy_frame(path, 3000) for _, path in known.values()]
    for name, change in OUT_OF_RANGE.items():
        changed = [change(frame) for frame in frames]
        out_of_range[name] = row_of(changed, options.model, options.ensemble, pixel_size_given=False)
        report(name, out_of_range[name])
    rows = {f"{dose} electrons per column": row for dose, row in by_dose.items()}
    rows |= {f"out of range: {name}": row for name, row in out_of_range.items()}
    table = {
        "columns": ["Scores", "listed atoms that are right", "ECE", "doubt", "spread among the members of an ensemble"],
        "rows": [
            [name, *(cell(row[key]) for key in ("right", "ece", "doubt", "spread"))] for name, row in rows.items()
        ],
    }
    if not options.dry:
        worst = max(row["ece"] for row in by_dose.values())
        values = {"by_dose": by_dose, "out_of_range": out_of_range, "worst_ece": worst, "table": table}
        write_result("calibration", values)


def cell(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def report(name: str, row: dict) -> None:
    print(name, {key: value for key, value in row.items() if key != "bins"}, flush=True)
    for held in row["bins"]:
        print("   ", {key: round(float(value), 3) for key, value in held.items()})


if __name__ == "__main__":
    main()
