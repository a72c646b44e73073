"""One simulated micrograph with its exact truth, in physical units."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from atomnb.errors import AtomnbError
from atomnb.simulate import lattice, noise, render

BACKGROUND_CLASS = 0

DEFECTS = Path(__file__).with_name("graphene_defects.tsv")
"""Columns of a relaxed sheet with six defects: y, x (Å) and species."""


class Scene(NamedTuple):
    """An image and what is in it.

    image : (H, W) float32 counts
    positions_yx : (N, 2) px of all columns inside the image, where the distorted scan shows them
    species : (N,) str
    class_map : (H, W) int, 0 = background, then 1 + index of the species in sorted order
    pixel_size : Å
    """

    image: np.ndarray
    positions_yx: np.ndarray
    species: np.ndarray
    class_map: np.ndarray
    pixel_size: float


def render_scene(
    positions_angstrom: np.ndarray,
    intensity: np.ndarray,
    species: np.ndarray,
    *,
    shape: tuple[int, int],
    pixel_size: float,
    counts_per_column: float,
    probe_sigma_angstrom: float = 0.42,
    background: float = 0.05,
    row_jitter_px: float = 0.1,
    dark: bool = False,
    rng: np.random.Generator,
) -> Scene:
    """Render columns as a scanned, counted image.

    Parameters
    ----------
    positions_angstrom : (N, 2) y, x from the centre of the top-left pixel
    intensity : (N,) relative; the mean column gets `counts_per_column` electrons
    species : (N,) str
    shape : (H, W) px
    pixel_size : Å
    probe_sigma_angstrom : standard deviation of a column's image
    background : counts per pixel as a share of the mean column's peak
    row_jitter_px : standard deviation of the rows' random shifts
    dark : atoms darken a bright background, as in ABF
    rng : the only source of chance

    Raises
    ------
    AtomnbError
        If the arrays differ in length, or a length is not positive.
    """
    positions, intensity = np.asarray(positions_angstrom, float).reshape(-1, 2), np.asarray(intensity, float)
    if not len(positions) == len(intensity) == len(species):
        raise AtomnbError(
            f"positions, intensity and species must have one entry per column, got {len(positions)}, {len(intensity)} "
            f"and {len(species)}."
        )
    if min(pixel_size, counts_per_column, probe_sigma_angstrom) <= 0:
        raise AtomnbError("pixel_size, counts_per_column and probe_sigma_angstrom must be positive.")
    yx = positions / pixel_size
    sigma = probe_sigma_angstrom / pixel_size
    weight = intensity / (intensity.mean() if len(intensity) else 1.0)
    expected = _columns(yx, weight * counts_per_column, sigma, shape)
    expected = expected + background * counts_per_column / (2 * np.pi * sigma**2)
    shift = rng.normal(0, row_jitter_px, shape[0]) + np.cumsum(rng.normal(0, 0.02, shape[0]))
    expected = noise.shift_rows(expected, torch.as_tensor(shift - shift.mean(), dtype=torch.float32)[None])
    if dark:
        expected = 1.3 * expected.max() - expected
    image = rng.poisson(np.maximum(expected[0].numpy(), 0)).astype(np.float32)
    yx = yx + np.c_[np.zeros(len(yx)), _felt_shift(shift - shift.mean(), yx[:, 0], sigma)]
    inside = ((yx > -0.5) & (yx < np.array(shape) - 0.5)).all(axis=1)
    names = np.asarray(species, object)[inside]
    return Scene(image, yx[inside], names, class_map(yx[inside], names, shape, radius=1.2 * sigma), pixel_size)


def class_map(positions_yx: np.ndarray, species: np.ndarray, shape: tuple[int, int], *, radius: float) -> np.ndarray:
    """(H, W) uint8: 0 = background, else 1 + index of the nearest column's species within `radius` px."""
    from scipy.spatial import cKDTree

    out = np.full(shape, BACKGROUND_CLASS, np.uint8)
    if not len(positions_yx):
        return out
    _, code = np.unique(species.astype(str), return_inverse=True)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 2)
    distance, nearest = cKDTree(positions_yx).query(grid, distance_upper_bound=radius)
    hit = np.isfinite(distance)
    out.flat[np.flatnonzero(hit)] = 1 + code[nearest[hit]]
    return out


def sample_scene(name: str, *, seed: int = 7) -> Scene:
    """One of the simulated samples in `SAMPLE_SCENES`, the same for the same seed.

    Raises
    ------
    AtomnbError
    """
    if name not in SAMPLE_SCENES:
        raise AtomnbError(f"there is no simulated sample {name!r}: choose one of {', '.join(SAMPLE_SCENES)}.")
    return SAMPLE_SCENES[name](np.random.default_rng(seed))


