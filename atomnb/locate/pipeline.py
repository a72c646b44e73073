"""The one-call path: image in, atoms with errors and class probabilities out; each step is public on its own."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from atomnb import __version__
from atomnb.data.atoms import AtomTable, concat_atoms
from atomnb.data.flags import Flag
from atomnb.data.micrograph import Micrograph, as_micrograph
from atomnb.errors import AtomnbError, CalibrationWarning, RangeWarning
from atomnb.level import level_plane
from atomnb.locate.contrast import is_dark
from atomnb.locate.crystal import honeycomb_message
from atomnb.locate.detect import class_mass, detect_atoms, name_atoms, score_spread
from atomnb.locate.messages import DARK, NO_ATOMS, NO_LATTICE, mirrored_message, rules_message
from atomnb.locate.peaks import Peaks
from atomnb.locate.polarity import has_polarity, name_by_polarity
from atomnb.locate.presence import is_present
from atomnb.locate.refine import refine_positions
from atomnb.locate.sublattice import group_columns
from atomnb.locate.zoom import Zoom, find_zoom
from atomnb.nets.checkpoint import VACANCY, Model
from atomnb.nets.shared import shared_model
from atomnb.resample import to_input
from atomnb.said import gathered_warnings, warn
from atomnb.scale import ScaleReport, conflict_message, measure_spacing
from atomnb.segment import to_image_size

Progress = Callable[[float, str], None]

CONTRASTS = ("auto", "bright", "dark")

SINGLE_MOVE = 1.0
"""px at the network's scale that refining may move an atom without lattice, lest it climb the support's slopes."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What `analyze` found.

    image : the micrograph analysed
    atoms : AtomTable, positions in px of that image; models with several kinds of atoms add `species_score`, the
        probability of the species named; ensembles add `score_spread`, the standard deviation of their members' scores
    probability : (C, H, W) float32 summing to 1 over the classes; for stacks a lazy dask array (T, C, H, W)
    classes : their names, background first
    scale : spacing found, zoom used, messages
    messages : everything the user was warned of
    provenance : versions, model and input hashes, parameters
    vacancies : AtomTable of the empty sites, for models that have a class for them; they are not among the atoms
    graph : bonds and rings by the rules asked for (`atomnb.graph.structure.StructureGraph`); a tuple of them, one per
        frame, for stacks; None without rules
    defects : DataFrame of the defects found by these rules (`atomnb.find_defects` says what its columns hold), with
        `atoms` counting the rows of `atoms.df`; None without rules
    """

    image: Micrograph
    atoms: AtomTable
    probability: Any
    classes: tuple[str, ...]
    scale: ScaleReport
    messages: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    vacancies: AtomTable = field(default_factory=AtomTable.empty)
    graph: Any = None
    defects: pd.DataFrame | None = None

    def __repr__(self) -> str:
        defects = "" if self.defects is None else f", {len(self.defects)} defects"
        return f"Analysis({self.image!r}: {len(self.atoms)} atoms{defects}, model {self.provenance.get('model')!r})"

    @property
    def pixel_size(self) -> float | None:
        """Å per pixel, or None."""
        return self.image.pixel_size

    def save(self, folder) -> Path:
        """Write `atoms.csv`, `probability.tif`, `overlay.png` and `result.json` into `folder`; returns it."""
        from atomnb.report import save_analysis

        return save_analysis(self, Path(folder))


@dataclass(frozen=True)
class Options:
    """Settings of one analysis, kept in its provenance."""

    model: str
    pixel_size: float | None
    threshold: float
    refine: bool
    contrast: str
    known_spacing: float | None
    rules: str | None = None
    all_sides: bool = False


def analyze(
    image,
    *,
    model: str | Path | Model = "universal",
    pixel_size: float | None = None,
    threshold: float = 0.5,
    refine: bool = True,
    contrast: str = "auto",
    known_spacing: float | None = None,
    rules=None,
    all_sides: bool | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Find every atom of an image or stack, and by `rules` its bonds and defects.

    Parameters
    ----------
    image : Micrograph, array (H, W) or (T, H, W), or HyperSpy Signal2D
    model : name of a shipped model, path of a `.safetensors` file, or a loaded `Model`
    pixel_size : Å; replaces the scale the image carries
    threshold : lowest probability at which an atom is listed
    refine : fit the positions to the raw image; otherwise they are the network's and have no errors, and the columns
        of dumbbells are named one by one
    contrast : 'bright' atoms (HAADF, ADF, STM), 'dark' ones (BF, ABF), or 'auto' from the metadata or the image
    known_spacing : Å; nearest-neighbour distance of the material, checked against the pixel size
    rules : chemistry by which bonds are drawn and defects named: one of `atomnb.list_rules()`, the path of a YAML file,
        or a RuleSet
    all_sides : let the network see the image in its eight orientations and take the mean: surer in noise and beside
        heavy atoms, eight times the network's work. By default with rules: a doubtful atom changes a defect's name
    progress : called with (fraction done, message); raise `CancelledError` in it to stop

    Returns
    -------
    Analysis

    Raises
    ------
    ImageError, CalibrationError, ModelError

    Examples
    --------
    >>> import atomnb
    >>> found = atomnb.analyze(atomnb.sample_image("si-110"))
    >>> found.atoms.df[["y", "x", "y_err", "x_err", "score"]]  # doctest: +SKIP
    """
    if contrast not in CONTRASTS:
        raise AtomnbError(f"contrast must be one of {', '.join(CONTRASTS)}, got {contrast!r}.")
    if not 0 < threshold < 1:
        raise AtomnbError(f"threshold is a probability between 0 and 1, got {threshold!r}.")
    micrograph = as_micrograph(image, pixel_size=pixel_size)
    network = model if isinstance(model, Model) else shared_model(model)
    chemistry = _loaded_rules(rules)  # mistakes in a rule file are told before the work begins
    options = Options(
        network.card.name, micrograph.pixel_size, threshold, refine, contrast, known_spacing,
        chemistry.name if chemistry else None, chemistry is not None if all_sides is None else all_sides,
    )  # fmt: skip
    results: list[_Frame] = []
    for index, pixels in enumerate(micrograph.frames()):
        step = _part_of(progress, index, micrograph.n_frames)
        zoom = results[0].zoom if results else None  # the frames of a stack have one scale
        results.append(_analyze_frame(pixels, micrograph, network, options, zoom=zoom, frame=index, progress=step))
    messages = tuple(dict.fromkeys(m for r in results for m in r.scale.messages))
    unfit = rules_message(results[0].scale.spacing_angstrom, chemistry)
    messages += (unfit,) if unfit else ()
    _warn(messages)
    provenance = _provenance(micrograph, network, options)
    atoms = concat_atoms([r.atoms for r in results])
    atoms = AtomTable(atoms.df, micrograph.pixel_size, micrograph.shape, provenance)
    empty = concat_atoms([r.vacancies for r in results])
    vacancies = AtomTable(empty.df, micrograph.pixel_size, micrograph.shape, provenance)
    probability = _probability(results, micrograph, network)
    graph, defects = None, None
    if chemistry:
        graph, defects, said = _structure(atoms, micrograph, chemistry, progress)
        _warn(said)
        messages += tuple(said)
    if progress:
        progress(1.0, "done")
    return Analysis(
        micrograph, atoms, probability, network.classes, results[0].scale, messages, provenance, vacancies,
        graph, defects,
    )  # fmt: skip


