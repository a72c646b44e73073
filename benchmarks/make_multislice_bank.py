"""Make the bank of multislice images: materials to train on and to be judged by, one file per field of view.

Frozen-phonon PRISM (abTEM) through `atomnb.simulate.multislice`. `benchmarks/multislice_bank/NAME.npz` holds::

    haadf, maadf, abf (H, W)   float16, noise-free, each divided by its maximum; those of its detectors
    scale_haadf, ...           that maximum: share of the beam
    pixel_size                 Å
    columns_yx (N, 2)          px, mean positions
    content (N,)               str: "Mo", "S2", "S", "TiO", ...
    defects_yx (M, 2)          px
    defect_names (M,)          str: "V_S", ...
    atoms_xyz (A, 3), numbers (A,), cell (3,)   the atoms at rest, Å
    provenance                 JSON: structure, optics, settings, versions

Run ``python benchmarks/make_multislice_bank.py`` for all that is missing or was made on a coarser grid than is planned
now, or name the fields wanted; needs extra `simulate`. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / "multislice_bank"
CACHE = ROOT / "runs" / "multislice_cache"

DETECTORS = ("haadf", "maadf", "abf", "bf")


@dataclass(frozen=True)
class Field:
    """One field of view: a structure by name and how it is imaged; `ranges` draws the microscope."""

    structure: str
    seed: int
    options: dict = field(default_factory=dict)
    size: tuple[float, float] = (34.0, 34.0)
    detectors: tuple[str, ...] = ("haadf",)
    energy_ev: float = 80e3
    semiangle: tuple[float, float] = (26.0, 31.0)
    source: tuple[float, float] = (0.6, 1.0)
    defocus: float = 15.0
    c12: float = 12.0
    haadf: tuple[float, float] = (60.0, 150.0)
    phonons: int = 2
    pixel_size: float = 0.15
    slice_thickness: float | None = None
    interpolation: int = 3


SILICON = {"three_fold": 3, "four_fold": 2, "dimers": 1, "vacancies": 1}
SHEET = {"energy_ev": 60e3, "semiangle": (29.0, 33.0), "size": (30.0, 30.0), "detectors": ("haadf", "maadf")}
BULK = {
    "energy_ev": 200e3, "semiangle": (20.0, 25.0), "haadf": (60.0, 100.0), "size": (24.0, 24.0),
    "pixel_size": 0.12, "defocus": 12.0, "c12": 8.0, "source": (0.6, 0.9),
}  # fmt: skip
BOTH = ("haadf", "abf")


def thick(angstrom: float) -> dict[str, float]:
    return {"thickness_angstrom": angstrom}


FIELDS: dict[str, Field] = {
    **{f"mos2-{k}": Field("mos2", k, {"v_x": 10, "v_x2": 1}) for k in (1, 2, 3)},
    **{f"wse2-{k}": Field("wse2", k, {"v_x": 10, "v_x2": 1}) for k in (1, 2, 3)},
    **{f"graphene-si-{k}": Field("graphene-si", k, SILICON, **SHEET) for k in range(1, 6)},
    "mos2-4": Field("mos2", 4, {"v_x": 6, "v_x2": 2, "v_m": 1, "m_x2": 1}, detectors=("haadf", "maadf")),
    "wse2-4": Field("wse2", 4, {"v_x": 6, "v_x2": 2, "v_m": 1, "m_x2": 1}, detectors=("haadf", "maadf")),
    "ws2-1": Field("ws2", 1, {"v_x": 8}),
    "mose2-1": Field("mose2", 1, {"v_x": 8}),
    "srtio3-1": Field("srtio3-001", 1, thick(40.0), detectors=BOTH, **BULK),
    "srtio3-2": Field("srtio3-001", 2, thick(40.0), detectors=BOTH, **BULK),
    "pbtio3-1": Field("pbtio3-001", 1, thick(40.0), detectors=BOTH, **BULK),
    "pbtio3-2": Field("pbtio3-001", 2, thick(60.0), detectors=BOTH, **BULK),
    "si110-1": Field("si-110", 1, thick(40.0), detectors=BOTH, **BULK),
    "si110-2": Field("si-110", 2, thick(60.0), **(BULK | {"slice_thickness": 1.93})),
    "gaas110-1": Field("gaas-110", 1, thick(40.0), detectors=BOTH, **BULK),
    "gaas110-2": Field("gaas-110", 2, thick(60.0), **BULK),
    "hbn-1": Field("hbn", 1, **SHEET),
    # a whole number of cells without interpolation: what the top scatters sideways stays where it belongs
    "srtio3-200": Field(
        "srtio3-001", 3, thick(200.0), detectors=BOTH, **(BULK | {"size": (7.0, 7.0), "interpolation": 1})
    ),
}
"""Every field of the bank: name → what is simulated."""


def optics_of(one: Field):
    """The microscope of a field: the same each time."""
    from atomnb.simulate.optics import OpticsRanges, sample_optics

    ranges = OpticsRanges(
        energy_ev=(one.energy_ev,),
        semiangle_mrad=one.semiangle,
        defocus_angstrom=(-one.defocus, one.defocus),
        aberrations={"C12": (0.0, one.c12), "C21": (0.0, 200.0), "C23": (0.0, 200.0), "C30": (-3000.0, 3000.0)},
        source_fwhm_angstrom=one.source,
    )
    return sample_optics(np.random.default_rng([one.seed, *one.structure.encode()]), ranges)


def config_of(one: Field):
    """How a field is simulated."""
    from atomnb.simulate.multislice import MultisliceConfig
    from atomnb.simulate.thermal import ROOM_TEMPERATURE

    return MultisliceConfig(
        detectors=one.detectors,
        angles_mrad={"haadf": one.haadf},
        phonons=one.phonons,
        thermal_angstrom=dict(ROOM_TEMPERATURE),
        pixel_size=one.pixel_size,
        slice_thickness=one.slice_thickness,
        interpolation=one.interpolation,
        seed=one.seed,
    )


def simulate(one: Field, progress=None) -> dict[str, np.ndarray]:
    """The arrays of one file."""
    from atomnb.simulate.multislice import simulate_multislice
    from atomnb.simulate.structures import create_structure

    structure = create_structure(one.structure, size_angstrom=one.size, seed=one.seed, options=one.options)
    result = simulate_multislice(
        structure, optics=optics_of(one), config=config_of(one), cache=CACHE, progress=progress
    )
    defects = [d.yx_angstrom for d in structure.defects]
    atoms = structure.atoms
    arrays = {name: (image / image.max()).astype(np.float16) for name, image in result.images.items()}
    return arrays | {
        **{f"scale_{name}": np.float32(image.max()) for name, image in result.images.items()},
        "pixel_size": np.float64(result.pixel_size),
        "columns_yx": result.positions_yx.astype(np.float32),
        "content": result.content.astype(str),
        "defects_yx": np.array(defects, np.float32).reshape(-1, 2) / np.float32(result.pixel_size),
        "defect_names": np.array([d.name for d in structure.defects], str),
        "atoms_xyz": atoms.positions.astype(np.float32),
        "numbers": atoms.numbers.astype(np.uint8),
        "cell": atoms.cell.lengths(),
        "provenance": np.array(json.dumps(dict(result.provenance))),
    }


def write(name: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep a field, whole or not at all."""
    from atomnb.io.atomic import atomic_path

    with atomic_path(FOLDER / f"{name}.npz") as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)


def read_field(name: str) -> dict[str, np.ndarray]:
    """The arrays of one file of the bank."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as held:
        return {key: held[key] for key in held.files}


def is_current(name: str) -> bool:
    """Whether the field is there, and its waves were on as fine a grid as they are planned on now."""
    from atomnb.simulate.multislice_plan import SAMPLING

    if not (FOLDER / f"{name}.npz").exists():
        return False
    return json.loads(str(read_field(name)["provenance"])).get("sampling_angstrom", 1.0) <= SAMPLING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", choices=[[], *FIELDS], help="fields to make; default all that are missing or coarse"
    )
    # the first of each material, then the second of each: a bank cut short still holds all materials
    missing = sorted((n for n in FIELDS if not is_current(n)), key=lambda name: int(name.rsplit("-", 1)[1]))
    wanted = parser.parse_args().names or missing
    for name in wanted:
        start, cpu = time.perf_counter(), time.process_time()
        arrays = simulate(FIELDS[name])
        write(name, arrays)
        spent = f"{time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of processor time"
        shape = arrays[FIELDS[name].detectors[0]].shape
        print(f"{name}: {shape} px, {len(arrays['content'])} columns, {spent}", flush=True)


if __name__ == "__main__":
    main()
