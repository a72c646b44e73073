"""Layouts of atoms nobody chose: what one training image shows, before any microscope sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atomnb.simulate import lattice


@dataclass(frozen=True)
class SceneConfig:
    """Ranges from which scenes are drawn; lengths in px of the network's input, all ranges (low, high).

    The ranges are those of experiments brought to the working scale, not of any one material.
    """

    size: int = 128
    typical_spacing: float = 9.0
    spacing: tuple[float, float] = (5.3, 20.0)
    spacing_over_sigma: tuple[float, float] = (2.65, 8.0)
    sigma: tuple[float, float] = (1.1, 4.0)
    counts_per_column: tuple[float, float] = (18.0, 20000.0)
    visible_over_texture: float = 2.0
    """Columns weaker than this many times the support's texture teach nothing."""
    share_low_dose: float = 0.0
    low_dose: tuple[float, float] = (25.0, 250.0)
    """Counts per column of that share of the scenes."""
    faintest_species: float = 0.06
    resample: tuple[float, float] = (0.6, 1.8)
    share_crystal: float = 0.40
    share_honeycomb: float = 0.0
    """Share of the crystals that are honeycombs, the densest and so the hardest at low dose."""
    share_random_crystal: float = 0.26
    share_polycrystal: float = 0.10
    share_network: float = 0.10
    share_sparse: float = 0.14
    share_inverted: float = 0.08
    share_bent: float = 0.2
    """Share of images with a gamma other than 1, which no quantitative detector has."""
    share_stm: float = 0.0
    """Share of surfaces as a scanning tunnelling microscope sees them."""
    shoulders: bool = False
    """Whether columns are taught that are no maximum of the noise-free image, only shoulders of brighter ones: a model
    of one material can learn from all that surrounds them where they are."""
    material: str = ""
    """A key of `atomnb.simulate.materials.MATERIALS` for scenes of that material alone; empty for any lattice."""


class Layout(NamedTuple):
    """One sample's atoms and optics.

    positions_yx : (N, 2) px
    amplitude : (N,) relative to the mean column; 0 marks an empty site that has a class of its own
    label : (N,) index of the class, counted from the first after the background
    """

    positions_yx: np.ndarray
    amplitude: np.ndarray
    label: np.ndarray
    spacing: float
    sigma: float
    sparse: bool
    by_tip: bool = False
    """Seen by a tunnelling tip instead of an electron beam."""
    hop_yx: np.ndarray | None = None
    """(N, 2) px: where each atom is, seen from its place, in those rows of the scan in which it has hopped."""


