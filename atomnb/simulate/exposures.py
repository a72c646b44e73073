"""Exposures: one noise-free image seen at many doses, pixel sizes and distortions, each with its exact truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from atomnb.data.labelled_scene import LabelledScene
from atomnb.errors import AtomnbError
from atomnb.simulate import noise
from atomnb.simulate.classes import ClassScheme, draw_class_map, label_columns
from atomnb.simulate.ideal import IdealImage
from atomnb.simulate.scan import SETTLING_LIMIT, ScanPath, beam_positions, reach_px, shown_positions
from atomnb.simulate.scene import Scene

DOSE_UNITS = ("electrons_per_column", "electrons_per_angstrom2")

OVERSHOOT = 0.01
"""By how much interpolation may lift a bright-field image over the whole beam."""


@dataclass(frozen=True)
class ExposureConfig:
    """How exposures are drawn: ranges (low, high), each exposure with values of its own; (0, 0) turns an effect off.

    shape : (H, W) px of every exposure
    pixel_size : Å, evenly in its logarithm
    dose : evenly in its logarithm
    dose_unit : 'electrons_per_column' (detected, all electrons of the image shared among its columns: for dark-field
        detectors, which see next to nothing between the columns) or 'electrons_per_angstrom2' (incident; the noise-free
        image must be in shares of the beam). In ABF and BF most of what is detected is the bright background: take the
        incident dose, usually 10⁴ and more
    rotation_rad : angle of the scan
    background : level added before counting, in shares of the image's highest value
    row_jitter_px : standard deviation of the rows' random shifts
    drift_px : length of the sample's movement during the frame, in any direction
    flyback_px, flyback_decay_px : shift at the start of the rows, and its decay length
    source_sigma_angstrom : further blur by the source, standard deviation
    afterglow : share of a pixel's signal that leaks into the next one of the row
    readout_noise : standard deviation in shares of the image's own
    offset : the detector's level, in the same unit
    clipped_low, clipped_high : shares of the pixels that saturate
    gamma : exponent of the contrast
    class_radius_angstrom : radius of the discs of the class map
    """

    shape: tuple[int, int] = (256, 256)
    pixel_size: tuple[float, float] = (0.1, 0.25)
    dose: tuple[float, float] = (60.0, 10000.0)
    dose_unit: str = "electrons_per_column"
    rotation_rad: tuple[float, float] = (0.0, 2 * np.pi)
    background: tuple[float, float] = (0.0, 0.2)
    row_jitter_px: tuple[float, float] = (0.0, 0.3)
    drift_px: tuple[float, float] = (0.0, 4.0)
    flyback_px: tuple[float, float] = (0.0, 1.0)
    flyback_decay_px: tuple[float, float] = (5.0, 25.0)
    source_sigma_angstrom: tuple[float, float] = (0.0, 0.25)
    afterglow: tuple[float, float] = (0.0, 0.2)
    readout_noise: tuple[float, float] = (0.0, 0.2)
    offset: tuple[float, float] = (-0.5, 0.5)
    clipped_low: tuple[float, float] = (0.0, 0.03)
    clipped_high: tuple[float, float] = (0.0, 0.01)
    gamma: tuple[float, float] = (0.8, 1.25)
    class_radius_angstrom: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("shape", "dose_unit", "class_radius_angstrom"):
                object.__setattr__(self, field.name, _checked_range(field.name, getattr(self, field.name)))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) != 2 or min(self.shape) < 16:
            raise AtomnbError(f"shape must be (H, W) of at least 16 px each, got {self.shape}.")
        if self.dose_unit not in DOSE_UNITS:
            raise AtomnbError(f"dose_unit must be one of {', '.join(DOSE_UNITS)}, got {self.dose_unit!r}.")
        if not self.class_radius_angstrom > 0:
            raise AtomnbError(f"class_radius_angstrom must be positive, got {self.class_radius_angstrom!r}.")

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON can hold it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def label_scene(scene: Scene, *, scheme: ClassScheme, group: str, class_radius_angstrom: float = 0.5) -> LabelledScene:
    """A fast `Scene`, which is an exposure already, with the classes of `scheme`.

    Raises
    ------
    AtomnbError
        If no rule of the scheme fits a species.
    """
    labelled = label_columns(scene.positions_yx, scene.species, scheme)
    radius = class_radius_angstrom / scene.pixel_size
    drawn = draw_class_map(scene.positions_yx, labelled.column_class, scene.image.shape, radius=radius)
    return LabelledScene(
        scene.image, drawn, scene.positions_yx, labelled.species, labelled.column_class, scene.pixel_size, group
    )


def make_exposures(
    ideal: IdealImage, n: int, *, config: ExposureConfig | None = None, seed: int = 0
) -> Iterator[LabelledScene]:
    """`n` exposures of a noise-free image; number i is the same for the same seed, whatever n is.

    Parameters
    ----------
    ideal : IdealImage
    n : int
    config : ExposureConfig, optional
    seed : int

    Yields
    ------
    LabelledScene
        `details` holds all values drawn.

    Raises
    ------
    AtomnbError
        If the frame does not fit an image that does not repeat, or the dose needs an image in shares of the beam.
    """
    config = config or ExposureConfig()
    if config.dose_unit == "electrons_per_angstrom2" and ideal.image.max() > 1 + OVERSHOOT:
        raise AtomnbError(
            f"a dose in electrons per Å² needs a noise-free image in shares of the beam (at most 1), got values up to "
            f"{ideal.image.max():.3g}: use dose_unit='electrons_per_column'."
        )
    group = int.from_bytes(hashlib.sha256(ideal.group.encode()).digest()[:4])
    for number in range(n):
        yield _exposure(ideal, config, np.random.default_rng([seed, number, group]), {"seed": seed, "number": number})


def _exposure(ideal: IdealImage, config: ExposureConfig, rng: np.random.Generator, details: dict) -> LabelledScene:
    drawn = _draw(config, rng)
    path = _scan_path(ideal, config, drawn, rng)
    sigma_px = float(np.hypot(ideal.sigma_angstrom, drawn["source_sigma_angstrom"])) / path.pixel_size
    expected = _expected_counts(ideal, config, path, drawn)
    image = _detected(expected, drawn, torch.Generator().manual_seed(int(rng.integers(2**62))))
    labelled = ideal.columns
    period = ideal.size_angstrom if ideal.periodic else None
    shown, index = shown_positions(
        path, labelled.positions_yx, sigma_px=sigma_px, period_angstrom=period, lag_px=_lag(drawn["afterglow"])
    )
    codes = labelled.column_class[index]
    radius = config.class_radius_angstrom / path.pixel_size
    class_map = draw_class_map(shown, codes, config.shape, radius=radius)
    told = {**details, **drawn, "dose_unit": config.dose_unit, "dark_atoms": ideal.dark}
    return LabelledScene(image, class_map, shown, labelled.species[index], codes, path.pixel_size, ideal.group, told)


def _draw(config: ExposureConfig, rng: np.random.Generator) -> dict[str, float]:
    """One value from each range, in the order of the config."""
    values = {}
    for field in fields(config):
        if field.name in ("shape", "dose_unit", "class_radius_angstrom"):
            continue
        low, high = getattr(config, field.name)
        logarithmic = field.name in ("dose", "pixel_size")
        values[field.name] = (
            float(np.exp(rng.uniform(np.log(low), np.log(high)))) if logarithmic else float(rng.uniform(low, high))
        )
    return values


def _scan_path(ideal: IdealImage, config: ExposureConfig, drawn: Mapping[str, float], rng) -> ScanPath:
    direction = rng.uniform(0, 2 * np.pi)
    jitter = rng.normal(0, 1, config.shape[0]) * drawn["row_jitter_px"]
    limit = SETTLING_LIMIT * drawn["flyback_decay_px"]
    path = ScanPath(
        shape=config.shape,
        pixel_size=drawn["pixel_size"],
        centre_angstrom=(0.0, 0.0),
        rotation_rad=drawn["rotation_rad"],
        drift_px=(drawn["drift_px"] * np.sin(direction), drawn["drift_px"] * np.cos(direction)),
        row_shift=jitter - jitter.mean(),
        flyback_px=float(np.clip(drawn["flyback_px"], -limit, limit)),
        flyback_decay_px=drawn["flyback_decay_px"],
    )
    low, high = _free_room(ideal, path)
    centre = tuple(float(rng.uniform(a, b)) for a, b in zip(low, high, strict=True))
    return ScanPath(**{**vars(path), "centre_angstrom": centre})


def _free_room(ideal: IdealImage, path: ScanPath) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (y, x) in Å that the middle of the frame may look at."""
    size = np.array(ideal.size_angstrom)
    if ideal.periodic:
        return np.zeros(2), size
    c, s = abs(np.cos(path.rotation_rad)), abs(np.sin(path.rotation_rad))
    height, width = (path.pixel_size * (n + 2 * reach_px(path)) for n in path.shape)
    needed = np.array([c * height + s * width, s * height + c * width])
    if (needed > size).any():
        raise AtomnbError(
            f"a frame of {path.shape[0]} × {path.shape[1]} px of {path.pixel_size:.3g} Å, turned by "
            f"{np.rad2deg(path.rotation_rad):.0f}°, needs {needed[0]:.1f} × {needed[1]:.1f} Å, but the image of "
            f"{ideal.group} spans {size[0]:.1f} × {size[1]:.1f} Å and does not repeat: make the structure larger, the "
            "frame smaller, or the pixels finer."
        )
    return needed / 2, size - needed / 2


