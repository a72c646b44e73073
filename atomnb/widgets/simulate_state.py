"""The state of *Simulate*: what is simulated, how it is seen and labelled, and the set built from it. No widgets."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import traitlets

from atomnb.errors import AtomnbError
from atomnb.said import gathered_warnings
from atomnb.simulate.ideal import DARK_DETECTORS
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.report import ErrorReport, report_of
from atomnb.widgets.simulate_engine import engine_image, labelled_image, write_set
from atomnb.widgets.simulate_request import (
    DETECTED,
    DISTORTIONS,
    INCIDENT,
    MAX_STRAIN,
    Exposure,
    FileChoice,
    Microscope,
    Request,
    SetPlan,
    StructureChoice,
    UserFile,
    detectors_of,
    scheme_of,
    schemes_of,
)

SETS = "sets"
"""Folder of the data folder where sets are written."""

FILE = "file"
"""The structure that comes from the user's own file."""

FIRST, FIRST_OPTIONS = "mos2", {"v_x": 4, "v_x2": 1}
"""What the page shows when it opens."""

SIZES = (5.0, 400.0)
"""Smallest and largest size of a structure, Å."""

DIFFRACTION_REACH = 1.1
"""Highest frequency of the diffractogram, 1/Å."""

CHOICES = (
    *("structure", "size", "seed", "options", "file", "zone_axis"),
    *("thickness", "tilt_about_x", "tilt_about_y", "max_strain"),
    *("engine", "detector", "energy_kev", "semiangle_mrad", "defocus", "cs_um", "source_fwhm", "method", "phonons"),
    *("frame", "pixel_size", "dose", "incident_dose", "rotation_deg", "distortions", "scheme"),
)
"""Traits that the image depends on."""


class Shown(NamedTuple):
    """A simulation made ready for the page: `classes` counts the columns seen, by class."""

    request: Request
    structure: object
    schemes: dict[str, str]
    scheme: object
    ideal: object
    scene: object
    power: tuple[np.ndarray, float]
    spots: np.ndarray
    classes: dict[str, int]


class Built(NamedTuple):
    """A labelled set on disk: `path` below the data folder; `messages` is what building it warned of."""

    path: str
    images: int
    structures: int
    classes: tuple[str, ...]
    bytes: int
    messages: tuple[str, ...] = ()