def random_layout(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """Draw a crystal, polycrystal, network or sparse atoms with its defects, centred on (0, 0)."""
    spacing = float(np.clip(np.exp(rng.normal(np.log(config.typical_spacing), 0.38)), *config.spacing))
    ratio = np.exp(rng.uniform(*np.log(config.spacing_over_sigma)))
    sigma = float(np.clip(spacing / ratio, *config.sigma))
    extent = 0.5 * config.size + max(10.0, 1.2 * spacing)
    kinds = ["crystal", "random", "polycrystal", "network", "sparse"]
    shares = [
        config.share_crystal,
        config.share_random_crystal,
        config.share_polycrystal,
        config.share_network,
        config.share_sparse,
    ]
    kind = rng.choice(kinds, p=np.array(shares) / sum(shares))
    honeycomb = kind == "crystal" and rng.random() < config.share_honeycomb
    sites = _sites_of("honeycomb" if honeycomb else kind, rng, extent, spacing)
    amplitude = _amplitudes(rng, sites, config)
    points, amplitude = _with_defects(rng, sites, amplitude, extent, spacing, sparse=kind == "sparse")
    label = np.zeros(len(points), int)
    return Layout(deformed(rng, points, spacing, extent), amplitude, label, spacing, sigma, kind == "sparse")


def _sites_of(kind: str, rng, extent: float, spacing: float) -> lattice.Sites:
    def any_motif():
        if rng.random() < 0.6:
            return lattice.MOTIFS[rng.choice(list(lattice.MOTIFS))]
        return lattice.random_motif(rng)

    if kind == "polycrystal":
        first = any_motif()
        motifs = [first if rng.random() < 0.6 else any_motif() for _ in range(rng.integers(2, 6))]
        return lattice.polycrystal(rng, motifs, extent, spacing=spacing)
    if kind in ("network", "sparse"):
        if kind == "network" and rng.random() < 0.7:
            points = lattice.random_network(rng, extent, spacing=spacing)
        else:
            points = lattice.poisson_disc(rng, extent, spacing=spacing * rng.uniform(0.85, 1.1))
        return lattice.Sites(points, rng.integers(0, rng.integers(1, 3), len(points)))
    motif = _motif_of(kind, rng)
    if rng.random() < 0.5:  # nature bends the ideal cell: another axial ratio, another parameter of the basis
        shear = lattice.strain_matrix(rng, 0.06)
        motif = motif._replace(cell=motif.cell @ shear)
    return lattice.lay_out(
        motif, extent, spacing=spacing, angle=rng.uniform(0, 2 * np.pi), origin_yx=rng.uniform(-spacing, spacing, 2)
    )


def _motif_of(kind: str, rng) -> lattice.Motif:
    if kind == "random":
        return lattice.random_motif(rng)
    names = [n for n in lattice.MOTIFS if n.startswith(kind)] if kind == "honeycomb" else list(lattice.MOTIFS)
    return lattice.MOTIFS[rng.choice(names)]


def _amplitudes(rng, sites: lattice.Sites, config: SceneConfig) -> np.ndarray:
    n_species = int(sites.species.max(initial=0)) + 1
    of_species = np.exp(-rng.uniform(0, -np.log(config.faintest_species), n_species))
    if rng.random() < 0.35:
        of_species = np.exp(rng.normal(0, 0.15, n_species))
    amplitude = of_species[sites.species] * np.exp(rng.normal(0, rng.uniform(0.0, 0.15), len(sites.species)))
    if rng.random() < 0.25:  # an alloy: some sites of one species hold another element
        target = rng.integers(n_species)
        swapped = (sites.species == target) & (rng.random(len(amplitude)) < rng.uniform(0.05, 0.5))
        amplitude[swapped] *= np.exp(rng.uniform(np.log(0.3), np.log(3.5)))
    return amplitude


def _with_defects(rng, sites: lattice.Sites, amplitude, extent, spacing, *, sparse: bool):
    points, species = sites.positions_yx, sites.species
    keep = np.ones(len(points), bool)
    if sparse:
        share = rng.choice([rng.uniform(0.01, 0.08), rng.uniform(0.05, 0.4)])
        keep &= rng.random(len(points)) < share
    elif rng.random() < 0.65:
        share = rng.uniform(0, 0.06) if rng.random() < 0.8 else rng.uniform(0.05, 0.25)
        of_species = species == rng.integers(species.max(initial=0) + 1) if rng.random() < 0.4 else True
        keep &= ~((rng.random(len(points)) < share) & of_species)
    if not sparse and rng.random() < 0.22:
        keep &= ~hole(rng, points, extent)
    points, amplitude = points[keep], amplitude[keep]
    if rng.random() < 0.4:
        changed = rng.random(len(points)) < rng.uniform(0, 0.06)
        amplitude[changed] *= np.exp(rng.uniform(np.log(0.35), np.log(8.0)))
    if rng.random() < 0.2:
        extra = lattice.poisson_disc(rng, extent, spacing=6 * spacing)
        joined = np.concatenate([points, extra])
        free = lattice.far_apart(joined, 0.72 * spacing)
        values = np.concatenate([amplitude, np.full(len(extra), np.median(amplitude) if len(amplitude) else 1.0)])
        points, amplitude = joined[free], values[free]
    mean = amplitude.mean() if len(amplitude) else 1.0
    return points, amplitude / mean


def hole(rng, points, extent):
    """Mask (N,) of the points beyond an edge or inside a ragged hole."""
    if rng.random() < 0.5:
        normal = rng.uniform(0, 2 * np.pi)
        return points @ [np.sin(normal), np.cos(normal)] > rng.uniform(-0.3, 0.6) * extent
    centre, radius = rng.uniform(-0.7, 0.7, 2) * extent, rng.uniform(0.1, 0.5) * extent
    offset = points - centre
    angle = np.arctan2(*offset.T)
    ragged = radius * (1 + 0.25 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.15 * np.sin(5 * angle + rng.uniform(0, 6)))
    return np.hypot(*offset.T) < ragged


def deformed(rng, points, spacing, extent):
    """Points (N, 2) px as strain, thermal and static displacements and the scan leave them."""
    points = points @ lattice.strain_matrix(rng, 0.02)
    points = points + rng.normal(0, rng.uniform(0.0, 0.055) * spacing, points.shape)
    if rng.random() < 0.5:
        amplitude = rng.uniform(0, 0.25) * spacing
        points = points + lattice.smooth_displacement(
            rng, points, amplitude=amplitude, wavelength=rng.uniform(0.5, 3) * extent
        )
    if rng.random() < 0.1:  # fly-back: the beam still settles at the start of each row
        left = points[:, 1] + 0.67 * extent
        points = points.copy()
        points[:, 1] -= rng.uniform(0, 0.5) * spacing * np.exp(-np.clip(left, 0, None) / rng.uniform(5, 25))
    return points
