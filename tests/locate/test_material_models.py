"""Models of one material: elements named, empty sites listed, on scenes simulated apart from their training."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import atomnb
from atomnb.errors import AtomnbWarning
from atomnb.metrics import match_positions
from atomnb.simulate.scene import render_scene, sample_scene

BANK = Path(__file__).parents[2] / "benchmarks" / "multislice_bank"


def analysed(name, model, **options):
    scene = sample_scene(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AtomnbWarning)
        return scene, atomnb.analyze(scene.image, model=model, pixel_size=scene.pixel_size, **options)


def confusion(scene, analysis):
    """Pairs of (true, found) species of the matched atoms away from the border, and share of the atoms found."""
    tolerance = 0.5 / scene.pixel_size
    pairs = match_positions(analysis.atoms.positions_yx, scene.positions_yx, tolerance=tolerance).pairs
    size = np.array(scene.image.shape)
    inner = ((scene.positions_yx > 10) & (scene.positions_yx < size - 11)).all(axis=1)
    pairs = pairs[inner[pairs[:, 1]]]
    found = analysis.atoms.df["species"].to_numpy()[pairs[:, 0]]
    return scene.species[pairs[:, 1]], found, len(pairs) / inner.sum()


def test_silicon_is_told_from_carbon():
    scene, analysis = analysed("graphene-si", "graphene-si")
    true, found, share = confusion(scene, analysis)
    assert share > 0.99
    assert (found[true == "Si"] == "Si").all()
    assert (found[true == "C"] == "C").mean() > 0.998
    assert analysis.classes == ("background", "C", "Si")
    assert analysis.atoms.df["species_score"].between(0, 1).all()
    np.testing.assert_allclose(analysis.probability.sum(axis=0), 1, atol=1e-4)


def test_chalcogens_are_counted_and_empty_sites_listed():
    scene, analysis = analysed("mos2", "tmd")
    true, found, share = confusion(scene, analysis)
    assert share > 0.98
    assert (found[true == "Mo"] == "metal").mean() > 0.99
    assert (found[true == "S2"] == "chalcogen pair").mean() > 0.97
    assert (found[true == "S"] == "single chalcogen").mean() > 0.9
    assert len(analysis.vacancies) > 0
    assert "vacancy" not in set(analysis.atoms.df["species"])


@pytest.mark.parametrize(
    ("material", "warned"), [("mose2-1", True), ("mos2-1", False), ("wse2-1", False), ("ws2-1", False)]
)
def test_where_names_may_be_the_wrong_way_round_it_is_said(material, warned):
    """Multislice images at 1000 electrons a column; in MoSe2 the pair is brighter than the metal."""
    with np.load(BANK / f"{material}.npz") as held:
        clean, pixel_size, n = held["haadf"].astype(float), float(held["pixel_size"]), len(held["columns_yx"])
    image = np.random.default_rng(0).poisson(np.clip(clean / clean.sum() * 1000 * n, 0, None)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AtomnbWarning)
        found = atomnb.analyze(image, model="tmd", pixel_size=pixel_size)
    assert any("rules='mose2'" in message for message in found.messages) == warned


@pytest.mark.parametrize("polar", [True, False])
def test_both_sides_of_a_twin_have_their_polarity_and_silicon_none(zincblende, polar):
    """As for GaAs at 300 electrons a column, whose two columns differ by a tenth."""
    rng = np.random.default_rng(12)
    yx, kind, _ = zincblende.crystal(size=48, fault="twin", spread=0.05, seed=3)
    names = np.where(kind == 0, "heavier", "lighter") if polar else np.full(len(kind), "column")
    brightness = np.where(kind == 0, 33.0, 31.0) ** 1.7 if polar else np.ones(len(kind))
    scene = render_scene(
        yx, brightness, names, shape=(400, 400), pixel_size=0.12, counts_per_column=300, probe_sigma_angstrom=0.38,
        rng=rng,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AtomnbWarning)
        analysis = atomnb.analyze(scene.image, model="dumbbell", pixel_size=scene.pixel_size)
    true, found, share = confusion(scene, analysis)
    assert share > 0.99
    assert (found == true).mean() > 0.98
    assert set(found[found != true]) <= {"column"}
    assert (analysis.atoms.df["species_score"] > 0.9).mean() > 0.95


def test_a_model_without_a_class_for_them_lists_no_vacancies():
    _, analysis = analysed("mos2", "universal")
    assert len(analysis.vacancies) == 0
    assert set(analysis.atoms.df["species"]) == {"column"}
