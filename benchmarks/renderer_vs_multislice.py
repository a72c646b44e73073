"""The fast renderers against multislice: column profiles, integrated intensities, and what each image costs.

For each field of the bank (`make_multislice_bank.py`), the same atoms are imaged in several ways:

- multislice: frozen-phonon PRISM, the reference;
- convolution: `atomnb.simulate.probe`, nothing fitted, and the same microscope (|ψ|², source, thermal widths);
- calibrated: the same with one brightness per column content ("Mo", "S2", "S", ...) fitted to the reference;
- gaussians: `atomnb.simulate.render`, what training images are made with: one core and one tail for all columns,
  brightness ΣZ^1.7; width, tail and brightness fitted to the image, so this is the best it can do.

One gain per image (for ABF also one level) is free in all. NRMSE = root-mean-square difference / root-mean-square of
the reference (ABF: of its darkness). Profiles are averaged around all columns of one content, out to half the distance
to the next column; all contents weigh the same. `moved` has the atoms where each phonon configuration had them, so
that the few configurations of the reference are no error of the model; `mean` has them at rest with thermal widths.
`intensity` is the spread of the contents' brightness, model / reference, around its mean.

Run ``python benchmarks/renderer_vs_multislice.py``; ``--no-cost`` leaves out the timing.
"""

from __future__ import annotations

import argparse
import json
import time

import make_multislice_bank as bank
import numpy as np
import torch
from record import write_result
from scipy.optimize import minimize
from scipy.spatial import cKDTree

TARGET = 0.05
PROFILE_BINS = 12
SHEET = 5.0
"""Å along the beam up to which a specimen is a sheet."""

TIMED = ("graphene-si-1", "mos2-1")
REPEATS = 5


def settings_of(held):
    """The microscope and the settings that a field was simulated with."""
    from atomnb.simulate.multislice_plan import MultisliceConfig
    from atomnb.simulate.optics import Optics

    provenance = json.loads(str(held["provenance"]))
    config = provenance["config"] | {"detectors": tuple(provenance["config"]["detectors"])}
    return Optics(**provenance["optics"]), MultisliceConfig(**config)


def reference(held, detector: str) -> np.ndarray:
    """The multislice image (H, W) in shares of the beam."""
    return held[detector].astype(np.float64) * float(held[f"scale_{detector}"])


def convolution(held, detector: str, *, moved: bool, content: str | None = None) -> np.ndarray:
    """The convolution model's image (H, W): dark-field cross-sections; for ABF of all that leaves the aperture.

    With `content`, of the columns that hold it alone.
    """
    from atomnb.simulate.optics import detector_angles
    from atomnb.simulate.probe import probe_transfer, render_convolution
    from atomnb.simulate.probe_scattering import apparent_width

    optics, config = settings_of(held)
    outside = (1.05 * optics.semiangle_mrad, 180.0)
    angles = outside if detector == "abf" else detector_angles(detector, optics, config.angles_mrad)
    strength = _strength(held, optics, config, angles)
    if content is not None:
        strength = strength * (held["content"][_column_of(held)] == content)
    positions, thermal = _atoms(held, config, moved=moved)
    width = np.broadcast_to(apparent_width(optics, angles, thermal), positions.shape[:2])
    image = render_convolution(
        torch.as_tensor(positions.copy(), dtype=torch.float32),
        torch.as_tensor(np.broadcast_to(strength, width.shape).copy(), dtype=torch.float32),
        torch.as_tensor(width.copy(), dtype=torch.float32),
        probe_transfer(optics, tuple(held["cell"][1::-1])),
        shape=held[detector].shape,
        pixel_size=float(held["pixel_size"]),
    )
    return image.mean(0).numpy().astype(np.float64)


