"""The state of *Find atoms*: what is open, how it is scaled, what was found, what is selected. No widgets."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import traitlets

import atomnb
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError, AtomnbWarning
from atomnb.widgets.find_atoms_code import Request, Source, code_of
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.pyramid import Pyramid
from atomnb.widgets.report import ErrorReport, report_of

FLOOR = 0.2
"""Score down to which atoms are found; the page's threshold moves above it without a new analysis."""

NO_ATOMS = np.zeros(0, np.int64)

QUANTITIES = {
    "distance": "Distance to the nearest atom",
    "intensity": "Intensity",
    "score": "Score",
    "error": "Position error",
}
"""What a histogram can show."""


class Opened(NamedTuple):
    """An image made ready for the page by a job."""

    image: Micrograph
    source: Source
    channels: tuple
    frame: int
    picture: Pyramid
    scale: object
    notes: tuple[str, ...]


class Found(NamedTuple):
    """An analysis made ready for the page by a job."""

    analysis: object
    request: Request
    frame: int
    probability: Pyramid


class FindAtomsState(traitlets.HasTraits):
    """Everything the page shows; panels only link to it.

    Parameters
    ----------
    folder : DataFolder
        Where files may be opened from.
    jobs : Jobs
        Runs what takes long.
    """

    opened = traitlets.Any(None, allow_none=True)
    frame = traitlets.Int(0)
    pixel_size = traitlets.Float(None, allow_none=True)
    scale_origin = traitlets.Unicode("")
    points = traitlets.List(traitlets.Float())
    model = traitlets.Unicode("universal")
    contrast = traitlets.Unicode("auto")
    refine = traitlets.Bool(True)
    whole_stack = traitlets.Bool(False)
    threshold = traitlets.Float(0.5, min=FLOOR, max=1.0)
    found = traitlets.Any(None, allow_none=True)
    selected = traitlets.Any(NO_ATOMS)
    current = traitlets.Int(-1)
    report = traitlets.Any(None, allow_none=True)

    def __init__(self, *, folder: DataFolder, jobs: Jobs) -> None:
        super().__init__()
        self.folder = folder
        self.jobs = jobs

    # ---------- opening ----------
    def open_sample(self, name: str) -> None:
        """Open a sample image by name."""
        self._open(Source("sample", name), lambda: atomnb.sample_image(name), lambda: ())

    def open_path(self, path: str, *, channel: int | None = None) -> None:
        """Open a file of the data folder, by its path relative to it."""
        target = self.folder.resolve(path)
        self._open_file(target, Source("file", path, channel, str(target)))

    def open_upload(self, path: Path) -> None:
        """Open a file the user has sent."""
        self._upload = path
        self._open_file(path, Source("upload", path.name))

    def open_channel(self, channel: int) -> None:
        """Open another signal of the same file."""
        source = self._require_image().source
        path = self._upload if source.kind == "upload" else self.folder.resolve(source.name)
        self._open_file(path, source._replace(channel=channel))

    def _open_file(self, path: Path, source: Source) -> None:
        from atomnb.io.stem import list_images

        self._open(
            source,
            lambda: atomnb.read_image(path, channel=source.channel),
            lambda: tuple(entry for entry in list_images(path) if entry.is_image),
        )

    def _open(self, source: Source, read, list_channels) -> None:
        def work(progress) -> Opened:
            progress(0.05, "reading")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AtomnbWarning)
                image = read()
            progress(0.4, "reading")
            channels = list_channels()
            progress(0.6, "drawing")
            return _prepare(image, source, channels, 0, _texts(caught), progress)

        self.jobs.cancel()
        self.report = None
        self.jobs.run("Opening", work, done=self._show, failed=self._failing("opening the image"))

    def _show(self, opened: Opened) -> None:
        with self.hold_trait_notifications():
            self._clear()
            self.frame = opened.frame
            self.points = []
            self.pixel_size = opened.image.pixel_size
            self.scale_origin = "from the file" if opened.image.pixel_size else ""
            self.opened = opened

    def show_frame(self, frame: int) -> None:
        """Show another frame of a stack; an analysis of the whole stack stays."""
        opened = self._require_image()
        if frame == opened.frame:
            return
        picture = Pyramid(_seen(opened.image, frame))
        keep = self.found if self.found is not None and self.found.request.frame is None else None
        with self.hold_trait_notifications():
            self._clear()
            self.frame = frame
            self.opened = opened._replace(frame=frame, picture=picture)
            if keep is not None:
                self.found = keep._replace(frame=frame, probability=_probability(keep.analysis, frame))

    def _clear(self) -> None:
        self.found, self.selected, self.current = None, NO_ATOMS, -1

    # ---------- scale ----------
    def set_pixel_size(self, pixel_size: float | None, *, origin: str = "typed") -> None:
        """Use this pixel size (Å), or None for none."""
        self._require_image()
        checked = self.opened.image.with_pixel_size(pixel_size).pixel_size
        self.scale_origin = origin if checked else ""
        self.pixel_size = checked

    def use_file_scale(self) -> None:
        """Go back to the pixel size in the file."""
        size = self._require_image().image.pixel_size
        self.set_pixel_size(size, origin="from the file")

    def use_known_spacing(self, spacing: float) -> None:
        """Set the scale so that neighbouring atoms are `spacing` Å apart."""
        from atomnb.scale import pixel_size_from_spacing

        if self.spacing_px is None:
            raise AtomnbError("no spacing was found in the image: find the atoms first, or use two points.")
        self.set_pixel_size(pixel_size_from_spacing(self.spacing_px, spacing), origin="from the known spacing")

    def use_points(self, distance: float) -> None:
        """Set the scale so that the two points are `distance` Å apart."""
        from atomnb.scale import pixel_size_from_points

        if len(self.points) != 4:
            raise AtomnbError("mark two points first: choose the ruler above the image and click twice.")
        size = pixel_size_from_points(self.points[:2], self.points[2:], distance)
        self.set_pixel_size(size, origin="from two points")

    @property
    def spacing_px(self) -> float | None:
        """Nearest-neighbour spacing, px: of the atoms found, else of the image itself."""
        if self.found is not None and self.found.analysis.scale.spacing_px:
            return self.found.analysis.scale.spacing_px
        return self.opened.scale.spacing_px if self.opened is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the image, its scale and the analysis."""
        if self.opened is None:
            return ()
        if self.found is not None:
            return tuple(dict.fromkeys([*self.opened.notes, *self.found.analysis.messages]))
        from atomnb.scale import estimate_scale

        scale = self.opened.scale
        if scale.pixel_size != self.pixel_size:
            scale = estimate_scale(_seen(self.opened.image, self.frame), pixel_size=self.pixel_size)
            self.opened = self.opened._replace(scale=scale)
        return tuple(dict.fromkeys([*self.opened.notes, *scale.messages]))

    # ---------- finding ----------
    @property
    def request(self) -> Request:
        """The analysis the button would run now."""
        opened = self._require_image()
        one_frame = opened.image.is_stack and not self.whole_stack
        return Request(
            opened.source,
            self.frame if one_frame else None,
            self.pixel_size,
            self.model,
            self.contrast,
            self.refine,
            FLOOR,
        )

    @property
    def stale(self) -> bool:
        """Whether the settings changed since the atoms were found."""
        return self.found is not None and self.found.request != self.request

    def find(self) -> None:
        """Find the atoms of what is open."""
        request, image = self.request, self.opened.image

        def work(progress) -> Found:
            pixels = image if request.frame is None else atomnb.as_micrograph(image.frame(request.frame))
            with warnings.catch_warnings():
                # They are in `analysis.messages`, which the page shows.
                warnings.simplefilter("ignore", AtomnbWarning)
                analysis = atomnb.analyze(
                    pixels,
                    model=request.model,
                    pixel_size=request.pixel_size,
                    threshold=request.floor,
                    refine=request.refine,
                    contrast=request.contrast,
                    progress=progress,
                )
            frame = self.frame if request.frame is None else 0
            return Found(analysis, request, frame, _probability(analysis, frame))

        self.report = None
        self.jobs.run("Finding atoms", work, done=self._take, failed=self._failing("finding the atoms"))

    def _take(self, found: Found) -> None:
        with self.hold_trait_notifications():
            self.selected, self.current = NO_ATOMS, -1
            self.found = found

    # ---------- atoms ----------
    @property
    def atoms(self):
        """All atoms of the frame shown, down to the lowest threshold (AtomTable); None before the analysis."""
        return None if self.found is None else self.found.analysis.atoms.in_frame(self.found.frame)

    @property
    def names(self) -> tuple[str, ...]:
        """What the model of the analysis calls its atoms; empty if it knows but one kind."""
        from atomnb.nets.checkpoint import VACANCY

        classes = () if self.found is None else self.found.analysis.classes[1:]
        names = tuple(name for name in classes if name != VACANCY)
        return names if len(names) > 1 else ()

    @property
    def vacancies(self):
        """The empty sites of the frame shown, down to the lowest threshold (AtomTable); None before the analysis."""
        return None if self.found is None else self.found.analysis.vacancies.in_frame(self.found.frame)

    @property
    def shown(self) -> np.ndarray:
        """Rows of `atoms` at or above the threshold."""
        if self.found is None:
            return NO_ATOMS
        return np.flatnonzero(self.atoms.df["score"].to_numpy() >= self.threshold)

    def result(self):
        """The atoms of every frame at or above the threshold, as the shown code gives them (AtomTable)."""
        if self.found is None:
            raise AtomnbError("there are no atoms yet: press Find atoms first.")
        atoms = self.found.analysis.atoms
        return atoms.select(atoms.df["score"] >= round(self.threshold, 2))

    def values(self, quantity: str) -> tuple[np.ndarray, str]:
        """A quantity of QUANTITIES for each shown atom, in the scale of the analysis, and its name with unit."""
        atoms, rows = self.atoms, self.shown
        df = atoms.df.iloc[rows]
        known = atoms.pixel_size is not None
        size, unit = (atoms.pixel_size, "Å") if known else (1.0, "px")
        if quantity == "distance":
            from atomnb.locate.refine import nearest_distances

            return nearest_distances(atoms.positions_yx[rows]) * size, f"{QUANTITIES[quantity]} ({unit})"
        if quantity == "error":
            scale, unit = (100 * size, "pm") if known else (1.0, "px")
            return mean_error(df).to_numpy() * scale, f"{QUANTITIES[quantity]} ({unit}, 1σ per axis)"
        label = QUANTITIES[quantity] + (" (image units × px)" if quantity == "intensity" else "")
        return df[quantity].to_numpy(float), label

    def select(self, rows) -> None:
        """Select atoms by their rows in `atoms`."""
        self.selected = np.unique(np.asarray(rows, np.int64))

    def select_range(self, quantity: str, low: float, high: float) -> None:
        """Select the shown atoms whose quantity lies between `low` and `high`."""
        values, _ = self.values(quantity)
        self.select(self.shown[(values >= low) & (values <= high)])

    def code(self) -> str:
        """Python that gives the current result; empty before the analysis."""
        return "" if self.found is None else code_of(self.found.request, threshold=self.threshold)

    # ---------- errors ----------
    def show_report(self, report: ErrorReport) -> None:
        """Show an error on the page."""
        self.report = report

    def _failing(self, doing: str):
        return lambda error: self.show_report(report_of(error, doing=doing))

    def _require_image(self) -> Opened:
        if self.opened is None:
            raise AtomnbError("no image is open: choose a sample, a file of the data folder, or upload one.")
        return self.opened


def mean_error(df):
    """Standard error per axis of each atom, px: the root mean square of y_err and x_err."""
    return np.sqrt((df["y_err"] ** 2 + df["x_err"] ** 2) / 2)


def _prepare(image: Micrograph, source: Source, channels, frame: int, notes, progress) -> Opened:
    from atomnb.scale import estimate_scale

    pixels = _seen(image, frame)
    picture = Pyramid(pixels)
    progress(0.8, "measuring the scale")
    scale = estimate_scale(pixels, pixel_size=image.pixel_size)
    return Opened(image, source, channels, frame, picture, scale, notes)


def _seen(image: Micrograph, frame: int) -> np.ndarray:
    """The pixels as the analysis sees them: topographs without the tilt of the sample, which would hide the atoms."""
    from atomnb.level import level_plane

    pixels = image.frame(frame)
    return level_plane(pixels) if image.metadata.get("technique") == "STM" else pixels


def _probability(analysis, frame: int) -> Pyramid:
    stack = analysis.probability
    background = np.asarray(stack[frame, 0] if stack.ndim == 4 else stack[0])
    return Pyramid(1 - background, reduce="max", dtype=np.uint8, limits=(0.0, 1.0))


def _texts(caught) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, AtomnbWarning)))