def _graphene(rng: np.random.Generator) -> Scene:
    """Graphene, 5 nm, with silicon on a few carbon sites and two vacancies."""
    sites = lattice.lay_out(lattice.MOTIFS["honeycomb"], 30.0, spacing=1.42, angle=0.3)
    points = sites.positions_yx + 25.0 + rng.normal(0, 0.03, sites.positions_yx.shape)
    species = np.full(len(points), "C", object)
    inside = np.flatnonzero((np.abs(points - 25) < 20).all(axis=1))
    species[rng.choice(inside, 6, replace=False)] = "Si"
    keep = np.ones(len(points), bool)
    keep[rng.choice(inside[species[inside] == "C"], 2, replace=False)] = False
    intensity = np.where(species == "Si", (14 / 6) ** 1.7, 1.0)
    return render_scene(
        points[keep], intensity[keep], species[keep], shape=(400, 400), pixel_size=0.125, counts_per_column=900, rng=rng
    )


def _graphene_defects(rng: np.random.Generator) -> Scene:
    """Graphene, 5 nm, with six defects; positions by `create_structure`, relaxed, kept in a file as that needs ASE."""
    table = np.loadtxt(DEFECTS, dtype=str, delimiter="\t", skiprows=1)
    points, species = table[:, :2].astype(float), table[:, 2].astype(object)
    intensity = np.where(species == "Si", (14 / 6) ** 1.7, 1.0)
    return render_scene(points, intensity, species, shape=(400, 400), pixel_size=0.125, counts_per_column=1200, rng=rng)


def _mos2(rng: np.random.Generator) -> Scene:
    """MoS2 monolayer, 6 nm: columns of Mo and of two S, some of a single S (vacancies) or none."""
    sites = lattice.lay_out(lattice.MOTIFS["honeycomb-2"], 36.0, spacing=1.84, angle=0.15)
    points = sites.positions_yx + 30.0 + rng.normal(0, 0.03, sites.positions_yx.shape)
    species = np.where(sites.species == 0, "Mo", "S2").astype(object)
    draw = rng.random(len(points))
    species[(species == "S2") & (draw < 0.04)] = "S"
    keep = ~((species == "S2") & (draw > 0.985))
    weight = {"Mo": 42**1.7, "S2": 2 * 16**1.7, "S": 16**1.7}
    intensity = np.array([weight[s] for s in species])
    return render_scene(
        points[keep], intensity[keep], species[keep], shape=(448, 448), pixel_size=0.134, counts_per_column=700, rng=rng
    )


def _perovskite(rng: np.random.Generator) -> Scene:
    """SrTiO3 [001], 6 nm: bright Sr, fainter Ti–O, oxygen too faint to count on."""
    sites = lattice.lay_out(lattice.MOTIFS["perovskite"], 36.0, spacing=3.905 / 2, angle=-0.2)
    points = sites.positions_yx + 30.0 + rng.normal(0, 0.04, sites.positions_yx.shape)
    species = np.array(["Sr", "Ti", "O"], object)[sites.species]
    weight = {"Sr": 38**1.7, "Ti": 22**1.7, "O": 8**1.7 * 0.6}
    intensity = np.array([weight[s] for s in species])
    return render_scene(
        points, intensity, species, shape=(400, 400), pixel_size=0.15, counts_per_column=1500, background=0.15, rng=rng
    )


SAMPLE_SCENES = {
    "graphene-si": _graphene,
    "graphene-defects": _graphene_defects,
    "mos2": _mos2,
    "perovskite": _perovskite,
}
"""The simulated samples: name → function of a random generator."""


def _columns(yx, counts, sigma: float, shape) -> torch.Tensor:
    """Expected counts (1, H, W) of columns with the tails of a real probe."""
    one = torch.ones(1)
    return render.render_probe(
        torch.as_tensor(yx, dtype=torch.float32)[None],
        torch.as_tensor(counts, dtype=torch.float32)[None],
        torch.full((1, len(yx)), sigma),
        shape,
        tail_share=0.1 * one,
        tail_width=2.2 * one,
        stretch_yx=torch.zeros(1, 2),
    )


def _felt_shift(shift: np.ndarray, rows: np.ndarray, sigma: float) -> np.ndarray:
    """Shift of each column: the rows' shifts averaged over the rows it spans."""
    weight = np.exp(-0.5 * ((rows[:, None] - np.arange(len(shift))) / max(sigma, 0.7)) ** 2)
    return (weight * shift).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12)
