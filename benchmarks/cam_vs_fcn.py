"""CAM or FCN: where class-activation maps say a defect is, beside the fully convolutional network, in Å.

Both get the same patches of 64 × 64 px (12.8 Å) of a dichalcogenide sheet with one defect or none: fast images, drawn
as those the classifier was trained on (the FCN never saw this generator), and windows of multislice images
(`benchmarks/validation/val_wse2.npz`, and `benchmarks/multislice_bank` where it has been made).

- named: share of the patches whose class is right, 'none' included.
- found: share of the planted defects within half a bond of a reported one, whatever its name.
- error: distance to the reported one nearest, of the defects that were named rightly.
- false: reported defects farther than half a bond from a planted one, per patch.
- atoms: share of all columns within 0.3 bonds of a reported position, the outermost 1.2 Å not counted. A CAM reports
  one position, that of the defect; 'every maximum' takes all local maxima of its map of the perfect sheet instead.

The FCN names columns and empty sites; `named_defects` names the defects by the neighbours they have.

    python benchmarks/cam_vs_fcn.py            the classifier of runs/cam, trained first (a few minutes) if missing
    python benchmarks/cam_vs_fcn.py --model PATH.safetensors
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from record import RESULTS, ROOT, write_result
from scipy import ndimage
from scipy.spatial import cKDTree

from atomnb.locate.pipeline import Analysis, analyze
from atomnb.metrics import match_positions
from atomnb.nets.cam import CamClassifier, class_activation_map, classify, create_classifier, locate_activation
from atomnb.nets.checkpoint import Model, load_model
from atomnb.resample import resample
from atomnb.train.cam import BORDER, CLASSES, PIXEL_SIZE, SIZE, Patch, sample_patch, train_classifier

HERE = Path(__file__).resolve().parent
BANK = HERE / "multislice_bank"
CHECKPOINT = ROOT / "runs" / "cam" / "classifier.safetensors"

BOND = 1.85
"""Å; the mean of the sheets, which differ by 2 % from it."""

HALF_BOND = 0.5 * BOND
ATOM_MATCH = 0.3 * BOND
EDGE = 1.2
"""Å; columns nearer to the edge of the patch are not counted."""

NEIGHBOURHOOD = 1.25 * BOND
ODD_METAL = 1.35
"""A metal column brighter or darker than the others by this factor is another element (W and Mo: 2.3 and more)."""

ODD_PAIR = 1.2
"""A column on a pair's place is a metal if it is brighter than the pairs by this factor, and more like the metals."""

DOSES = (3000, 300)
SEED = 30_000


class Report(NamedTuple):
    """What a method says of a patch: its class, defects as (name, yx px), best first, and all positions (N, 2) px."""

    name: str
    defects: list[tuple[str, np.ndarray]]
    atoms_yx: np.ndarray


class MultisliceField(NamedTuple):
    """A noise-free image on pixels of `PIXEL_SIZE` and its truth, px."""

    name: str
    image: np.ndarray
    columns_yx: np.ndarray
    defects_yx: np.ndarray
    labels: np.ndarray


def fast_patches(n: int, dose: float) -> Iterable[Patch]:
    """`n` patches, the classes in turn."""
    for k in range(n):
        yield sample_patch(k % len(CLASSES), rng=np.random.default_rng([SEED, k]), electrons_per_column=dose)


def multislice_patches(dose: float, *, per_defect: int = 6) -> Iterable[Patch]:
    """Windows with exactly one defect, at random places; as many without any for each field."""
    for field in multislice_fields():
        rng = np.random.default_rng([SEED, *field.name.encode()])
        for index in range(-1, len(field.defects_yx)):
            made = 0
            for _ in range(400):
                corner = rng.integers(0, np.array(field.image.shape) - SIZE + 1)
                if made < per_defect and _holds_only(field, corner, index):
                    made += 1
                    yield _window(field, corner, index, dose, rng)