def _loaded_rules(rules):
    from atomnb.graph.rules import load_rules

    return None if rules is None else load_rules(rules)


def _structure(atoms: AtomTable, micrograph: Micrograph, rules, progress: Progress | None):
    """Graph of each frame (a tuple for stacks), the defects of all, and what the user was warned of meanwhile."""
    from atomnb.graph.defects import defects_of_graphs
    from atomnb.graph.structure import build_graph

    if progress:
        progress(0.95, "drawing bonds, naming defects")
    with gathered_warnings() as said:
        graphs = tuple(build_graph(atoms.in_frame(t), rules=rules) for t in range(micrograph.n_frames))
        defects = defects_of_graphs(graphs, atoms, image=micrograph)
    return graphs if micrograph.is_stack else graphs[0], defects, said


@dataclass(frozen=True)
class _Frame:
    """One frame's share of the result; the probability map is kept at the network's scale."""

    atoms: AtomTable
    vacancies: AtomTable
    probability: np.ndarray
    zoom: Zoom
    scale: ScaleReport


def _analyze_frame(
    pixels, micrograph: Micrograph, model: Model, options: Options, *, zoom: Zoom | None, frame: int, progress
) -> _Frame:
    dark = options.contrast == "dark" or (options.contrast == "auto" and is_dark(pixels, micrograph.metadata))
    surface = micrograph.metadata.get("technique") == "STM"
    bright = -pixels if dark else level_plane(pixels) if surface else pixels
    zoom = zoom or find_zoom(
        bright, model, pixel_size=micrograph.pixel_size, surface=surface, progress=_scaled(progress, 0.0, 0.05)
    )
    searching = _scaled(progress, 0.05, 0.6)
    probability, peaks, empty = detect_atoms(
        bright, model, zoom, threshold=options.threshold, all_sides=options.all_sides, progress=searching
    )
    positions = to_input(peaks.positions_yx, bright.shape, probability.shape[1:])
    columns = {"y": positions[:, 0], "x": positions[:, 1], "score": peaks.score}
    if progress:
        progress(0.6, "refining positions")
    if options.refine and len(positions):
        columns |= _refined(bright, positions, max_move=None if zoom.is_lattice else SINGLE_MOVE / zoom.zoom)
    columns["sublattice"] = _groups(columns)
    columns["species"], share = name_atoms(probability, peaks, model)
    if "intensity" in columns and has_polarity(model.classes):
        columns["species"], share = _voted(columns, class_mass(probability, peaks, model))
    if len(model.atom_classes) > 1:
        columns["species_score"] = share
    spread = score_spread(bright, model, zoom, peaks)
    if spread is not None:
        columns["score_spread"] = spread
    columns["frame"] = np.full(len(positions), frame)
    atoms = AtomTable(_only_present(pd.DataFrame(columns), model, zoom), micrograph.pixel_size, micrograph.shape)
    guessed_dark = [DARK] if dark and options.contrast == "auto" else []
    report = _report(atoms, micrograph, options, zoom, model.card.working, guessed_dark)
    return _Frame(atoms, _vacancies(empty, probability, micrograph, frame), probability, zoom, report)


