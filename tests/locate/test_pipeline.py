"""The one-call path on simulated images with exact truth, and on bad input."""

import json
import warnings

import numpy as np
import pytest

import atomnb
from atomnb.errors import AtomnbError, AtomnbWarning, CancelledError, ImageError
from atomnb.locate.pipeline import _range_message
from atomnb.locate.zoom import Zoom
from atomnb.metrics import match_positions
from atomnb.simulate.scene import sample_scene


def quiet(image, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AtomnbWarning)
        return atomnb.analyze(image, **options)


@pytest.fixture(scope="module")
def scene():
    return sample_scene("graphene-si")


@pytest.fixture(scope="module")
def analysis(scene):
    return quiet(scene.image, pixel_size=scene.pixel_size)


def inside(points, shape, margin=6):
    return points[((points > margin) & (points < np.array(shape) - margin)).all(axis=1)]


@pytest.mark.parametrize("name", ["graphene-si", "mos2"])
@pytest.mark.parametrize("calibrated", [True, False])
def test_finds_the_atoms_of_the_samples(name, calibrated):
    truth = sample_scene(name)
    found = quiet(truth.image, pixel_size=truth.pixel_size if calibrated else None)
    shape = truth.image.shape
    result = match_positions(inside(found.atoms.positions_yx, shape), inside(truth.positions_yx, shape), tolerance=4)
    assert result.f1 > 0.97


def test_result_has_the_promised_shape(analysis, scene):
    assert analysis.probability.shape == (2, *scene.image.shape)
    np.testing.assert_allclose(analysis.probability.sum(axis=0), 1, atol=1e-5)
    assert analysis.classes == ("background", "column")
    assert analysis.pixel_size == scene.pixel_size
    assert set(analysis.atoms.df["species"]) == {"column"}
    assert analysis.atoms.df["score"].between(0, 1).all()
    errors = analysis.atoms.errors_yx
    assert (errors > 0).all()
    assert np.median(errors) * scene.pixel_size < 0.15
    assert analysis.scale.spacing_angstrom == pytest.approx(1.42, rel=0.05)


def test_it_prints_as_one_line(analysis, scene):
    assert repr(analysis) == f"Analysis({analysis.image!r}: {len(analysis.atoms)} atoms, model 'universal')"
    assert (
        repr(analysis.atoms).splitlines()[0] == f"AtomTable({len(analysis.atoms)} atoms, {scene.pixel_size:.4g} Å/px)"
    )


def test_provenance_names_everything_needed_to_repeat(analysis):
    json.dumps(analysis.provenance)
    assert {"atomnb", "torch", "model", "model_sha256", "input_blake2b", "options"} <= set(analysis.provenance)
    again = quiet(analysis.image)
    assert again.provenance["input_blake2b"] == analysis.provenance["input_blake2b"]
    np.testing.assert_array_equal(again.atoms.positions_yx, analysis.atoms.positions_yx)


def test_input_is_not_modified(scene):
    before = scene.image.copy()
    quiet(scene.image)
    np.testing.assert_array_equal(scene.image, before)


def test_gain_and_offset_do_not_change_the_atoms(analysis, scene):
    other = quiet(scene.image * 37 + 500, pixel_size=scene.pixel_size)
    result = match_positions(other.atoms.positions_yx, analysis.atoms.positions_yx, tolerance=1)
    assert result.f1 > 0.99


def test_dark_atoms_are_found_as_bright_ones_are(analysis, scene):
    dark = quiet(scene.image.max() - scene.image, pixel_size=scene.pixel_size, contrast="dark")
    result = match_positions(dark.atoms.positions_yx, analysis.atoms.positions_yx, tolerance=1)
    assert result.f1 > 0.99


def test_stacks_are_lazy_and_frames_numbered(scene):
    part = scene.image[:160, :160]
    stack = np.stack([part, part[::-1], part])
    found = quiet(stack, pixel_size=scene.pixel_size)
    assert found.probability.shape == (3, 2, 160, 160)
    assert hasattr(found.probability, "dask")
    counts = found.atoms.df["frame"].value_counts()
    assert set(counts.index) == {0, 1, 2}
    assert counts[0] == counts[2]
    np.testing.assert_allclose(found.probability[1].compute().sum(axis=0), 1, atol=1e-5)


def test_a_wrong_unit_in_the_file_is_noticed(scene):
    with pytest.warns(AtomnbWarning, match="no crystal"):
        found = atomnb.analyze(scene.image, pixel_size=scene.pixel_size * 10)
    assert len(found.atoms) == pytest.approx(len(scene.species), rel=0.05)


