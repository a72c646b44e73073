"""Are the columns of multislice images found, and named right? For models of one material, at three doses.

Scored as in `scoring.py`; a name is right where the matched column's heaviest element stands for it; a model may have
a name for columns it cannot tell, which is counted apart. The images are
those of `benchmarks/validation/` and, where it is present, the project's scoring kit; none is in any training set.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from detection import materials
from record import write_result
from scoring import MARGIN, MATCH_RADIUS, Tally, count_against, inside, noisy_frame, pair_up

DOSES = (1000, 300, 60)
"""Detected electrons per visible column."""

SEEDS = range(3)


def judged(
    path: Path,
    counts: float,
    model: str,
    names: Mapping[int, str],
    seeds: Iterable[int] = SEEDS,
    *,
    undecided: str | None = None,
) -> dict:
    """Scores of one material at one dose; `names` gives the class of a column by its heaviest element's number."""
    import atomnb

    tally, named, right, left_open = Tally(), 0, 0, 0
    for seed in seeds:
        frame = noisy_frame(path, counts, seed)
        atoms = atomnb.analyze(frame.image, model=model, pixel_size=frame.pixel_size).atoms
        count_against(tally, atoms.positions_yx, frame)
        pairs = pair_up(atoms.positions_yx, frame.columns_yx, MATCH_RADIUS * frame.spacing)
        pairs = pairs[inside(frame.columns_yx, frame.image.shape, MARGIN)[pairs[:, 1]]]
        truth = np.array([names[z] for z in frame.heaviest_z[pairs[:, 1]]])
        named += len(pairs)
        found = atoms.df["species"].to_numpy().astype(str)[pairs[:, 0]]
        right += int((found == truth).sum())
        left_open += int(((found != truth) & (found == undecided)).sum())
    shares = {"named_right": right / max(named, 1)}
    if undecided is not None:
        shares["left_open"] = left_open / max(named, 1)
    return {"counts": counts} | shares | tally.as_row()


def run(
    model: str,
    names: Mapping[str, Mapping[int, str]],
    *,
    title: str,
    result: str,
    about: str,
    undecided: str | None = None,
) -> None:
    """Score `model` on the materials in `names` and write the result, unless `--dry` is asked for.

    Parameters
    ----------
    model : name of the model by default
    names : material → heaviest element's number → class
    title : of the table's first column
    result : name of the result
    about : the script's docstring
    undecided : name of columns the model cannot tell, if it has one
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=model)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known, rows = materials(()), []
    for material in (m for m in names if m in known):
        for counts in DOSES:
            scores = judged(known[material][1], counts, options.model, names[material], undecided=undecided)
            rows.append({"material": material} | scores)
            print(_cells(rows[-1]), flush=True)
    left_open = [] if undecided is None else ["left open"]
    columns = [title, "F1", "named right", *left_open, "RMSE (pm)", "vacancies filled"]
    if not options.dry:
        write_result(result, {"rows": rows, "table": {"columns": columns, "rows": [_cells(r) for r in rows]}})


def _cells(row: Mapping) -> list[str]:
    error = "–" if row["rmse_pm"] is None else f"{row['rmse_pm']:.1f}"
    return [
        f"{row['material']}, {row['counts']} electrons",
        f"{row['f1']:.3f}",
        f"{row['named_right']:.4f}",
        *([f"{row['left_open']:.4f}"] if "left_open" in row else []),
        error,
        f"{row['filled']} of {row['vacancies']}",
    ]
