"""Is the crystal of an image recognised, so that the right model and rules are offered?

Multislice images of the validation materials and of the bank at three doses, with the right pixel size, one that is
10 % off, and none; and every experimental lattice image. `right`: the model offered is the material's; `nothing`: no
crystal was recognised, and the user chooses; `wrong`: another model was offered. For materials without a model of
their own nothing is right.

    python benchmarks/recognition.py
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from lattice_images import PIXEL_SIZE_BY_HAND, image_files
from real_frames import data_folder
from record import ROOT, write_result
from scoring import VALIDATION, noisy_frame, specimens
from tmd import noisy

import atomnb

BANK = ROOT / "benchmarks" / "multislice_bank"
DOSES = (3000, 300, 60)
PIXEL_SIZES = {"given": 1.0, "10 % too large": 1.1, "10 % too small": 1 / 1.1, "none": None}

MODEL_OF = {
    "graphene": "graphene-si", "hbn": "universal", "mos2": "tmd", "ws2": "tmd", "wse2": "tmd", "mose2": "tmd",
    "srtio3": "perovskite", "pbtio3": "perovskite", "lao_sto": "perovskite", "g_hbn": "universal",
    "si110": "dumbbell", "gaas110": "dumbbell", "cdte110": "dumbbell",
}  # fmt: skip
"""Model that suits a simulated material, by the beginning of its name; of the others none does."""

REAL = {
    "atomsegnet/10_dso": "perovskite", "atomsegnet/Si110": "dumbbell", "blobnet/WS2": "tmd", "bto_dm4/": "perovskite",
    "graphene/": "graphene-si", "graphene_si_library/": "graphene-si", "ingrained_gb/CdTe": "dumbbell",
    "kemstem/": "perovskite", "scilink_mos2/": "tmd", "temul/": "perovskite", "temul_pypi/example_Se": "tmd",
    "ws2_wse2_janus/": "tmd",
}  # fmt: skip
"""The same for experimental images."""


def expected(name: str, table: dict[str, str]) -> str | None:
    return next((model for start, model in table.items() if name.startswith(start)), None)


def verdict(crystal, model: str | None) -> str:
    if crystal is None:
        return "nothing" if model else "right"
    return "right" if crystal.model == model else "wrong"


def simulated_images():
    """(name, image, pixel size) of each material, field and dose."""
    for dose in DOSES:
        for name, path in specimens(VALIDATION).items():
            frame = noisy_frame(path, dose, 0)
            yield name, dose, frame.image, frame.pixel_size
        for path in sorted(BANK.glob("*.npz")):
            image, pixel_size, *_ = noisy(path, dose, 0)
            yield path.stem, dose, image, pixel_size


def judge_simulated() -> list[dict]:
    rows = []
    for name, dose, image, pixel_size in simulated_images():
        for told, factor in PIXEL_SIZES.items():
            crystal = atomnb.recognize_crystal(image, pixel_size=factor and factor * pixel_size)
            said = verdict(crystal, expected(name, MODEL_OF))
            rows.append({"image": name, "dose": dose, "pixel size": told, "seen": str(crystal), "verdict": said})
            if said != "right":
                print(rows[-1], flush=True)
    return rows


def judge_real(folder: Path) -> list[dict]:
    rows = []
    for path in image_files(folder):
        name = path.relative_to(folder).as_posix()
        size = expected(name, PIXEL_SIZE_BY_HAND)
        crystal = atomnb.recognize_crystal(atomnb.read_image(path), pixel_size=size)
        rows.append({"image": name, "seen": str(crystal), "verdict": verdict(crystal, expected(name, REAL))})
        if rows[-1]["verdict"] != "right":
            print(rows[-1], flush=True)
    return rows


def line(title: str, rows: list[dict]) -> list:
    counts = Counter(row["verdict"] for row in rows)
    return [title, len(rows), counts["right"], counts["nothing"], counts["wrong"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    simulated = judge_simulated()
    real = judge_real(data_folder())
    lines = []
    for told in PIXEL_SIZES:
        lines.append(line(f"multislice, pixel size {told}", [r for r in simulated if r["pixel size"] == told]))
    library = [r for r in real if r["image"].startswith("graphene_si_library/")]
    lines.append(line("experimental: frames of graphene with silicon", library))
    lines.append(line("experimental: all other lattice images", [r for r in real if r not in library]))
    for row in lines:
        print(row)
    table = {"columns": ["Which model suits the image", "images", "right", "nothing", "wrong"], "rows": lines}
    if not options.dry:
        write_result("recognition", {"simulated": simulated, "real": real, "table": table})


if __name__ == "__main__":
    main()