def test_known_spacing_is_compared(scene):
    with pytest.warns(AtomnbWarning, match="calibrate with pixel_size"):
        atomnb.analyze(scene.image, pixel_size=scene.pixel_size * 1.1, known_spacing=1.42)


@pytest.mark.parametrize(("factor", "told"), [(1, False), (1.1, False), (2, True), (0.5, True)])
def test_rules_of_another_crystal_are_told(scene, factor, told):
    said = quiet(scene.image, pixel_size=factor * scene.pixel_size, rules="graphene", model="graphene-si").messages
    assert any("rules 'graphene' 1.42 Å" in message for message in said) == told


@pytest.mark.parametrize(("spacing", "cause"), [(3.0, "too coarse"), (25.0, "misses atoms")])
def test_a_spacing_outside_the_range_says_on_which_side(spacing, cause):
    said = _range_message(spacing, Zoom(1.0, True, []), {"spacing_range_px": (5, 20)})
    assert cause in said


def test_missing_pixel_size_is_told(scene):
    with pytest.warns(AtomnbWarning, match="distances are in pixels"):
        atomnb.analyze(scene.image[:200, :200])


def test_an_image_without_atoms_gives_an_empty_table(rng):
    with pytest.warns(AtomnbWarning):
        found = atomnb.analyze(rng.poisson(50, (128, 128)).astype(float), pixel_size=0.2, threshold=0.98)
    assert len(found.atoms) < 10
    assert list(found.atoms.df.columns)[:2] == ["y", "x"]


def test_threshold_only_removes(analysis, scene):
    strict = quiet(scene.image, pixel_size=scene.pixel_size, threshold=0.9)
    assert len(strict.atoms) < len(analysis.atoms) or (analysis.atoms.df["score"] > 0.9).all()
    assert strict.atoms.df["score"].min() >= 0.9


def test_cancelling_stops(scene):
    def cancel(fraction, message):
        raise CancelledError

    with pytest.raises(CancelledError):
        quiet(scene.image, progress=cancel)


def test_every_magnification_tried_is_told_and_can_be_the_last(scene):
    told = []

    def stop(fraction, message):
        told.append((fraction, message))
        if [m for _, m in told].count("trying magnifications") == 2:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        quiet(scene.image, progress=stop)
    fractions = [f for f, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] < 0.05


def test_progress_ends_at_one(scene):
    seen = []
    quiet(scene.image[:128, :128], pixel_size=scene.pixel_size, progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "image, message",
    [
        (np.full((64, 64), 3.0), "constant"),
        (np.where(np.eye(64) > 0, np.nan, 1.0), "NaN"),
        (np.zeros((8, 8)), "at least 16"),
        (np.zeros(100), "expected an image"),
        (np.zeros((64, 64), complex), "complex"),
        ("image.png", "read_image"),
    ],
)
def test_bad_images_are_refused_with_the_reason(image, message):
    with pytest.raises(ImageError, match=message):
        atomnb.analyze(image)


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.5}, {"contrast": "grey"}])
def test_bad_options_are_refused(scene, options):
    with pytest.raises(AtomnbError):
        atomnb.analyze(scene.image, **options)


def test_save_writes_everything(analysis, tmp_path):
    analysis.save(tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"atoms.csv", "probability.tif", "overlay.png", "result.json"} <= names
    assert json.loads((tmp_path / "out" / "result.json").read_text())["atoms"] == len(analysis.atoms)


def test_saved_result_is_strict_json_with_the_metadata(tmp_path):
    """NaN is no JSON: other programs refuse the whole file for one."""
    pixels = sample_scene("mos2").image[:128, :128]
    image = atomnb.Micrograph(pixels, pixel_size=0.134, metadata={"energy_ev": 80e3, "stage": np.array([1.0, np.nan])})
    quiet(image).save(tmp_path)

    def refuse(word):
        raise ValueError(word)

    saved = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert saved["metadata"] == {"energy_ev": 80e3, "stage": [1.0, None]}


def test_cancel_is_heard_before_the_first_atom_is_sought():
    heard = []

    def cancel(fraction, message):
        heard.append(fraction)
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        quiet(sample_scene("mos2").image, progress=cancel)
    assert heard[0] < 0.05


def test_warnings_about_the_bonds_are_among_the_messages(scene):
    with pytest.warns(AtomnbWarning, match="choose rules that fit"):
        found = atomnb.analyze(scene.image, pixel_size=scene.pixel_size, model="graphene-si", rules="hbn")
    assert any("choose rules that fit" in message for message in found.messages)
