"""The state that pages of images share: what is open, how it is scaled, with what its atoms are found. No widgets."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import traitlets

import atomnb
from atomnb.data.atoms import AtomTable
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError
from atomnb.said import gathered_warnings
from atomnb.widgets.find_atoms_code import Request, Source
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.pyramid import Pyramid
from atomnb.widgets.report import ErrorReport, report_of


class Opened(NamedTuple):
    """An image made ready for the page by a job; `middle` holds the atoms in its middle where the page wants them."""

    image: Micrograph
    source: Source
    channels: tuple
    frame: int
    picture: Pyramid
    scale: object
    notes: tuple[str, ...]
    middle: AtomTable | None = None


class ImageState(traitlets.HasTraits):
    """An open image with its scale, and the settings by which its atoms are found; pages add what they do with it.

    `found` is what a page found in the image, a named tuple with at least `analysis`, `request` and `frame`, or None;
    the frame of its request is None where all frames were analysed.

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
    found = traitlets.Any(None, allow_none=True)
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
            with gathered_warnings() as said:
                image = read()
            progress(0.4, "reading")
            channels = list_channels()
            progress(0.6, "drawing")
            return self._looked_at(_prepare(image, source, channels, 0, tuple(said), progress), progress)

        self.jobs.cancel()
        self.report = None
        self.jobs.run("Opening", work, done=self._show, failed=self._failing("opening the image"))

    def _looked_at(self, opened: Opened, progress) -> Opened:
        """What else a page wants to know of an image before it is shown."""
        return opened

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
                self.found = self._in_frame(keep, frame)

    def _clear(self) -> None:
        """Forget what was found and chosen in the image shown so far."""
        self.found = None

    def _in_frame(self, found, frame: int):
        """What was found in a whole stack, for another frame of it."""
        return found._replace(frame=frame)

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

    # ---------- analysing ----------
    def atoms_request(self, floor: float) -> Request:
        """The atoms the page would find now, with scores down to `floor`."""
        opened = self._require_image()
        one_frame = opened.image.is_stack and not self.whole_stack
        return Request(
            opened.source,
            self.frame if one_frame else None,
            self.pixel_size,
            self.model,
            self.contrast,
            self.refine,
            floor,
        )

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


def analyze_request(image: Micrograph, request: Request, progress, *, all_sides: bool = False):
    """The analysis that a request asks for, without its warnings: they are in `messages`, which the page shows.

    `all_sides` is that of `atomnb.analyze`.
    """
    pixels = image if request.frame is None else atomnb.as_micrograph(image.frame(request.frame))
    with gathered_warnings():
        return atomnb.analyze(
            pixels,
            model=request.model,
            pixel_size=request.pixel_size,
            threshold=request.floor,
            refine=request.refine,
            contrast=request.contrast,
            all_sides=all_sides,
            progress=progress,
        )


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
