"""F1 of atom finding on multislice images of materials the model has never seen, at three doses.

Every frame is analysed with its pixel size given and without. Materials: `benchmarks/validation/` and, where it is
present, the project's scoring kit (ATOMNB_BENCH or ../shared/bench).

    python benchmarks/detection.py                                     atomnb's universal model
    python benchmarks/detection.py --model DIR_OR_NAME --label new     another one
    python benchmarks/detection.py --finder log                        the Laplacian of Gaussian told the true spacing
    python benchmarks/detection.py --model-callable module:function    any function(frame) -> (n, 2) row, col
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from peers import FINDERS
from record import ROOT, write_result
from scoring import VALIDATION, Frame, Tally, bench_folder, score_material, specimens

DOSES = (3000, 300, 60)
"""Detected electrons per visible column."""

Finder = Callable[[Frame], np.ndarray]


def atomnb_finder(model: str, *, pixel_size_given: bool) -> Finder:
    """`atomnb.analyze` as a finder."""
    import atomnb

    def find(frame: Frame) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixel_size = frame.pixel_size if pixel_size_given else None
            return atomnb.analyze(frame.image, model=model, pixel_size=pixel_size).atoms.positions_yx

    return find


def named_callable(name: str) -> Finder:
    """The function behind 'module:function'; modules beside this file are found."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def materials(names: Iterable[str], *, with_bench: bool = True) -> dict[str, tuple[str, Path]]:
    """Material → (where it comes from, file); all of them when `names` is empty."""
    known = {name: ("validation", path) for name, path in specimens(VALIDATION).items()}
    folder = bench_folder()
    if folder is not None and with_bench:
        known |= {name: ("kit", path) for name, path in specimens(folder).items()}
    missing = set(names) - set(known)
    if missing:
        raise SystemExit(f"no material {sorted(missing)}; there are {sorted(known)}.")
    return {name: known[name] for name in names or known}


def score_all(find: Finder, chosen, *, doses, seeds: int, pixel_size: str, report=print) -> list[dict]:
    """One row per material and dose."""
    rows = []
    for dose in doses:
        for name, (source, path) in chosen.items():
            tally: Tally = score_material(find, path, dose, range(seeds))
            row = {"material": name, "source": source, "pixel_size": pixel_size, "dose": dose, **tally.as_row()}
            rows.append(row)
            report(
                f"{pixel_size:>6} {dose:>5} {name:<12} F1 {row['f1']:.4f}  P {row['precision']:.4f}  "
                f"R {row['recall']:.4f}  RMSE {row['rmse_pm'] or float('nan'):5.1f} pm  "
                f"vacancies filled {row['filled']}/{row['vacancies']}"
            )
    return rows


def summarise(rows: list[dict]) -> list[dict]:
    """Mean and worst over the materials for each dose and way of giving the scale."""
    groups: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["pixel_size"], row["dose"]), []).append(row)
    return [_summary(pixel_size, dose, group) for (pixel_size, dose), group in groups.items()]


def _summary(pixel_size: str, dose: int, group: list[dict]) -> dict:
    worst = min(group, key=lambda row: row["f1"])
    vacancies = sum(row["vacancies"] for row in group)
    return {
        "pixel_size": pixel_size,
        "dose": dose,
        "materials": len(group),
        "f1_mean": float(np.mean([row["f1"] for row in group])),
        "f1_worst": worst["f1"],
        "worst_material": worst["material"],
        "precision_mean": float(np.mean([row["precision"] for row in group])),
        "recall_mean": float(np.mean([row["recall"] for row in group])),
        "rmse_pm_median": float(np.median([row["rmse_pm"] for row in group if row["rmse_pm"] is not None] or [np.nan])),
        "vacancies": vacancies,
        "vacancies_filled": sum(row["filled"] for row in group),
        "share_filled": sum(row["filled"] for row in group) / max(vacancies, 1),
    }


def table(summary: list[dict]) -> dict:
    """The table README shows."""
    columns = [
        "pixel size", "electrons per column", "F1 mean", "F1 worst (material)", "precision", "recall",
        "median RMSE (pm)", "vacancies filled",
    ]  # fmt: skip
    rows = [
        [
            s["pixel_size"], s["dose"], f"{s['f1_mean']:.3f}", f"{s['f1_worst']:.3f} ({s['worst_material']})",
            f"{s['precision_mean']:.3f}", f"{s['recall_mean']:.3f}", f"{s['rmse_pm_median']:.1f}",
            f"{s['vacancies_filled']} of {s['vacancies']}",
        ]
        for s in summary
    ]  # fmt: skip
    return {"columns": columns, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="universal", help="model name for atomnb.analyze")
    parser.add_argument("--finder", choices=sorted(FINDERS), help="a peer instead of atomnb")
    parser.add_argument("--model-callable", metavar="MODULE:FUNCTION", help="any finder instead of atomnb")
    parser.add_argument("--label", help="names the result; default: the finder's name")
    parser.add_argument("--materials", nargs="*", default=[])
    parser.add_argument("--doses", nargs="*", type=int, default=list(DOSES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", nargs="*", choices=["given", "none"], default=["given", "none"])
    parser.add_argument("--without-kit", action="store_true", help="only benchmarks/validation")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    sys.path[:0] = [str(Path.cwd()), str(ROOT)]  # the peers' environment has no atomnb

    chosen = materials(options.materials, with_bench=not options.without_kit)
    rows = []
    if options.finder or options.model_callable:
        label = options.label or options.finder or options.model_callable.replace(":", "_")
        find = FINDERS[options.finder] if options.finder else named_callable(options.model_callable)
        rows += score_all(find, chosen, doses=options.doses, seeds=options.seeds, pixel_size="given")
    else:
        label = options.label or options.model
        for scale in options.scale:
            find = atomnb_finder(options.model, pixel_size_given=scale == "given")
            rows += score_all(find, chosen, doses=options.doses, seeds=options.seeds, pixel_size=scale)
    summary = summarise(rows)
    print()
    for s in summary:
        print(
            f"pixel size {s['pixel_size']:>5}, {s['dose']:>5} electrons: F1 mean {s['f1_mean']:.4f}, worst "
            f"{s['f1_worst']:.4f} ({s['worst_material']}), vacancies filled {s['vacancies_filled']}/{s['vacancies']}"
        )
    if not options.dry:
        name = "detection" if label == "universal" else f"detection_{label}"
        write_result(
            name,
            {"finder": label, "seeds": options.seeds, "summary": summary, "rows": rows, "table": table(summary)},
        )


if __name__ == "__main__":
    main()
