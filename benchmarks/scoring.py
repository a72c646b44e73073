"""Score found atoms against the exact truth of multislice images: matching, F1, RMSE, filled vacancies.

The rules are those of the project's scoring kit (shared/bench), written out again so that the benchmarks run
from a bare checkout; `tests/benchmarks/test_scoring.py` holds the two together where the kit is present.

- A frame: Poisson counts (electrons per visible column), row jitter and slow drift of the scan.
- A column is visible if it has 12 % of the heaviest column's ΣZ^1.7 (columns of O and lighter beside cations
  are not), a signal-to-noise ratio of 3 at this dose, and a maximum of its own in the noise-free image. The
  others count neither way.
- A found atom is right within 0.3 nearest-neighbour distances of a column, one to one, nearest first. The
  outermost pixels (`MARGIN`) are not counted.
- A planted vacancy is filled if any found atom lies within that distance of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

HERE = Path(__file__).resolve().parent
VALIDATION = HERE / "validation"

MATCH_RADIUS = 0.3
"""In nearest-neighbour distances."""

MARGIN = 6
"""Pixels at the border that are not scored."""

LEAST_WEIGHT = 0.12
LEAST_SNR = 3.0
HEAVIEST_ANION = 8
LIGHTEST_CATION = 20
ROW_JITTER = 0.12
DRIFT_STEP = 0.02
"""Standard deviations, px per row."""


class Frame(NamedTuple):
    """A noisy frame with its truth; positions (n, 2) are row, col in px, `heaviest_z` (n,) is of `columns_yx`."""

    image: np.ndarray
    columns_yx: np.ndarray
    ignored_yx: np.ndarray
    vacancies_yx: np.ndarray
    spacing: float
    pixel_size: float
    heaviest_z: np.ndarray


@dataclass
class Tally:
    """What was found over the frames of one material and dose."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    vacancies: int = 0
    filled: int = 0
    residuals_pm: list[np.ndarray] = field(default_factory=list)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(2 * self.right + self.wrong + self.missed, 1)

    def as_row(self) -> dict[str, float]:
        """Plain numbers for a results file."""
        squares = np.concatenate([np.zeros((0, 2)), *self.residuals_pm]) ** 2
        return {
            "columns": self.right + self.missed,
            "f1": self.f1,
            "precision": self.right / max(self.right + self.wrong, 1),
            "recall": self.right / max(self.right + self.missed, 1),
            "rmse_pm": float(np.sqrt(squares.mean())) if squares.size else None,
            "wrong": self.wrong,
            "missed": self.missed,
            "vacancies": self.vacancies,
            "filled": self.filled,
        }


def specimens(folder: Path) -> dict[str, Path]:
    """The multislice files of a folder by material."""
    return {path.stem.split("_", 1)[1]: path for path in sorted(folder.glob("*_*.npz"))}


def bench_folder() -> Path | None:
    """The scoring kit's folder (environment variable ATOMNB_BENCH or ../shared/bench), or None."""
    folder = Path(os.environ.get("ATOMNB_BENCH", HERE.parent.parent / "shared" / "bench"))
    return folder if (folder / "evalkit.py").exists() else None


def noisy_frame(path: Path, counts: float, seed: int = 0) -> Frame:
    """A frame with `counts` detected electrons per visible column, the same one for the same seed."""
    name = path.stem.split("_", 1)[1]
    rng = np.random.default_rng([seed, int(counts), *(ord(letter) for letter in name)])
    with np.load(path) as held:
        clean = held["image"].astype(float).T
        columns, step_xy = held["columns"], held["sampling"]
        vacancies = held["vacancies"] if "vacancies" in held else np.zeros((0, 2))
    pixel_size = float(step_xy.mean())
    columns_yx = (columns[:, :2] / step_xy)[:, ::-1].copy()
    vacancies_yx = (vacancies / step_xy)[:, ::-1].copy()

    weight = relative_weight(columns)
    heavy = weight >= LEAST_WEIGHT
    expected = clean / clean.sum() * counts * heavy.sum()
    shift = np.cumsum(rng.normal(0, DRIFT_STEP, len(clean))) + rng.normal(0, ROW_JITTER, len(clean))
    expected = shear_rows(expected, shift)
    image = rng.poisson(np.clip(expected, 0, None)).astype(np.float32)

    # a column averages the jitter of the rows it spans
    felt = ndimage.gaussian_filter1d(shift, 0.4 / pixel_size / 2**0.5)
    for points in (columns_yx, vacancies_yx):
        points[:, 1] -= np.interp(points[:, 0], np.arange(len(felt)), felt)

    distance, _ = cKDTree(columns_yx[heavy]).query(columns_yx[heavy], k=2)
    spacing = float(np.median(distance[:, 1]))
    visible = (
        heavy
        & (signal_to_noise(expected, columns_yx, spacing) >= LEAST_SNR)
        & has_own_maximum(expected, columns_yx, MATCH_RADIUS * spacing)
    )
    heaviest = columns[visible, 3].astype(int)
    return Frame(image, columns_yx[visible], columns_yx[~visible], vacancies_yx, spacing, pixel_size, heaviest)