def multislice_fields() -> list[MultisliceField]:
    """The validation image of WSe2, and the dichalcogenides of the bank but MoSe2, which mirrors MoS2."""
    with np.load(HERE / "validation" / "val_wse2.npz") as held:
        step_xy = held["sampling"]
        columns = (held["columns"][:, :2] / step_xy)[:, ::-1]
        empty = (held["vacancies"] / step_xy)[:, ::-1]
        image, pixel = held["image"].astype(float).T, float(step_xy.mean())
    left = cKDTree(columns).query(empty)[0] < 0.6 / pixel
    names = np.where(left, "V_X", "V_X2")
    fields = [_on_working_pixels("val_wse2", image, pixel, columns, empty, names)]
    for path in sorted(p for p in BANK.glob("*.npz") if p.stem.split("-")[0] in ("mos2", "ws2", "wse2")):
        with np.load(path) as held:
            names = np.array([general_name(n) for n in held["defect_names"]])
            fields.append(
                _on_working_pixels(
                    path.stem, held["haadf"].astype(float), float(held["pixel_size"]), held["columns_yx"],
                    held["defects_yx"], names,
                )
            )  # fmt: skip
    return fields


def general_name(name: str) -> str:
    """The class of a defect by its full name: 'V_Se2' → 'V_X2', 'W_Se2' → 'M_X2'."""
    what, site = name.split("_")
    place = "X2" if site in ("S2", "Se2") else "X" if site in ("S", "Se") else "M"
    if what == "V":
        return f"V_{place}"
    return "substitution" if place == "M" else f"M_{place}"


def cam_report(net: CamClassifier, image: np.ndarray) -> Report:
    """The class, the peak of its map, and the local maxima of the map of the perfect sheet."""
    label = int(classify(net, image[None])[0].argmax())
    maps = class_activation_map(net, image)
    sheet = maps[CLASSES.index("none")]
    top = (sheet == ndimage.maximum_filter(sheet, size=5)) & (sheet > sheet.mean())
    defects = [] if CLASSES[label] == "none" else [(CLASSES[label], locate_activation(maps[label]))]
    return Report(CLASSES[label], defects, np.argwhere(top).astype(float))


def fcn_report(model: Model, image: np.ndarray) -> Report:
    """Every column and the defects among them; the patch is named after the one the network is surest of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = analyze(image, model=model, pixel_size=PIXEL_SIZE)
    defects = named_defects(analysis)
    return Report(defects[0][0] if defects else "none", defects, analysis.atoms.positions_yx)


def named_defects(analysis: Analysis) -> list[tuple[str, np.ndarray]]:
    """Defects of a 1H sheet from the names of columns and empty sites and of those around them, surest first."""
    pixel = analysis.pixel_size
    atoms, empty = analysis.atoms, analysis.vacancies
    kind = atoms.df["species"].to_numpy().astype(str)
    positions = np.concatenate([atoms.positions_yx, empty.positions_yx])
    score = np.concatenate([atoms.df["score"], empty.df["score"]])
    is_metal = np.concatenate([kind == "metal", np.zeros(len(empty), bool)])
    site = np.concatenate([kind, np.full(len(empty), "vacancy")])
    intensity = np.concatenate([atoms.df["intensity"], np.full(len(empty), np.nan)])
    inside = (np.abs(positions - (SIZE - 1) / 2) < SIZE / 2 - (BORDER - 0.3) / pixel).all(axis=1)
    tree = cKDTree(atoms.positions_yx) if len(atoms) else None
    found = []
    for k in np.flatnonzero(inside):
        near = [j for j in tree.query_ball_point(positions[k], NEIGHBOURHOOD / pixel) if j != k]
        metals_near = np.mean(is_metal[near]) > 0.5 if near else False
        others = inside & (np.arange(len(site)) != k)
        metal, pair = (_median(intensity[others & (site == name)]) for name in ("metal", "chalcogen pair"))
        name = _name(site[k], metals_near, over_metal=intensity[k] / metal, over_pair=intensity[k] / pair)
        if name:
            found.append((score[k], name, positions[k]))
    return [(name, yx) for _, name, yx in sorted(found, key=lambda one: -one[0])]


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _name(site: str, metals_near: bool, *, over_metal: float, over_pair: float) -> str | None:
    """The defect that a column or empty site is; its brightness is given over that of the usual metal and pair."""
    if site == "vacancy":
        return "V_X2" if metals_near else "V_M"
    if site == "single chalcogen":
        return "V_X" if metals_near else "substitution"
    if metals_near:
        like_metal = over_pair > ODD_PAIR and over_pair * over_metal > 1
        return "M_X2" if site == "metal" or like_metal else None
    return "substitution" if over_metal > ODD_METAL or over_metal < 1 / ODD_METAL else None


def judged(patch: Patch, report: Report) -> dict[str, float]:
    """One patch's share of the result; distances in Å."""
    planted = not np.isnan(patch.defect_yx).any()
    distance = [np.hypot(*(yx - patch.defect_yx)) * PIXEL_SIZE for _, yx in report.defects] if planted else []
    nearest = min(distance, default=np.inf)
    named = report.name == CLASSES[patch.label]
    counted = (np.abs(patch.positions_yx - (SIZE - 1) / 2) < SIZE / 2 - EDGE / PIXEL_SIZE).all(axis=1)
    told = np.array([yx for _, yx in report.defects]).reshape(-1, 2)
    return {
        "label": patch.label,
        "named": named,
        "planted": planted,
        "found": nearest < HALF_BOND,
        "error": nearest if planted and named else np.nan,
        "false": len(report.defects) - (nearest < HALF_BOND),
        "columns": int(counted.sum()),
        "atoms": _columns_found(report.atoms_yx, patch, counted),
        "atoms_told": _columns_found(told, patch, counted),
        "positions": len(report.atoms_yx),
    }