def _vacancies(empty: Peaks, probability, micrograph: Micrograph, frame: int) -> AtomTable:
    if not len(empty.score):
        return AtomTable.empty(pixel_size=micrograph.pixel_size, shape=micrograph.shape)
    positions = to_input(empty.positions_yx, micrograph.shape, probability.shape[1:])
    columns = {"y": positions[:, 0], "x": positions[:, 1], "score": empty.score}
    columns |= {"frame": np.full(len(positions), frame), "species": np.full(len(positions), VACANCY, object)}
    return AtomTable(pd.DataFrame(columns), micrograph.pixel_size, micrograph.shape)


def _refined(bright, positions, *, max_move: float | None) -> dict[str, np.ndarray]:
    fit = refine_positions(bright, positions, max_move=max_move, dark=False)
    return {
        "y": fit.positions_yx[:, 0],
        "x": fit.positions_yx[:, 1],
        "y_err": fit.errors_yx[:, 0],
        "x_err": fit.errors_yx[:, 1],
        "intensity": fit.intensity,
        "sigma": fit.sigma,
        "flags": fit.flags,
    }


def _voted(columns, mass) -> tuple[np.ndarray, np.ndarray]:
    positions = np.stack([columns["y"], columns["x"]], axis=1)
    usable = (columns["flags"] & (Flag.BORDER | Flag.SATURATED)) == 0
    return name_by_polarity(mass, positions, columns["intensity"], usable)