def calibrated(held, detector: str) -> tuple[np.ndarray, dict[str, float]]:
    """The convolution model with one brightness per content, and those brightnesses relative to their mean."""
    wanted, contents = reference(held, detector), [str(c) for c in np.unique(held["content"])]
    parts = [convolution(held, detector, moved=True, content=c) for c in contents]
    terms = np.stack([part.ravel() for part in parts] + [np.ones(wanted.size)] * (detector == "abf"), axis=1)
    best = np.linalg.lstsq(terms, wanted.ravel(), rcond=None)[0]
    factors = best[: len(contents)]
    return (terms @ best).reshape(wanted.shape), dict(zip(contents, (factors / factors.mean()).tolist(), strict=True))


def _strength(held, optics, config, angles) -> np.ndarray:
    """Scattering power (N,) of the atoms: of a sheet with interference along the beam, of a crystal each alone."""
    from atomnb.simulate.probe_scattering import scattering_strength, sheet_strength

    positions = held["atoms_xyz"].astype(float)
    if np.ptp(positions[:, 2]) > SHEET:
        return scattering_strength(held["numbers"], optics, angles)
    return sheet_strength(positions, held["numbers"], _atoms(held, config, moved=False)[1], optics, angles)


def _atoms(held, config, *, moved: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions (C, N, 2) y, x in Å of C configurations, and thermal widths (N,) that are left to the model."""
    from ase import Atoms

    from atomnb.simulate.multislice import prepared_atoms
    from atomnb.simulate.multislice_engine import displaced
    from atomnb.simulate.thermal import thermal_widths

    atoms = Atoms(numbers=held["numbers"], positions=held["atoms_xyz"].astype(float), cell=held["cell"], pbc=True)
    widths = thermal_widths(atoms.get_chemical_symbols(), config.thermal_angstrom)
    if not moved:
        return atoms.positions[None, :, 1::-1], widths
    ready = prepared_atoms(atoms)
    every = [displaced(ready, config, index).positions[:, 1::-1] for index in range(config.configurations)]
    return np.stack(every), np.zeros(len(atoms))


def gaussians(held, detector: str) -> np.ndarray:
    """The training renderer's image (H, W), its width and tail fitted to the reference."""
    from atomnb.simulate.render import render_probe

    wanted = reference(held, detector)
    shape = wanted.shape
    # columns beyond the image reach into it
    yx, power = _columns_around(held, shape)
    position = torch.as_tensor(yx, dtype=torch.float32)[None]
    weight = torch.as_tensor(power / power.max(), dtype=torch.float32)[None]

    def image(parameters):
        sigma, share, wide = np.exp(parameters[0]), 1 / (1 + np.exp(-parameters[1])), 1.2 + np.exp(parameters[2])
        one = torch.ones(1)
        return render_probe(
            position, weight, torch.full_like(weight, float(sigma)), shape, tail_share=float(share) * one,
            tail_width=float(wide) * one, stretch_yx=torch.zeros(1, 2),
        )[0].numpy().astype(np.float64)  # fmt: skip

    def misfit(parameters):
        return nrmse(image(parameters), wanted, dark=detector == "abf")

    start = [np.log(0.45 / float(held["pixel_size"])), -2.0, 0.0]
    return image(minimize(misfit, start, method="Nelder-Mead", options={"maxfev": 90, "xatol": 0.01}).x)


def _columns_around(held, shape, reach: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) px and ΣZ^1.7 of the columns in and up to `reach` Å around the (periodic) field."""
    pixel = float(held["pixel_size"])
    height, width = held["cell"][1::-1] / pixel
    power = np.bincount(_column_of(held), held["numbers"].astype(float) ** 1.7, minlength=len(held["columns_yx"]))
    shifts = [(i * height, j * width) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    yx = np.concatenate([held["columns_yx"] + s for s in shifts])
    near = ((yx > -reach / pixel) & (yx < np.array(shape) + reach / pixel)).all(axis=1)
    return yx[near], np.tile(power, len(shifts))[near]


def _column_of(held) -> np.ndarray:
    """Index (A,) of the column that each atom belongs to."""
    pixel = float(held["pixel_size"])
    folded = _nearest_in_field(held["atoms_xyz"][:, 1::-1] / pixel, held["columns_yx"], held["cell"][1::-1] / pixel)
    return cKDTree(held["columns_yx"]).query(folded)[1]


def _nearest_in_field(points: np.ndarray, columns: np.ndarray, lengths) -> np.ndarray:
    """The points folded into the field's own copy of the crystal, where the columns are."""
    low = columns.min(axis=0) - 1.0
    return (points - low) % np.asarray(lengths) + low


def fitted(model: np.ndarray, wanted: np.ndarray, *, dark: bool) -> np.ndarray:
    """`model` with its best gain; dark contrast also gets its best level."""
    terms = np.stack([model.ravel(), np.ones(model.size)] if dark else [model.ravel()], axis=1)
    best = np.linalg.lstsq(terms, wanted.ravel(), rcond=None)[0]
    return (terms @ best).reshape(wanted.shape)


def nrmse(model: np.ndarray, wanted: np.ndarray, *, dark: bool) -> float:
    """Root-mean-square difference over the image / root mean square of the reference or of its darkness."""
    scale = wanted.max() - wanted if dark else wanted
    return float(np.linalg.norm(fitted(model, wanted, dark=dark) - wanted) / np.linalg.norm(scale))


def compare(held, detector: str, model: np.ndarray) -> dict:
    """Image, profile and intensity differences of one model's image."""
    wanted = reference(held, detector)
    dark = detector == "abf"
    ours = fitted(model, wanted, dark=dark)
    theirs = wanted.max() - wanted if dark else wanted
    ours = wanted.max() - ours if dark else ours
    yx, content = held["columns_yx"].astype(float), held["content"]
    radius = 0.5 * float(np.median(cKDTree(yx).query(yx, k=2)[0][:, 1]))
    inner = ((yx > radius) & (yx < np.array(wanted.shape) - 1 - radius)).all(axis=1)
    profiles, intensities = {}, {}
    for kind in np.unique(content[inner]):
        mine = yx[inner & (content == kind)]
        pair = [np.stack([_profile(image, c, radius) for c in mine]) for image in (ours, theirs)]
        mean = [p.mean(axis=0) for p in pair]
        profiles[str(kind)] = float(np.linalg.norm(mean[0] - mean[1]) / np.linalg.norm(mean[1]))
        sums = [np.array([_integrated(image, c, radius) for c in mine]) for image in (ours, theirs)]
        intensities[str(kind)] = {"ratio": float(sums[0].mean() / sums[1].mean()), "columns": len(mine)}
    ratios = np.array([i["ratio"] for i in intensities.values()])
    return {
        "image_nrmse": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)),
        "profile_nrmse": float(np.sqrt(np.mean(np.square(list(profiles.values()))))),
        "profile_nrmse_by_content": profiles,
        "intensity_nrmse": float(np.sqrt(np.mean((ratios / ratios.mean() - 1) ** 2))),
        "intensity_by_content": intensities,
    }