def relative_weight(columns: np.ndarray) -> np.ndarray:
    """ΣZ^1.7 of each column over the heaviest one's; 0 for anion columns beside cations."""
    weight = columns[:, 2] / columns[:, 2].max()
    beside_cations = columns[:, 3].max() >= LIGHTEST_CATION
    return np.where(beside_cations & (columns[:, 3] <= HEAVIEST_ANION), 0.0, weight)


def shear_rows(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Each row of a periodic image (H, W) read `shift` px further along."""
    x = np.arange(image.shape[1])
    return np.stack([np.interp(x + s, x, row, period=len(x)) for s, row in zip(shift, image, strict=True)])


def signal_to_noise(expected: np.ndarray, columns_yx: np.ndarray, spacing: float) -> np.ndarray:
    """Counts of each column above the lowest level near it over the shot noise, in a disc of 0.3 spacings."""
    radius = max(1, round(0.3 * spacing))
    grid = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = ((grid**2).sum(0) <= radius * radius).astype(float)
    total = ndimage.convolve(expected, disc, mode="wrap")
    smooth = ndimage.gaussian_filter(expected, 0.1 * spacing, mode="wrap")
    floor = ndimage.minimum_filter(smooth, round(1.5 * spacing) | 1, mode="wrap") * disc.sum()
    at = tuple(np.clip(np.round(columns_yx).astype(int), 0, np.array(expected.shape) - 1).T)
    return (total[at] - floor[at]) / np.sqrt(np.maximum(total[at], 1e-9))


def has_own_maximum(expected: np.ndarray, columns_yx: np.ndarray, radius: float) -> np.ndarray:
    """Whether a local maximum lies within `radius` px of the column and nearer to it than to any other."""
    tops = np.argwhere(expected == ndimage.maximum_filter(expected, 5, mode="wrap"))
    distance, nearest_top = cKDTree(tops).query(columns_yx)
    _, owner = cKDTree(columns_yx).query(tops)
    return (distance <= radius) & (owner[nearest_top] == np.arange(len(columns_yx)))


def pair_up(found_yx, truth_yx, radius: float) -> np.ndarray:
    """One-to-one pairs (index found, index truth) within `radius`, nearest first: shape (n, 2)."""
    found, truth = as_points(found_yx), as_points(truth_yx)
    if not len(found) or not len(truth):
        return np.zeros((0, 2), int)
    close = cKDTree(truth).query_ball_point(found, radius)
    edges = sorted((float(np.hypot(*(found[i] - truth[j]))), i, j) for i, js in enumerate(close) for j in js)
    pairs, free_found, free_truth = [], set(range(len(found))), set(range(len(truth)))
    for _, i, j in edges:
        if i in free_found and j in free_truth:
            free_found.remove(i)
            free_truth.remove(j)
            pairs.append((i, j))
    return np.array(pairs, int).reshape(-1, 2)


def count_against(tally: Tally, found_yx, frame: Frame) -> None:
    """Add one frame's result to `tally`."""
    radius = MATCH_RADIUS * frame.spacing
    count_points(
        tally, found_yx, frame.columns_yx, frame.image.shape, radius=radius, margin=MARGIN,
        ignored_yx=frame.ignored_yx, pm_per_px=100 * frame.pixel_size,
    )  # fmt: skip
    tally.vacancies += len(frame.vacancies_yx)
    tally.filled += int(near(frame.vacancies_yx, as_points(found_yx), radius).sum())


def count_points(
    tally: Tally,
    found_yx,
    truth_yx,
    shape: tuple[int, int],
    *,
    radius: float,
    margin: float,
    ignored_yx=(),
    pm_per_px: float = float("nan"),
) -> None:
    """Add to `tally` how the points found agree with the true ones; all lengths in px.

    All points take part in the matching; those nearer than `margin` to the border are not counted, nor are found
    points within `radius` of an ignored one.
    """
    found, truth, ignored = as_points(found_yx), as_points(truth_yx), as_points(ignored_yx)
    pairs = pair_up(found, truth, radius)
    scored = inside(truth, shape, margin)
    hits = pairs[scored[pairs[:, 1]]]
    left_over = np.delete(found, pairs[:, 0], axis=0)
    left_over = left_over[inside(left_over, shape, margin)]
    left_over = left_over[~near(left_over, ignored, radius)]
    tally.right += len(hits)
    tally.wrong += len(left_over)
    tally.missed += int(scored.sum()) - len(hits)
    tally.residuals_pm.append((found[hits[:, 0]] - truth[hits[:, 1]]) * pm_per_px)


def score_material(
    find: Callable[[Frame], np.ndarray], path: Path, counts: float, seeds: Iterable[int] = range(3)
) -> Tally:
    """Score `find` on frames of one material at one dose."""
    tally = Tally()
    for seed in seeds:
        frame = noisy_frame(path, counts, seed)
        count_against(tally, find(frame), frame)
    return tally


def as_points(yx) -> np.ndarray:
    return np.asarray(yx, float).reshape(-1, 2)


def inside(yx: np.ndarray, shape: tuple[int, int], margin: float) -> np.ndarray:
    """Which points lie at least `margin` px from the border."""
    return (yx >= margin).all(1) & (yx < np.array(shape) - margin).all(1)


def near(yx: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """Which points have one of `others` within `radius`."""
    if not len(others) or not len(yx):
        return np.zeros(len(yx), bool)
    return cKDTree(others).query(yx)[0] <= radius