def _expected_counts(ideal: IdealImage, config: ExposureConfig, path: ScanPath, drawn) -> torch.Tensor:
    """Expected electrons per pixel, (1, H, W)."""
    from scipy import ndimage

    edge = "grid-wrap" if ideal.periodic else "nearest"
    step = np.array(ideal.size_angstrom) / ideal.image.shape
    blurred = ideal.image
    if drawn["source_sigma_angstrom"] > 0:
        blurred = ndimage.gaussian_filter(
            blurred, drawn["source_sigma_angstrom"] / step, mode=edge.removeprefix("grid-")
        )
    at = np.moveaxis(beam_positions(path) / step, -1, 0)
    seen = ndimage.map_coordinates(blurred, at, order=3, mode=edge)
    area = path.pixel_size**2
    if config.dose_unit == "electrons_per_angstrom2":
        electrons = drawn["dose"] * area
    else:
        columns_per_area = ideal.n_columns / float(np.prod(ideal.size_angstrom))
        electrons = drawn["dose"] * columns_per_area * area / float(ideal.image.mean())
    expected = electrons * (np.clip(seen, 0, None) + drawn["background"] * float(ideal.image.max()))
    return torch.as_tensor(expected, dtype=torch.float32)[None]


def _detected(expected: torch.Tensor, drawn: Mapping[str, float], generator: torch.Generator) -> np.ndarray:
    """What the detector makes of the electrons, (H, W)."""
    image = noise.shot_noise(expected, generator)
    image = noise.dwell_tail(image, torch.tensor([drawn["afterglow"]]))
    spread = image.std().clamp(min=1e-6)
    image = image + drawn["readout_noise"] * spread * torch.randn(image.shape, generator=generator)
    image = noise.clip_quantiles(image, torch.tensor([drawn["clipped_low"]]), torch.tensor([1 - drawn["clipped_high"]]))
    low, high = image.min(), image.max()
    span = (high - low).clamp(min=1e-6)
    image = low + span * ((image - low) / span) ** drawn["gamma"]
    return (image + drawn["offset"] * spread)[0].numpy()


def _lag(afterglow: float) -> float:
    """By how many px the afterglow, as `noise.dwell_tail` makes it, moves everything along the scan."""
    powers = afterglow ** np.arange(5)
    return float(powers @ np.arange(5) / powers.sum())


def _checked_range(name: str, limits) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in limits)
    except (TypeError, ValueError):
        raise AtomnbError(f"{name} must be a range (low, high), got {limits!r}.") from None
    positive = name in ("dose", "pixel_size", "flyback_decay_px", "gamma")
    signed = name in ("rotation_rad", "flyback_px", "offset")
    if not (np.isfinite([low, high]).all() and low <= high) or (low <= 0 if positive else low < 0 and not signed):
        kind = "positive and " if positive else "" if signed else "not negative and "
        raise AtomnbError(f"{name} must be a range (low, high), {kind}low ≤ high, got {limits!r}.")
    if name in ("clipped_low", "clipped_high", "afterglow") and high >= 0.5:
        raise AtomnbError(f"{name} is a share and must stay below 0.5, got {limits!r}.")
    return low, high
