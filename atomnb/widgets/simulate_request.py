"""What *Simulate* is asked for: the choices on the page, and the objects of atomnb.simulate they stand for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import DETECTORS, Optics, OpticsRanges

ENGINES = ("fast", "multislice")
FAST_DETECTORS = ("haadf", "maadf")
IDEAL_PIXEL = 0.1
"""Å per pixel of the noise-free image that exposures are made from."""

DEFOCUS_SPREAD, CS_SPREAD_UM, SPREAD = 30.0, 3.0, 0.1
"""How far the microscopes of one set differ: defocus (Å), spherical aberration (µm), and a share of all else."""

DISTORTIONS = {
    "row_jitter_px": ("Jitter of the rows", "px", 0.15, 1.5),
    "drift_px": ("Drift during the frame", "px", 2.0, 20.0),
    "flyback_px": ("Fly-back at the row's start", "px", 0.0, 3.0),
    "background": ("Background", "of peak", 0.05, 0.6),
    "afterglow": ("Detector afterglow", "", 0.0, 0.45),
    "readout_noise": ("Read-out noise", "of SD", 0.0, 0.6),
}
"""Field of `ExposureConfig`: label, unit, value at first, highest value."""

DETECTED, INCIDENT = "electrons_per_column", "electrons_per_angstrom2"
"""What a dose counts, as in `ExposureConfig`: in dark field electrons detected, in bright field those of the beam."""

DOSE_TEXTS = {DETECTED: "electrons per column", INCIDENT: "electrons per Å²"}

DOSE_NOTES = {
    DETECTED: "Counts the electrons detected, per column.",
    INCIDENT: "Counts the electrons of the beam, per Å²: what a bright-field detector counts is mostly background.",
}

MAX_STRAIN = 0.01
"""How far (cosine) the box cut from a user's crystal may be off 90° at first, as in `read_structure`."""

MATERIALS = ("graphene-si", "tmd", "perovskite")


class StructureChoice(NamedTuple):
    """A structure by name; `size` Å, `options` as sorted pairs, so that choices compare and serve as keys."""

    name: str
    size: float
    seed: int
    options: tuple[tuple[str, object], ...] = ()

    def create(self, seed: int | None = None):
        """The `Structure`; another `seed` gives another one of the same kind."""
        from atomnb.simulate.structures import create_structure

        return create_structure(
            self.name,
            size_angstrom=(self.size, self.size),
            seed=self.seed if seed is None else seed,
            options=dict(self.options),
        )


class UserFile(NamedTuple):
    """A structure file of the user's; `changed` tells two states of one file apart."""

    path: Path
    uploaded: bool
    changed: int


class FileChoice(NamedTuple):
    """A structure from a file; lengths in Å, `thickness` 0 for one cell, `tilt_mrad` about x and y."""

    file: UserFile
    size: float
    seed: int
    zone_axis: tuple[int, ...]
    thickness: float
    tilt_mrad: tuple[float, float]
    max_strain: float

    @property
    def name(self) -> str:
        return self.file.path.stem

    def create(self, seed: int | None = None):
        """The `Structure`; another `seed` fills sites that elements share in another way."""
        from atomnb.simulate.structures import read_structure

        return read_structure(
            self.file.path,
            zone_axis=self.zone_axis,
            thickness_angstrom=self.thickness or None,
            tilt_mrad=self.tilt_mrad,
            size_angstrom=(self.size, self.size),
            max_strain=self.max_strain,
            seed=self.seed if seed is None else seed,
        )


def zone_axis_of(text: str) -> tuple[int, ...]:
    """The zone axis a user has typed: '1 1 0', '[1, -1, 0]' or '110'.

    Raises
    ------
    AtomnbError
        If these are not three or four whole numbers.
    """
    body = text.strip().strip("[]()<>").replace(",", " ")
    numbers = re.findall(r"-?\d", body) if re.fullmatch(r"(-?\d){3,4}", body) else body.split()
    if len(numbers) not in (3, 4) or not all(re.fullmatch(r"-?\d{1,3}", number) for number in numbers):
        raise AtomnbError(
            f"a zone axis is three whole numbers, or four of a hexagonal crystal, such as 1 1 0; got {text!r}."
        )
    return tuple(int(number) for number in numbers)


class Microscope(NamedTuple):
    """Engine, detector and optics; lengths in Å, except `cs_um`."""

    engine: str
    detector: str
    energy_kev: float
    semiangle_mrad: float
    defocus: float
    cs_um: float
    source_fwhm: float
    method: str = "prism"
    phonons: int = 6

    def optics(self) -> Optics:
        """The microscope chosen."""
        aberrations = {"C30": self.cs_um * 1e4} if self.cs_um else {}
        return Optics(self.energy_kev * 1e3, self.semiangle_mrad, self.defocus, aberrations, self.source_fwhm)

    def ranges(self) -> OpticsRanges:
        """Microscopes around the one chosen, for a set."""

        def around(value: float, spread: float) -> tuple[float, float]:
            return (round(value - spread, 6), round(value + spread, 6))

        return OpticsRanges(
            energy_ev=(self.energy_kev * 1e3,),
            semiangle_mrad=around(self.semiangle_mrad, SPREAD * self.semiangle_mrad),
            defocus_angstrom=around(self.defocus, DEFOCUS_SPREAD),
            aberrations={"C12": (0.0, 20.0), "C30": around(self.cs_um * 1e4, CS_SPREAD_UM * 1e4)},
            source_fwhm_angstrom=around(self.source_fwhm, SPREAD * self.source_fwhm),
        )

    def multislice(self):
        """The `MultisliceConfig`."""
        from atomnb.simulate.multislice_plan import MultisliceConfig

        return MultisliceConfig(
            method=self.method, detectors=(self.detector,), phonons=self.phonons, pixel_size=IDEAL_PIXEL
        )