class SimulateState(traitlets.HasTraits):
    """Everything the page shows; panels only link to it.

    Parameters
    ----------
    folder : DataFolder
        Where labelled sets are written.
    preview : Jobs
        Runs what follows every change: a later one replaces it.
    jobs : Jobs
        Runs what takes long: multislice and sets.
    cache : path, optional
        Folder that keeps multislice images.
    """

    structure = traitlets.Unicode(FIRST)
    size = traitlets.Float(40.0, min=SIZES[0], max=SIZES[1])
    seed = traitlets.Int(0, min=0)
    options = traitlets.Dict(FIRST_OPTIONS)
    file = traitlets.Any(None, allow_none=True)
    zone_axis = traitlets.Tuple(default_value=(0, 0, 1))
    thickness = traitlets.Float(0.0, min=0.0)
    tilt_about_x = traitlets.Float(0.0)
    tilt_about_y = traitlets.Float(0.0)
    max_strain = traitlets.Float(MAX_STRAIN)
    engine = traitlets.Unicode("fast")
    detector = traitlets.Unicode("haadf")
    energy_kev = traitlets.Float(80.0)
    semiangle_mrad = traitlets.Float(30.0)
    defocus = traitlets.Float(0.0)
    cs_um = traitlets.Float(0.0)
    source_fwhm = traitlets.Float(0.8)
    method = traitlets.Unicode("prism")
    phonons = traitlets.Int(6)
    frame = traitlets.Int(256, min=32, max=1024)
    pixel_size = traitlets.Float(0.15)
    dose = traitlets.Float(1000.0)
    incident_dose = traitlets.Float(20_000.0)
    rotation_deg = traitlets.Float(0.0)
    distortions = traitlets.Dict({name: at_first for name, (_, _, at_first, _) in DISTORTIONS.items()})
    scheme = traitlets.Unicode("content")
    shown = traitlets.Any(None, allow_none=True)
    estimate = traitlets.Any(None, allow_none=True)
    report = traitlets.Any(None, allow_none=True)

    set_name = traitlets.Unicode("")
    set_structures = traitlets.Int(8, min=1, max=500)
    set_images = traitlets.Int(10, min=1, max=1000)
    set_doses = traitlets.Tuple(default_value=(100.0, 3000.0))
    set_incident_doses = traitlets.Tuple(default_value=(5000.0, 100_000.0))
    set_pixel_spread = traitlets.Float(0.1, min=0.0, max=0.5)
    set_vary_optics = traitlets.Bool(True)
    built = traitlets.Any(None, allow_none=True)

    def __init__(self, *, folder: DataFolder, preview: Jobs, jobs: Jobs, cache: Path | None = None) -> None:
        super().__init__()
        self.folder, self.preview, self.jobs, self.cache = folder, preview, jobs, cache
        self._held: dict[str, tuple] = {}

    # ---------- choices ----------
    def choose_structure(self, name: str) -> None:
        """Take another structure, with its own options and a scheme that fits it."""
        with self.hold_trait_notifications():
            self.options = dict(FIRST_OPTIONS) if name == FIRST else {}
            self.scheme = "content"
            self.structure = name

    def choose_file(self, path: Path, *, uploaded: bool = False) -> None:
        """Take a structure file of the user's."""
        with self.hold_trait_notifications():
            self.options = {}
            self.scheme = "content"
            self.file = UserFile(path, uploaded, path.stat().st_mtime_ns)
            self.structure = FILE

    def choose_engine(self, engine: str) -> None:
        """Take another engine; a detector it cannot simulate gives way to HAADF."""
        with self.hold_trait_notifications():
            if self.detector not in detectors_of(engine):
                self.detector = "haadf"
            self.engine = engine

    @property
    def request(self) -> Request:
        """What the page asks for now."""
        return Request(
            self._chosen(),
            Microscope(
                self.engine, self.detector, self.energy_kev, self.semiangle_mrad, self.defocus, self.cs_um,
                self.source_fwhm, self.method, self.phonons,
            ),
            Exposure(
                self.frame, self.pixel_size, self.dose_chosen, self.rotation_deg,
                tuple(sorted(self.distortions.items())), self.dose_unit,
            ),
            self.scheme,
        )  # fmt: skip

    def _chosen(self) -> StructureChoice | FileChoice:
        if self.structure != FILE:
            return StructureChoice(self.structure, self.size, self.seed, tuple(sorted(self.options.items())))
        tilt = (self.tilt_about_x, self.tilt_about_y)
        zone = tuple(self.zone_axis)
        return FileChoice(self.file, self.size, self.seed, zone, self.thickness, tilt, self.max_strain)

    @property
    def dose_unit(self) -> str:
        """What doses count: what is detected in dark field, the beam in bright field."""
        return INCIDENT if self.detector in DARK_DETECTORS else DETECTED

    @property
    def dose_chosen(self) -> float:
        """The dose of the image, in `dose_unit`."""
        return self.incident_dose if self.dose_unit == INCIDENT else self.dose

    @property
    def set_doses_chosen(self) -> tuple[float, float]:
        """The doses of a set, in `dose_unit`."""
        return self._set_doses(self.dose_unit)

    def _set_doses(self, dose_unit: str) -> tuple[float, float]:
        return self.set_incident_doses if dose_unit == INCIDENT else self.set_doses

    @property
    def plan(self) -> SetPlan:
        """The labelled set the page would build now."""
        return self._plan(self.dose_unit)

    def _plan(self, dose_unit: str) -> SetPlan:
        low, high = self._set_doses(dose_unit)
        return SetPlan(
            self.set_structures,
            self.set_images,
            float(low),
            float(high),
            self.set_pixel_spread,
            self.set_vary_optics,
        )

    @property
    def stale(self) -> bool:
        """Whether the image is that of earlier choices."""
        return self.shown is not None and self.shown.request != self.request

    @property
    def awaits_multislice(self) -> bool:
        """Whether the image chosen needs a multislice simulation that has not run."""
        request = self.request
        return request.microscope.engine == "multislice" and not self._has("image", _image_key(request))

    # ---------- the image ----------
    def render(self) -> None:
        """Simulate and show; with multislice only what needs no new simulation."""
        self.preview.cancel()
        if self.awaits_multislice:
            return
        request = self.request
        self.report = None
        self.preview.run(
            "Simulating",
            lambda progress: self._simulate(request, progress),
            done=self._take,
            failed=self._failing("simulating the image"),
        )

    def estimate_multislice(self) -> None:
        """Find out how long the simulation takes and how much memory it needs."""
        request = self.request

        def work(progress):
            from atomnb.simulate.multislice_estimate import estimate_multislice

            progress(0.1, "building the structure")
            structure = self._structure(request)
            progress(0.3, "timing a few waves")
            microscope = request.microscope
            found = estimate_multislice(structure, optics=microscope.optics(), config=microscope.multislice())
            return request, found

        self._run("Estimating", work, self._take_estimate, "estimating the simulation")

    def run_multislice(self) -> None:
        """Run the multislice simulation, then show its image."""
        request = self.request

        def work(progress) -> Shown:
            return self._simulate(request, progress)

        self._run("Multislice", work, self._take, "running multislice")

    def _take(self, shown: Shown) -> None:
        self.shown = shown

    def _take_estimate(self, found) -> None:
        self.estimate = found

    def _simulate(self, request: Request, progress) -> Shown:
        from atomnb.simulate.diffractogram import lattice_spots, log_power
        from atomnb.simulate.exposures import make_exposures

        progress(0.02, "building the structure")
        structure = self._structure(request)
        image = self._image(request, structure, lambda f, message: progress(0.05 + 0.85 * f, message))
        schemes = schemes_of([structure])
        key = request.scheme if request.scheme in schemes else "content"
        scheme = scheme_of(key, [structure])
        ideal = self._hold(
            "ideal", (_image_key(request), key), lambda: labelled_image(image, structure, scheme, request.microscope)
        )
        progress(0.93, "exposing")
        scene = next(make_exposures(ideal, 1, config=request.exposure.config(), seed=request.structure.seed))
        spots = lattice_spots(
            ideal, reach=DIFFRACTION_REACH, rotation_rad=float(np.deg2rad(request.exposure.rotation_deg))
        )
        power = log_power(scene.image, pixel_size=scene.pixel_size, reach=DIFFRACTION_REACH)
        counts = {name: int((scene.column_class == k).sum()) for k, name in enumerate(scheme.classes, start=1)}
        return Shown(request, structure, schemes, scheme, ideal, scene, power, spots, counts)

    def _structure(self, request: Request):
        return self._hold("structure", request.structure, request.structure.create)

    def _image(self, request: Request, structure, progress) -> np.ndarray:
        return self._hold(
            "image",
            _image_key(request),
            lambda: engine_image(request.microscope, structure, cache=self.cache, progress=progress),
        )

    # ---------- the set ----------
    def build_set(self) -> None:
        """Write a labelled set of structures like the one shown into the data folder."""
        request, plan, name = self.request, self.plan, self.set_name.strip() or self.default_set_name
        _check_name(name)
        low, high = plan.dose_low, plan.dose_high
        if not 0 < low <= high:
            raise AtomnbError(f"the doses must be positive, the lowest first; got {low:g} and {high:g} electrons.")
        path = self.folder.root / SETS / f"{name}.h5"

        def work(progress) -> Built:
            with gathered_warnings() as said:
                classes = write_set(request, plan, path, cache=self.cache, progress=progress)
            where = path.relative_to(self.folder.root).as_posix()
            return Built(where, plan.total, plan.structures, classes, path.stat().st_size, tuple(said))

        self.built = None
        self._run("Building the set", work, self._take_built, "building the set")

    def _take_built(self, built: Built) -> None:
        self.built = built

    @property
    def default_set_name(self) -> str:
        """What a set is called that the user has not named."""
        name = self.file.path.stem if self.structure == FILE else self.structure
        plain = re.sub(r"[^\w.+-]+", "_", name).lstrip(".+-")[:60]
        return f"{plain or FILE}-{self.detector}"

    # ---------- code ----------
    def code(self) -> str:
        """Python that gives the image shown; empty before there is one."""
        from atomnb.widgets.simulate_code import image_code

        return "" if self.shown is None else image_code(self._request_shown(), self.shown.structure)

    def set_code(self) -> str:
        """Python that gives the set the page would build of what is shown; empty before there is an image."""
        from atomnb.widgets.simulate_code import set_code

        if self.shown is None:
            return ""
        name = f"{self.set_name.strip() or self.default_set_name}.h5"
        request = self._request_shown()
        return set_code(request, self._plan(request.exposure.dose_unit), self.shown.structure, name=name)

    def _request_shown(self) -> Request:
        request = self.shown.request
        return request if request.scheme in self.shown.schemes else request._replace(scheme="content")

    # ---------- errors, memory ----------
    def show_report(self, report: ErrorReport) -> None:
        """Show an error on the page."""
        self.report = report

    def _failing(self, doing: str):
        return lambda error: self.show_report(report_of(error, doing=doing))

    def _run(self, title: str, work, done, doing: str) -> None:
        self.preview.cancel()
        self.report = None
        self.jobs.run(title, work, done=done, failed=self._failing(doing))

    def _has(self, stage: str, key) -> bool:
        return stage in self._held and self._held[stage][0] == key

    def _hold(self, stage: str, key, make):
        """The value of a stage, made anew only when its key has changed."""
        if not self._has(stage, key):
            self._held[stage] = (key, make())
        return self._held[stage][1]


def _image_key(request: Request) -> tuple:
    return request.structure, request.microscope


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w .+-]{0,80}", name):
        raise AtomnbError(
            f"a set cannot be called {escape(name)!r}: use letters, digits, spaces, and . _ + - after the first sign."
        )
