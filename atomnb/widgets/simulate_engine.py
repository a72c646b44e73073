"""The simulations behind *Simulate*: one image by the engine chosen, and a whole labelled set."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from atomnb.errors import RangeWarning
from atomnb.said import warn
from atomnb.widgets.simulate_request import IDEAL_PIXEL, Microscope, Request, SetPlan, scheme_of, tiling_note

BUILDING = 0.05
"""Share of the work on a set that goes into its structures."""


def engine_image(microscope: Microscope, structure, *, optics=None, cache: Path | None, progress) -> np.ndarray:
    """The noise-free image (H, W) of the structure's cell, by the microscope's engine.

    Parameters
    ----------
    microscope : Microscope
    structure : Structure
    optics : Optics, optional
        In place of the microscope's own.
    cache : path or None
        Folder that keeps multislice images.
    progress : called with (share done, message)
    """
    optics = optics or microscope.optics()
    if microscope.engine == "fast":
        from atomnb.simulate.convolution import convolution_image

        progress(0.0, "rendering")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RangeWarning)  # the page says it beside the engine
            return convolution_image(structure, optics=optics, detector=microscope.detector, pixel_size=IDEAL_PIXEL)
    from atomnb.simulate.multislice import simulate_multislice

    config = microscope.multislice()
    images = simulate_multislice(structure, optics=optics, config=config, cache=cache, progress=progress)
    return images.images[microscope.detector]


def labelled_image(image: np.ndarray, structure, scheme, microscope: Microscope):
    """The `IdealImage` of what `engine_image` gave."""
    from atomnb.simulate.ideal import DARK_DETECTORS, ideal_image

    dark = microscope.detector in DARK_DETECTORS
    return ideal_image(image, structure, pixel_size=IDEAL_PIXEL, scheme=scheme, dark=dark)


def write_set(request: Request, plan: SetPlan, path: Path, *, cache: Path | None, progress) -> tuple[str, ...]:
    """Write a labelled set of structures like the one asked for; returns its classes.

    Warns (RangeWarning) where structures that hold something by chance repeat within the frames.
    """
    from atomnb.data.labelled_writer import write_labelled_set

    seeds = range(request.structure.seed, request.structure.seed + plan.structures)
    structures = []
    for number, seed in enumerate(seeds, start=1):
        progress(BUILDING * number / plan.structures, f"structure {number} of {plan.structures}")
        structures.append(request.structure.create(seed))
    _warn_of_tiling(structures, request.exposure.frame * max(plan.config(request.exposure).pixel_size))
    scheme = scheme_of(request.scheme, structures)
    provenance = {
        "made_by": "Simulate",
        "structures": [structure.provenance for structure in structures],
        "microscope": request.microscope._asdict(),
        "exposure": plan.config(request.exposure).to_dict(),
        "scheme": scheme.to_dict(),
    }

    def told(fraction: float, message: str) -> None:
        progress(BUILDING + (1 - BUILDING) * fraction, message)

    scenes = _scenes(request, plan, structures, scheme, cache, told)
    write_labelled_set(path, scenes, classes=scheme.classes, provenance=provenance, total=plan.total)
    progress(1.0, "written")
    return scheme.classes


def _warn_of_tiling(structures, frame_angstrom: float) -> None:
    """Perfect crystals may repeat; defects and random sites become a lattice of their own."""
    first = structures[0]
    by_chance = first.defects or any(structure.atoms != first.atoms for structure in structures[1:])
    smallest = min(structures, key=lambda structure: min(structure.size_angstrom))
    note = tiling_note(smallest, frame_angstrom)
    if by_chance and note:
        warn(note, RangeWarning)


def _scenes(request: Request, plan: SetPlan, structures, scheme, cache: Path | None, progress):
    from atomnb.simulate.exposures import make_exposures
    from atomnb.simulate.optics import sample_optics

    seed, config, microscope = request.structure.seed, plan.config(request.exposure), request.microscope
    done = 0
    for number, structure in enumerate(structures):
        rng = np.random.default_rng([seed, number])
        optics = sample_optics(rng, microscope.ranges()) if plan.vary_optics else None

        def rendering(fraction: float, message: str, number: int = number) -> None:
            progress((number + 0.8 * fraction) / plan.structures, f"structure {number + 1}: {message}")

        image = engine_image(microscope, structure, optics=optics, cache=cache, progress=rendering)
        ideal = labelled_image(image, structure, scheme, microscope)
        for scene in make_exposures(ideal, plan.images_each, config=config, seed=seed):
            done += 1
            progress(done / plan.total, f"image {done} of {plan.total}")
            yield scene