class Exposure(NamedTuple):
    """One exposure: `frame` px, `pixel_size` Å, `dose` in `dose_unit` of `ExposureConfig`; distortions as pairs."""

    frame: int
    pixel_size: float
    dose: float
    rotation_deg: float
    distortions: tuple[tuple[str, float], ...]
    dose_unit: str = DETECTED

    def config(self):
        """The `ExposureConfig` with exactly these values."""
        from atomnb.simulate.exposures import ExposureConfig

        angle = round(float(np.deg2rad(self.rotation_deg)), 6)
        still = dict.fromkeys(("source_sigma_angstrom", "offset", "clipped_low", "clipped_high"), (0.0, 0.0))
        return ExposureConfig(
            shape=(self.frame, self.frame),
            pixel_size=(self.pixel_size,) * 2,
            dose=(self.dose,) * 2,
            dose_unit=self.dose_unit,
            rotation_rad=(angle, angle),
            gamma=(1.0, 1.0),
            **{name: (value, value) for name, value in self.distortions},
            **still,
        )


class SetPlan(NamedTuple):
    """A labelled set: how many, of what, over which ranges; `pixel_spread` is a share."""

    structures: int
    images_each: int
    dose_low: float
    dose_high: float
    pixel_spread: float
    vary_optics: bool

    @property
    def total(self) -> int:
        return self.structures * self.images_each

    def config(self, exposure: Exposure):
        """The `ExposureConfig` of the set: any angle, its doses, and distortions up to those of the exposure."""
        from atomnb.simulate.exposures import ExposureConfig

        spread = 1 + self.pixel_spread
        pixels = (round(exposure.pixel_size / spread, 5), round(exposure.pixel_size * spread, 5))
        return ExposureConfig(
            shape=(exposure.frame, exposure.frame),
            pixel_size=pixels,
            dose=(self.dose_low, self.dose_high),
            dose_unit=exposure.dose_unit,
            **{name: (0.0, value) for name, value in exposure.distortions},
        )


class Request(NamedTuple):
    """What the page shows: structure, microscope, exposure, and the key of the class scheme."""

    structure: StructureChoice | FileChoice
    microscope: Microscope
    exposure: Exposure
    scheme: str


def tiling_note(structure, frame_angstrom: float) -> str | None:
    """What to know where the structure fills less than the frame, `frame_angstrom` wide; None where it fills it."""
    height, width = structure.size_angstrom
    if min(height, width) >= frame_angstrom or not structure.atoms.pbc[:2].all():
        return None
    return (
        f"The structure, {height:.0f} × {width:.0f} Å, is smaller than the frame, {frame_angstrom:.0f} Å: it repeats "
        f"side by side, and with it every defect and whatever is there by chance. Take a size of "
        f"{np.ceil(frame_angstrom):.0f} Å or more."
    )


def schemes_of(structures) -> dict[str, str]:
    """Class schemes that fit the structures: key → what the page calls it."""
    from atomnb.data.labelled_scene import IGNORED_CLASS
    from atomnb.simulate.class_schemes import SCHEMES

    contents = contents_of(structures)
    offered = {"content": "by content", "element": "by element", "columns": "one for all"}
    if defects_of(structures):
        offered["defect"] = "by defect"
    for name, scheme in SCHEMES.items():
        material = name in MATERIALS or name.startswith("dumbbell-")
        if material and IGNORED_CLASS not in {scheme.class_of_column(content) for content in contents}:
            offered[name] = f"as model {name.split('-')[0] if name.startswith('dumbbell') else name}"
    return offered


def scheme_of(key: str, structures):
    """The `ClassScheme` of a key of `schemes_of`."""
    from atomnb.simulate import class_schemes

    if key == "content":
        return class_schemes.scheme_by_content(contents_of(structures), vacancies=has_vacancies(structures))
    if key == "element":
        return class_schemes.scheme_by_element(contents_of(structures))
    if key == "defect":
        return class_schemes.scheme_by_defect(defects_of(structures))
    return class_schemes.SCHEMES[key]


def contents_of(structures) -> list[str]:
    """What the columns of all structures hold, each once."""
    return sorted({str(content) for structure in structures for content in structure.columns().content})


def defects_of(structures) -> list[str]:
    """The names of all defects, each once."""
    return sorted({defect.name for structure in structures for defect in structure.defects})


def has_vacancies(structures) -> bool:
    """Whether any defect is a vacancy."""
    return any(defect.kind == "vacancy" for structure in structures for defect in structure.defects)


def detectors_of(engine: str) -> tuple[str, ...]:
    """The detectors an engine can simulate."""
    return FAST_DETECTORS if engine == "fast" else DETECTORS