def _profile(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Mean brightness on `PROFILE_BINS` rings of equal width around `centre`, interpolated linearly."""
    from scipy.ndimage import map_coordinates

    r = (np.arange(PROFILE_BINS) + 0.5) / PROFILE_BINS * radius
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = centre[:, None, None] + np.stack([np.sin(angle), np.cos(angle)])[:, None] * r[:, None]
    return map_coordinates(image, points, order=3, mode="nearest").mean(axis=1)


def _integrated(image: np.ndarray, centre: np.ndarray, radius: float) -> float:
    """Brightness integrated over the disc around `centre`, px² × brightness."""
    r = (np.arange(PROFILE_BINS) + 0.5) / PROFILE_BINS * radius
    return float((_profile(image, centre, radius) * 2 * np.pi * r).sum() * radius / PROFILE_BINS)


def field_result(name: str) -> dict:
    """All comparisons of one field, by detector."""
    held = bank.read_field(name)
    out = {}
    for detector in (d for d in bank.DETECTORS if d in held):
        moved, mean = (convolution(held, detector, moved=m) for m in (True, False))
        tuned, brightness = calibrated(held, detector)
        row = {
            "convolution_moved": compare(held, detector, moved),
            "convolution_mean": compare(held, detector, mean),
            "calibrated": compare(held, detector, tuned) | {"brightness": brightness},
            "gaussians": compare(held, detector, gaussians(held, detector)),
        }
        if detector != "abf":
            row["absolute_brightness_ratio"] = float(moved.mean() / reference(held, detector).mean())
        for model in ("convolution_moved", "calibrated"):
            row[model]["holds"] = row[model]["profile_nrmse"] <= TARGET
        out[detector] = row
    return out


def cost(name: str) -> dict:
    """Processor seconds per image of PRISM (all its configurations) and of the fast renderers, one thread."""
    from atomnb.simulate.multislice import prepared_atoms
    from atomnb.simulate.multislice_engine import abtem_settings, displaced, run_configuration
    from atomnb.simulate.multislice_plan import plan_multislice
    from atomnb.simulate.structures import create_structure

    one = bank.FIELDS[name]
    optics, config = bank.optics_of(one), bank.config_of(one)
    structure = create_structure(one.structure, size_angstrom=one.size, seed=one.seed, options=one.options)
    atoms = prepared_atoms(structure)
    plan = plan_multislice(tuple(atoms.cell.lengths()), optics, config, heights=atoms.positions[:, 2])
    with abtem_settings(config):
        start = time.process_time()
        run_configuration(displaced(atoms, config, 0), plan, optics, config, lambda share: None)
        prism = (time.process_time() - start) * config.configurations
    held = bank.read_field(name)
    detector = one.detectors[0]
    fast = {"convolution": _fast_seconds(held, detector), "gaussians": _gaussian_seconds(held, detector)}
    ratios = {"ratio": prism / fast["convolution"], "gaussian_ratio": prism / fast["gaussians"]}
    return {"prism_s": prism, **{f"{k}_s": v for k, v in fast.items()}, **ratios}


def _fast_seconds(held, detector: str) -> float:
    """Processor seconds per image of the convolution model in a batch of eight, microscopes drawn anew each time."""
    from atomnb.simulate.optics import detector_angles
    from atomnb.simulate.probe import probe_transfer, render_convolution
    from atomnb.simulate.probe_scattering import apparent_width

    optics, config = settings_of(held)
    angles = detector_angles(detector, optics, config.angles_mrad)
    positions, thermal = _atoms(held, config, moved=False)
    strength = np.tile(_strength(held, optics, config, angles), (8, 1))
    width = np.tile(apparent_width(optics, angles, thermal), (8, 1))
    yx, strength, width = (
        torch.as_tensor(v, dtype=torch.float32) for v in (np.tile(positions, (8, 1, 1)), strength, width)
    )

    def images():
        transfer = probe_transfer([optics] * 8, tuple(held["cell"][1::-1]))
        return render_convolution(
            yx, strength, width, transfer, shape=held[detector].shape, pixel_size=float(held["pixel_size"])
        )

    return _processor_seconds(images) / 8


def _gaussian_seconds(held, detector: str) -> float:
    from atomnb.simulate.render import render_probe

    shape = held[detector].shape
    yx, power = _columns_around(held, shape)
    position = torch.as_tensor(yx, dtype=torch.float32)[None].repeat(8, 1, 1)
    weight = torch.as_tensor(power, dtype=torch.float32)[None].repeat(8, 1)
    share = torch.full((8,), 0.1)

    def images():
        return render_probe(
            position, weight, torch.full_like(weight, 3.0), shape, tail_share=share, tail_width=2 * torch.ones(8),
            stretch_yx=torch.zeros(8, 2),
        )  # fmt: skip

    return _processor_seconds(images) / 8


def _processor_seconds(work) -> float:
    """Median processor time of `work` after one warm-up."""
    work()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def verdict(row: dict) -> str:
    """In words, whether the convolution model holds."""
    if row["convolution_moved"]["holds"]:
        return "holds"
    return "holds when calibrated" if row["calibrated"]["holds"] else "fails"


def fields_to_compare() -> list[str]:
    """All fields of each specimen whose waves were on the grid planned now; where there are none, those on a coarser.

    A coarser grid makes heavy columns too bright or too dark by up to a quarter: it says less of the fast models.
    """
    there = [name for name in bank.FIELDS if (bank.FOLDER / f"{name}.npz").exists()]
    current = {_specimen(name) for name in there if bank.is_current(name)}
    return [name for name in there if bank.is_current(name) or _specimen(name) not in current]


def table(fields: dict[str, dict], costs: dict[str, dict], coarse: list[str]) -> dict[str, list]:
    """Rows for README: the mean over the fields of one material and thickness, then what an image costs."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for name, detectors in fields.items():
        for detector, row in detectors.items():
            specimen = _specimen(name) + " (coarser grid)" * (name in coarse)
            groups.setdefault((specimen, detector.upper()), []).append(row)

    def mean(rows: list[dict], model: str) -> float:
        return float(np.mean([row[model]["profile_nrmse"] for row in rows]))

    rows = []
    for (specimen, detector), members in groups.items():
        values = [mean(members, model) for model in ("convolution_moved", "calibrated", "gaussians")]
        combined = {
            key: {"holds": v <= TARGET} for key, v in zip(("convolution_moved", "calibrated"), values, strict=False)
        }
        rows.append([f"{specimen}, {detector}", *(f"{v:.3f}" for v in values), verdict(combined)])
    for name, row in costs.items():
        rows.append([f"{name}: × faster than PRISM", f"{row['ratio']:.0f}", "–", f"{row['gaussian_ratio']:.0f}", "–"])
    heads = ["Profile NRMSE against multislice", "convolution", "one brightness per content fitted", "fitted Gaussians"]
    return {"columns": [*heads, f"convolution within {TARGET:.0%}"], "rows": rows}


def _specimen(name: str) -> str:
    """Material and, of crystals, thickness of a field."""
    one = bank.FIELDS[name]
    thickness = one.options.get("thickness_angstrom")
    return one.structure if thickness is None else f"{one.structure}, {thickness:.0f} Å"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-cost", action="store_true", help="leave out the timing of PRISM")
    parser.add_argument("--dry", action="store_true", help="write no result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fields = {}
    heads = ("convolution", "at rest", "calibrated", "Gaussians", "intensity")
    print(f"{'profile NRMSE':23}" + "".join(f"{head:>12}" for head in heads))
    chosen = fields_to_compare()
    coarse = [name for name in chosen if not bank.is_current(name)]
    for name in chosen:
        fields[name] = field_result(name)
        for detector, row in fields[name].items():
            models = ("convolution_moved", "convolution_mean", "calibrated", "gaussians")
            values = [row[model]["profile_nrmse"] for model in models]
            values.append(row["convolution_moved"]["intensity_nrmse"])
            print(f"{name:16}{detector:7}" + "".join(f"{v:12.3f}" for v in values) + f"  {verdict(row)}", flush=True)
    costs = {} if arguments.no_cost else {n: cost(n) for n in TIMED if n in fields}
    for name, row in costs.items():
        fast = 1e3 * row["convolution_s"]
        print(f"{name}: PRISM {row['prism_s']:.1f} s, convolution {fast:.1f} ms: {row['ratio']:.0f}×")
    if not arguments.dry:
        values = {"target_nrmse": TARGET, "fields": fields, "cost": costs, "coarse": coarse}
        write_result("renderer_vs_multislice", values | {"table": table(fields, costs, coarse)})


if __name__ == "__main__":
    main()
