"""Crystals are recognised by their neighbours and their brightness, and not where they are others."""

import numpy as np
import pytest

import atomnb
from atomnb.data.atoms import AtomTable
from atomnb.locate.crystal import crystal_of, honeycomb_message, measure_surroundings
from atomnb.scale import measure_spacing
from atomnb.simulate import lattice


def lattice_atoms(motif: str, length: float | None, *, brightness=(1.0, 1.0), noise: float = 0.0) -> AtomTable:
    """A lattice whose neighbours are 10 px and `length` Å apart, its sites as bright as told."""
    sites = lattice.lay_out(lattice.MOTIFS[motif], 110.0, spacing=10.0)
    rng = np.random.default_rng(4)
    intensity = np.array(brightness, float)[sites.species] * rng.lognormal(0, noise, len(sites.species))
    size = None if length is None else length / 10
    atoms = AtomTable.from_positions(sites.positions_yx + 110.0, pixel_size=size, shape=(220, 220))
    return AtomTable(atoms.df.assign(intensity=intensity), size, atoms.shape)


@pytest.mark.parametrize(
    ("motif", "length", "brightness", "model", "rules"),
    [
        ("honeycomb-2", 1.42, (1, 1), "graphene-si", "graphene"),
        ("honeycomb-2", 1.30, (1, 1.1), "graphene-si", "graphene"),
        ("honeycomb-2", None, (1, 1), "graphene-si", "graphene"),
        ("honeycomb-2", 1.45, (1, 1.8), "universal", "hbn"),
        ("honeycomb-2", 1.60, (1, 1.9), "tmd", "tmd"),
        ("honeycomb-2", 1.90, (1, 1.25), "tmd", "tmd"),
        ("honeycomb-2", None, (3.9, 1), "tmd", "tmd"),
        ("rocksalt", 2.76, (2.4, 1), "perovskite", "perovskite"),
        ("rocksalt", None, (1, 2.4), "perovskite", "perovskite"),
        ("dumbbell", 1.36, (1, 1, 1, 1), "dumbbell", "diamond110"),
        ("dumbbell", None, (1, 1.5, 1, 1.5), "dumbbell", "zincblende110"),
    ],
)
def test_crystals_are_told_apart_by_neighbours_brightness_and_length(motif, length, brightness, model, rules):
    crystal = crystal_of(lattice_atoms(motif, length, brightness=brightness, noise=0.15))
    assert (crystal.model, crystal.rules) == (model, rules)
    assert (f"{length:.2f} Å" in str(crystal)) if length else ("Å" not in str(crystal))


@pytest.mark.parametrize(
    ("motif", "length", "brightness"),
    [
        ("honeycomb-2", 1.85, (1, 1)),  # magnesium along [0001]
        ("honeycomb-2", 2.60, (1, 2)),  # no crystal that a model knows
        ("hexagonal", 1.42, (1,)),
        ("square", 2.76, (1,)),  # a metal along [001]
        ("rocksalt", 2.04, (1, 1.5)),  # NiAl along [001]
    ],
)
def test_other_crystals_are_none_of_them(motif, length, brightness):
    assert crystal_of(lattice_atoms(motif, length, brightness=brightness, noise=0.15)) is None


def test_noise_and_foreign_atoms_are_no_second_kind():
    atoms = lattice_atoms("honeycomb-2", None, noise=0.3)
    bright = atoms.df["intensity"].to_numpy().copy()
    bright[::50] *= 6
    around = measure_surroundings(atoms.positions_yx, bright, atoms.shape)
    assert around.alternation < 1.15 < around.contrast
    assert around.share[3] > 0.95


def test_too_few_atoms_are_no_crystal():
    atoms = lattice_atoms("honeycomb-2", 1.42)
    assert crystal_of(atoms.select(atoms.df.index < 30)) is None
    assert crystal_of(AtomTable.empty()) is None


@pytest.mark.parametrize(
    ("sample", "model"),
    [("si-110", "dumbbell"), ("graphene-si", "graphene-si"), ("mos2", "tmd"), ("perovskite", "perovskite")],
)
def test_a_sample_is_recognised(sample, model):
    image = atomnb.sample_image(sample)
    assert atomnb.recognize_crystal(image).model == model
    assert atomnb.recognize_crystal(image, pixel_size=5.0) is None


def test_noise_without_a_lattice_is_no_crystal():
    image = np.random.default_rng(0).poisson(20.0, (256, 256)).astype(np.float32)
    assert atomnb.recognize_crystal(image) is None
    image[64:192, 64:192] = 7.0
    assert atomnb.recognize_crystal(np.pad(image[64:192, 64:192], 600, constant_values=((7, 7), (7, 8)))) is None


def message(motif: str, length: float | None, **options) -> str | None:
    atoms = lattice_atoms(motif, length, **options)
    return honeycomb_message(atoms, measure_spacing(atoms.positions_yx))


def test_graphene_off_its_bond_length_is_told():
    assert "5% less" in message("honeycomb-2", 1.349)
    assert "pixel_size=0.142" in message("honeycomb-2", 1.349)


@pytest.mark.parametrize("length", [1.42, None, 3.4])
def test_no_word_on_right_unknown_or_other_honeycombs(length):
    assert message("honeycomb-2", length) is None


def test_a_honeycomb_of_two_kinds_is_not_called_graphene():
    said = message("honeycomb-2", 1.626, brightness=(1, 2), noise=0.15)
    assert "1.626 Å" in said and "pixel_size=0.182" in said and "graphene" not in said
    assert "graphene" in message("honeycomb-2", 1.626, noise=0.15)


def test_a_square_lattice_is_never_graphene():
    assert message("square", 1.33) is None
