"""Do fast images and a little multislice equal much multislice? And which of them serves real frames?

A small U-Net learns graphene with silicon from training sets of the same size that differ in one thing: where their
images come from.

- fast: `atomnb.simulate.batch`, Gaussian columns, as the shipped models were trained;
- multislice: exposures of the bank's fields (`multislice_bank/graphene-si-K.npz`, HAADF and MAADF), turned, zoomed,
  scanned and counted at random, with patches of dirt as the fast images have them;
- fast + K fields: a quarter of each batch is of K multislice fields, the rest is fast.

Field 5 is in no training set: it is the multislice test, at two doses. The real test is every third frame of the
published defect library (arXiv:1809.04256; `benchmarks/graphene_si.py`): labelled silicon and its neighbours.

    python benchmarks/fast_plus_multislice.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import make_multislice_bank as bank
import numpy as np
import torch
from graphene_si import judged, labelled_frames, summary
from real_frames import data_folder
from record import RESULTS, write_result

from atomnb.data.labelled_scene import LabelledScene
from atomnb.locate.pipeline import analyze
from atomnb.metrics import match_positions
from atomnb.nets.checkpoint import Model, load_model
from atomnb.nets.registry import create_net, describe_net
from atomnb.simulate.batch import Batch, random_batch
from atomnb.simulate.classes import ClassScheme, label_columns
from atomnb.simulate.exposures import ExposureConfig, make_exposures
from atomnb.simulate.ideal import COLUMN_SIGMA_ANGSTROM, IdealImage
from atomnb.train.augment import NO_EFFECTS, augment
from atomnb.train.finetune import turned
from atomnb.train.from_set import CropConfig, batch_of, random_crop
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.recipes import recipe

CLASSES = ("C", "Si")
SCHEME = ClassScheme("graphene-si", CLASSES, (("C", "C"), ("Si*", "Si")))
TRAINING_FIELDS, TEST_FIELD = (1, 2, 3, 4), 5
DETECTORS = ("haadf", "maadf")
BOND = 1.42

SIZE, BATCH = 64, 16
WIDTHS = (16, 24, 32, 48)
POOL = 96
"""Batches of each kind that are simulated; each is shown turned and mirrored in other ways."""

MIXED_SHARE = 0.25
EXPOSURE = ExposureConfig(shape=(112, 112), pixel_size=(0.135, 0.18), dose=(30.0, 20000.0), background=(0.0, 0.3))
DIRT = replace(NO_EFFECTS, contamination=(0.25, 0.2, 1.5), noise=(0.25, 0.0, 0.5))
DOSES = (300, 60)
REPEATS = 3
"""Noisy frames of the test field for each dose and detector."""

FRAME_STEP = 3

SETS: dict[str, tuple[bool, int]] = {
    "fast alone": (True, 0),
    "fast + 1 multislice field": (True, 1),
    "fast + 2 multislice fields": (True, 2),
    "fast + 4 multislice fields": (True, 4),
    "1 multislice field alone": (False, 1),
    "2 multislice fields alone": (False, 2),
    "4 multislice fields alone": (False, 4),
}
"""Name → (with fast images, number of multislice fields)."""


def ideal_of(number: int, detector: str) -> IdealImage:
    """A field of the bank as the noise-free image that exposures are made from."""
    held = bank.read_field(f"graphene-si-{number}")
    image, pixel = held[detector].astype(np.float32), float(held["pixel_size"])
    columns = label_columns(held["columns_yx"].astype(float) * pixel, held["content"], SCHEME)
    return IdealImage(
        image,
        tuple(n * pixel for n in image.shape),
        columns,
        f"graphene-si-{number}-{detector}",
        False,
        COLUMN_SIGMA_ANGSTROM,
        False,
        len(held["content"]),
    )


def multislice_pool(fields: tuple[int, ...], *, batches: int, batch: int, seed: int) -> list[Batch]:
    """Crops of exposures of the fields at the network's scale, neighbours 5 to 10 px apart as in the fast images."""
    each = -(-batches * batch // (len(fields) * len(DETECTORS)))
    scenes: list[LabelledScene] = []
    for number in fields:
        for detector in DETECTORS:
            scenes += make_exposures(ideal_of(number, detector), each, config=EXPOSURE, seed=seed)
    rng = np.random.default_rng([seed, *fields])
    order = rng.permutation(len(scenes))[: batches * batch].reshape(batches, batch)
    # 7 px between neighbours, and as much more or less as fits the exposure
    crops = CropConfig(size=SIZE, pixel_size=BOND / 7.0, zoom=(0.87, 1.42))
    generator = torch.Generator().manual_seed(seed)
    return [
        augment(batch_of([random_crop(scenes[i], crops, rng) for i in row], len(CLASSES)), DIRT, generator)
        for row in order
    ]


def fast_pool(*, seed: int) -> list[Batch]:
    """Batches of the shipped model's recipe, half of its first stage and half of its second, in smaller patches."""
    stages = [replace(scenes, size=SIZE) for _, scenes in recipe("graphene-si").curriculum]
    return [random_batch(np.random.default_rng([seed, k]), BATCH, stages[k % len(stages)]) for k in range(POOL)]


def stream_of(fast: list[Batch], multislice: list[Batch], *, seed: int) -> Callable[[int], Iterator[Batch]]:
    """Batches number `first`, …: of one pool, or a fast one whose first samples are multislice."""
    many = round(MIXED_SHARE * BATCH)

    def batches(first: int) -> Iterator[Batch]:
        while True:
            rng = np.random.default_rng([seed, first])
            parts = []
            if fast:
                kept = BATCH - many if multislice else BATCH
                parts.append(Batch(*(part[:kept] for part in _shown(fast, rng))))
            if multislice:
                size = many if fast else BATCH
                parts.append(Batch(*(part[:size] for part in _shown(multislice, rng))))
            yield Batch(*(torch.cat(both) for both in zip(*parts, strict=True)))
            first += 1

    return batches


def _shown(pool: list[Batch], rng: np.random.Generator) -> Batch:
    """One of the pool with its samples in another order, turned and mirrored."""
    batch = pool[rng.integers(len(pool))]
    order = torch.from_numpy(rng.permutation(len(batch.images)))
    shuffled = Batch(*(part[order] for part in batch))
    return turned(shuffled, quarters=int(rng.integers(4)), flip=bool(rng.integers(2)))


def trained(batches: Callable[[int], Iterator[Batch]], steps: int, seed: int) -> Model:
    """A small U-Net trained on the stream, with the card of the shipped model but no calibration."""
    net = create_net("unet", {"n_classes": len(CLASSES) + 1, "widths": WIDTHS}, seed=seed)
    config = TrainConfig(steps=steps, batch_size=BATCH, warmup_steps=60, ema_decay=0.99, log_steps=steps, seed=seed)
    net = fit(net, batches, config=config).net.requires_grad_(False)
    card = load_model("graphene-si").card
    plain = {"lattice": (1.0, 0.0), "single": (1.0, 0.0)}
    return Model(net, replace(card, name="small", architecture=describe_net(net), calibration=plain, sha256=""))


def on_multislice(model: Model, dose: float) -> dict[str, float]:
    """F1 of positions, and recall and precision of silicon, on noisy frames of the field that no set holds."""
    held = bank.read_field(f"graphene-si-{TEST_FIELD}")
    pixel, yx = float(held["pixel_size"]), held["columns_yx"].astype(float)
    is_silicon = np.char.startswith(held["content"].astype(str), "Si")
    total = dict.fromkeys(("right", "found", "true", "si_right", "si_found", "si_true"), 0)
    for detector in DETECTORS:
        image = held[detector].astype(float)
        inner = ((yx > 6) & (yx < np.array(image.shape) - 7)).all(axis=1)
        for k in range(REPEATS):
            counts = np.random.default_rng([TEST_FIELD, k]).poisson(image / image.sum() * dose * len(yx))
            atoms = analyze(counts.astype(np.float32), model=model, pixel_size=pixel).atoms
            found, named = atoms.positions_yx, atoms.df["species"].to_numpy() == "Si"
            counted = ((found > 6) & (found < np.array(image.shape) - 7)).all(axis=1)
            pairs = match_positions(found, yx, tolerance=0.3 * BOND / pixel).pairs
            right = inner[pairs[:, 1]]
            wrong = counted.copy()  # a right one may lie beyond the border that its true column is inside of
            wrong[pairs[:, 0]] = False
            total["right"] += int(right.sum())
            total["found"] += int(right.sum() + wrong.sum())
            total["true"] += int(inner.sum())
            both = named[pairs[:, 0]] & is_silicon[pairs[:, 1]] & right
            misnamed = (named & counted).copy()
            misnamed[pairs[named[pairs[:, 0]] & is_silicon[pairs[:, 1]], 0]] = False
            total["si_right"] += int(both.sum())
            total["si_found"] += int(both.sum() + misnamed.sum())
            total["si_true"] += int((is_silicon & inner).sum())
    return {
        "f1": _f1(total["right"], total["found"], total["true"]),
        "silicon_f1": _f1(total["si_right"], total["si_found"], total["si_true"]),
    } | total


def _f1(right: int, found: int, true: int) -> float:
    return 2 * right / max(found + true, 1)


def on_real_frames(model: Model) -> dict[str, float]:
    """The measures of `graphene_si.py` on every `FRAME_STEP`-th frame."""
    folder = data_folder() / "graphene_si_library"
    frames = list(labelled_frames(folder).items())[::FRAME_STEP]
    return {"frames": len(frames)} | summary([judged(folder / name, rows, model) for name, rows in frames])


def measured(model: Model) -> dict:
    """All tests of one model."""
    return {"multislice": {str(dose): on_multislice(model, dose) for dose in DOSES}, "real": on_real_frames(model)}


def mean_row(name: str, runs: list[dict]) -> list[str]:
    """A row of the table: means over the trainings, and their spread where it matters."""

    def cell(*path: str) -> str:
        values = np.array([_at(run, path) for run in runs])
        spread = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
        return f"{values.mean():.3f}{spread}"

    doses = [cell("multislice", str(dose), key) for dose in DOSES for key in ("f1", "silicon_f1")]
    return [name, *doses, *(cell("real", key) for key in ("silicon_recall", "silicon_precision", "carbon_recall"))]


def _at(run: dict, path) -> float:
    for key in path:
        run = run[key]
    return run


def table_of(results: dict[str, list[dict]]) -> dict[str, list]:
    """Rows for README."""
    return {
        "columns": [
            "Small U-Net, trained on",
            *(f"multislice, {dose} e⁻: {what}" for dose in DOSES for what in ("F1", "F1 of silicon")),
            *("real frames: silicon recall", "silicon precision", "carbon neighbours"),
        ],
        "rows": [mean_row(name, runs) for name, runs in results.items()],
    }


PANELS = (
    ("multislice, 300 e⁻ per column: F1", ("multislice", "300", "f1")),
    ("multislice, 60 e⁻ per column: F1", ("multislice", "60", "f1")),
    ("real frames: carbon neighbours found", ("real", "carbon_recall")),
)
"""What the curves show: title and where it stands in a training's results."""


def draw_curves(results: dict[str, list[dict]], path: Path) -> None:
    """Each measure against the number of multislice fields, with and without fast images; bars span the trainings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (title, where) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for label, with_fast, style in (("with fast images", True, "o-"), ("multislice alone", False, "s--")):
            names = [name for name, (fast, _) in SETS.items() if fast == with_fast]
            fields = [SETS[name][1] for name in names]
            values = [np.array([_at(run, where) for run in results[name]]) for name in names]
            mean = np.array([v.mean() for v in values])
            span = [mean - [v.min() for v in values], [v.max() for v in values] - mean]
            axes.errorbar(fields, mean, span, fmt=style, capsize=3, label=label)
        axes.set(title=title, xlabel="multislice fields in the training set", xticks=range(5))
        axes.title.set_size("medium")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each set")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results: dict[str, list[dict]] = {name: [] for name in SETS}
    for seed in range(options.seeds):
        fast = fast_pool(seed=seed)
        pools = {
            k: multislice_pool(TRAINING_FIELDS[:k], batches=POOL // 2, batch=BATCH, seed=seed)
            for k in {k for _, k in SETS.values() if k}
        }
        for name, (with_fast, k) in SETS.items():
            stream = stream_of(fast if with_fast else [], pools.get(k, []), seed=seed)
            results[name].append(measured(trained(stream, options.steps, seed)))
            print(f"seed {seed}", " | ".join(mean_row(name, results[name][-1:])), flush=True)
        if not options.dry:  # after each seed, so that a run cut short leaves what it has
            write_result(
                "fast_plus_multislice", {"steps": options.steps, "results": results, "table": table_of(results)}
            )
            draw_curves(results, RESULTS / "fast_plus_multislice.png")


if __name__ == "__main__":
    main()