def _only_present(table: pd.DataFrame, model: Model, zoom: Zoom) -> pd.DataFrame:
    """Without the sites that a model of one lattice filled and the image leaves empty; `column` says too little."""
    if "intensity" not in table or len(model.atom_classes) < 2 or not zoom.is_lattice:
        return table
    present = is_present(table[["y", "x"]].to_numpy(), table["intensity"].to_numpy(), table["species"].to_numpy())
    return table[present].reset_index(drop=True)


def _groups(columns) -> np.ndarray:
    if "intensity" not in columns:
        return np.zeros(len(columns["y"]), int)
    positions = np.stack([columns["y"], columns["x"]], axis=1)
    return group_columns(positions, columns["intensity"])


def _range_message(spacing: float | None, zoom: Zoom, working: Mapping[str, Any]) -> str | None:
    low, high = working["spacing_range_px"]
    if spacing is None or not zoom.is_lattice or low <= spacing * zoom.zoom <= high:
        return None
    coarse = "the image is too coarse (record it with finer pixels)"
    cause = coarse if spacing * zoom.zoom < low else "the model misses atoms in between (try another)"
    return (
        f"neighbours are {spacing * zoom.zoom:.1f} px apart as the model sees them, outside its {low}–{high} px: "
        f"{cause}, or the lattice was misjudged (set the pixel size)."
    )


def _report(atoms: AtomTable, micrograph: Micrograph, options: Options, zoom: Zoom, working, messages) -> ScaleReport:
    spacing = measure_spacing(atoms.positions_yx)
    size = micrograph.pixel_size
    messages = [*zoom.messages, *messages]
    if not len(atoms):
        messages.append(NO_ATOMS)
    if options.known_spacing is not None:
        messages.append(conflict_message(spacing, size, options.known_spacing))
    else:
        messages.append(honeycomb_message(atoms, spacing))
    messages.append(_range_message(spacing, zoom, working))
    messages.append(mirrored_message(atoms))
    messages = [m for m in messages if m]
    angstrom = None if spacing is None or size is None else spacing * size
    return ScaleReport(spacing, angstrom, zoom.zoom, size, tuple(messages))


def _probability(results: list[_Frame], micrograph: Micrograph, model: Model):
    if not micrograph.is_stack:
        return to_image_size(results[0].probability, micrograph.shape)
    import dask
    import dask.array as da

    shape = (len(model.classes), *micrograph.shape)
    enlarge = dask.delayed(to_image_size)
    return da.stack([da.from_delayed(enlarge(r.probability, micrograph.shape), shape, np.float32) for r in results])


def _provenance(micrograph: Micrograph, model: Model, options: Options) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=16)
    for pixels in micrograph.frames():
        digest.update(np.ascontiguousarray(pixels))
    return {
        "atomnb": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "model": model.card.name,
        "model_sha256": model.card.sha256,
        "input": micrograph.name,
        "input_shape": list(micrograph.data.shape),
        "input_blake2b": digest.hexdigest(),
        "options": vars(options),
    }


def _warn(messages) -> None:
    for message in messages:
        kind = CalibrationWarning if "pixel size" in message and message not in (NO_ATOMS, NO_LATTICE) else RangeWarning
        warn(message, kind, stacklevel=3)


def _part_of(progress: Progress | None, index: int, count: int) -> Progress | None:
    return _scaled(progress, index / count, (index + 1) / count)


def _scaled(progress: Progress | None, low: float, high: float) -> Progress | None:
    if progress is None:
        return None
    return lambda fraction, message: progress(low + (high - low) * fraction, message)