def _columns_found(positions, patch: Patch, counted: np.ndarray) -> int:
    pairs = match_positions(positions, patch.positions_yx, tolerance=ATOM_MATCH / PIXEL_SIZE).pairs
    return int(counted[pairs[:, 1]].sum())


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Shares and quantiles over patches."""
    column = {key: np.array([r[key] for r in rows], float) for key in rows[0]}
    planted = column["planted"] > 0
    error = column["error"][~np.isnan(column["error"])]
    by_class = {
        name: {
            "patches": int((column["label"] == k).sum()),
            "named": float(column["named"][column["label"] == k].mean()),
            "found": float(column["found"][column["label"] == k].mean()) if name != "none" else None,
        }
        for k, name in enumerate(CLASSES)
        if (column["label"] == k).any()
    }
    return {
        "patches": len(rows),
        "defects": int(planted.sum()),
        "named": float(column["named"].mean()),
        "found": float(column["found"][planted].mean()),
        "error_median_angstrom": float(np.median(error)) if len(error) else None,
        "error_90_angstrom": float(np.quantile(error, 0.9)) if len(error) else None,
        "false_per_patch": float(column["false"].mean()),
        "atoms_found": float(column["atoms"].sum() / column["columns"].sum()),
        "positions_per_column": float(column["positions"].sum() / column["columns"].sum()),
        "atoms_found_by_defects": float(column["atoms_told"].sum() / column["columns"].sum()),
        "classes": by_class,
    }


def table(results: list[dict]) -> dict[str, list]:
    """Rows for README."""
    rows = []
    for r in results:
        cam, fcn = r["cam"], r["fcn"]
        head = f"{r['images']}, {r['dose']} e⁻ per column"
        rows += [
            [f"{head}: class of the patch right", f"{cam['named']:.1%}", f"{fcn['named']:.1%}"],
            [f"{head}: defects within half a bond", f"{cam['found']:.1%}", f"{fcn['found']:.1%}"],
            [f"{head}: error, median / 90 %", _error(cam), _error(fcn)],
            [f"{head}: all columns found", f"{cam['atoms_found_by_defects']:.1%}", f"{fcn['atoms_found']:.1%}"],
        ]
    return {"columns": ["Defects in MX2, 12.8 Å patches", "CAM", "FCN"], "rows": rows}


def _error(values: dict) -> str:
    median, most = values["error_median_angstrom"], values["error_90_angstrom"]
    return "–" if median is None else f"{median:.2f} / {most:.2f} Å"


def _on_working_pixels(name, image, pixel: float, columns, defects, names) -> MultisliceField:
    shape = tuple(round(n * pixel / PIXEL_SIZE) for n in image.shape)
    factor = np.array(shape) / image.shape
    columns, defects = ((np.asarray(p, float) + 0.5) * factor - 0.5 for p in (columns, defects))
    small = np.clip(resample(image.astype(np.float32), shape), 0, None)
    return MultisliceField(name, small, columns, defects, np.array([_label(n) for n in names], int))


def _label(name: str) -> int:
    return CLASSES.index(name) if name in CLASSES else -1


def _holds_only(field: MultisliceField, corner, index: int) -> bool:
    """Whether the window at `corner` holds defect `index` (-1: none) well inside and no other, nor the rim of one."""
    at = field.defects_yx - corner
    distance_in = np.minimum(at, SIZE - 1 - at).min(axis=1)
    others = np.arange(len(at)) != index
    if (distance_in[others] > -1 / PIXEL_SIZE).any():
        return False
    return index < 0 or (field.labels[index] >= 0 and distance_in[index] > BORDER / PIXEL_SIZE)


def _window(field: MultisliceField, corner, index: int, dose: float, rng: np.random.Generator) -> Patch:
    part = field.image[corner[0] : corner[0] + SIZE, corner[1] : corner[1] + SIZE].astype(float)
    columns = field.columns_yx - corner
    columns = columns[((columns > -0.5) & (columns < SIZE - 0.5)).all(axis=1)]
    image = rng.poisson(part / part.sum() * dose * len(columns)).astype(np.float32)
    place = field.defects_yx[index] - corner if index >= 0 else np.full(2, np.nan)
    label = int(field.labels[index]) if index >= 0 else CLASSES.index("none")
    return Patch(image, label, place, columns, np.full(len(columns), "column"))


def trained_classifier(steps: int, *, again: bool) -> CamClassifier:
    """The classifier of `CHECKPOINT`, trained first when missing."""
    from safetensors.torch import load_file, save_file

    net = create_classifier({"n_classes": len(CLASSES)})
    if again or not CHECKPOINT.exists():
        trained = train_classifier(
            steps=steps, on_log=lambda r: print(f"step {r['step']}  loss {r['loss']:.3f}", flush=True)
        )
        CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in trained.net.state_dict().items()}, CHECKPOINT, {"steps": str(steps)})
    net.load_state_dict(load_file(CHECKPOINT))
    return net.eval()


def draw(net: CamClassifier, model: Model, path: Path) -> None:
    """Patch, class-activation map and FCN map side by side, for three defects."""
    from matplotlib.figure import Figure

    names = ("V_X", "V_X2", "M_X2")
    figure = Figure(figsize=(7.2, 7.4), layout="constrained")
    for row, name in zip(figure.subplots(3, 3), names, strict=True):
        label = CLASSES.index(name)
        patch = sample_patch(label, rng=np.random.default_rng([SEED, 7, label]), electrons_per_column=1000)
        maps = class_activation_map(net, patch.image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            analysis = analyze(patch.image, model=model, pixel_size=PIXEL_SIZE)
        named = CLASSES[int(classify(net, patch.image[None])[0].argmax())]
        row[0].imshow(patch.image, cmap="gray")
        row[1].imshow(maps[label], cmap="magma")
        row[2].imshow(_coloured(analysis))
        y, x = locate_activation(maps[label])
        row[1].plot(x, y, "c+", ms=12, mew=2)
        for panel in row:
            panel.plot(*patch.defect_yx[::-1], "o", ms=13, mfc="none", mec="#3ddc84", mew=1.5)
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_title(f"{name}, 1000 e⁻ per column", fontsize=9)
        row[1].set_title(f"CAM of {name} (says {named})", fontsize=9)
        row[2].set_title("FCN: metal, pair, single, vacancy", fontsize=9)
    figure.savefig(path, dpi=90)


def _coloured(analysis: Analysis) -> np.ndarray:
    """The class probabilities as colours: metal blue, pair orange, single chalcogen red, vacancy white."""
    colours = np.array([[0.2, 0.55, 1.0], [1.0, 0.62, 0.1], [1.0, 0.1, 0.3], [1.0, 1.0, 1.0], [0.5, 1.0, 0.5]])
    maps = analysis.probability[1:]
    return np.clip(np.einsum("chw,ck->hwk", maps, colours[: len(maps)]), 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tmd", help="the FCN: a name or a .safetensors file")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--train", action="store_true", help="train the classifier again")
    parser.add_argument("--patches", type=int, default=300, help="fast patches for each dose")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    net, model = trained_classifier(options.steps, again=options.train), load_model(options.model)
    results = []
    for images, make in (("fast", lambda d: fast_patches(options.patches, d)), ("multislice", multislice_patches)):
        for dose in DOSES:
            patches = list(make(dose))
            result = {"images": images, "dose": dose}
            for method, report in (("cam", lambda i: cam_report(net, i)), ("fcn", lambda i: fcn_report(model, i))):
                result[method] = summary([judged(p, report(p.image)) for p in patches])
                print(images, dose, method, result[method], flush=True)
            results.append(result)
    if not options.dry:
        values = {"fcn": model.card.name, "bond_angstrom": BOND, "results": results, "table": table(results)}
        write_result("cam_vs_fcn", values)
        draw(net, model, RESULTS / "cam_vs_fcn.png")


if __name__ == "__main__":
    main()
