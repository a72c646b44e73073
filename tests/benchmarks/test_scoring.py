"""The scoring of found atoms: perfect answers score one; the rules agree with the project's scoring kit."""

import importlib.util

import numpy as np
import pytest
import scoring
from make_validation import fourier_resample
from scipy.spatial import cKDTree


@pytest.fixture(scope="module")
def hbn():
    return scoring.specimens(scoring.VALIDATION)["hbn"]


def test_truth_scores_one_and_a_shifted_grid_scores_nothing(hbn):
    perfect = scoring.score_material(lambda frame: frame.columns_yx, hbn, 3000, seeds=[0])
    assert perfect.f1 == 1.0 and perfect.filled == 0 and perfect.vacancies >= 3
    shifted = scoring.score_material(lambda f: f.columns_yx + 0.5 * f.spacing, hbn, 3000, seeds=[0])
    assert shifted.f1 < 0.2


def test_an_imagined_atom_is_counted_as_wrong_and_as_a_filled_vacancy(hbn):
    filled = scoring.score_material(lambda f: np.r_[f.columns_yx, f.vacancies_yx], hbn, 3000, seeds=[0])
    assert filled.filled == filled.vacancies
    assert filled.wrong == filled.vacancies


def test_a_lost_column_costs_recall_only(hbn):
    def lose_one(frame):
        middle = np.array(frame.image.shape) / 2
        return np.delete(frame.columns_yx, np.argmin(np.hypot(*(frame.columns_yx - middle).T)), axis=0)

    tally = scoring.score_material(lose_one, hbn, 300, seeds=[0])
    assert (tally.missed, tally.wrong) == (1, 0)


def test_columns_sit_on_the_maxima_of_the_noise_free_images():
    """Truth and image agree for every validation material: no offset between columns and maxima."""
    for name, path in scoring.specimens(scoring.VALIDATION).items():
        with np.load(path) as held:
            image, step = held["image"].astype(float).T, held["sampling"] / 4
            image = fourier_resample(image, tuple(4 * n for n in image.shape))  # all may lie between two pixels
            heavy = scoring.relative_weight(held["columns"]) >= 0.9
            yx = (held["columns"][heavy, :2] / step)[:, ::-1]
        tops = np.argwhere(image == scoring.ndimage.maximum_filter(image, 17, mode="wrap"))
        distance, index = cKDTree(tops).query(yx)
        offset = (tops[index] - yx)[distance < 0.4 / step.mean()] * step.mean()
        assert len(offset) > 0.8 * heavy.sum(), name
        most = 0.1 if "tilted" in name else 0.03  # the beam keeps to where a leaning column begins
        assert np.abs(offset.mean(0)).max() < most, name


def test_the_kit_and_the_scoring_agree():
    folder = scoring.bench_folder()
    if folder is None:
        pytest.skip("no scoring kit here: set ATOMNB_BENCH to its folder")
    spec = importlib.util.spec_from_file_location("evalkit", folder / "evalkit.py")
    kit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kit)
    name = "g_si"
    scatter = np.random.default_rng(3).normal(0, 3.0, (2000, 2))

    def find(image, _pixel_size):
        smooth = scoring.ndimage.gaussian_filter(image, 3)
        tops = np.argwhere(smooth == scoring.ndimage.maximum_filter(smooth, 9))
        return tops + scatter[: len(tops)]

    theirs = kit.score(find, [(name, 60)], seeds=[1])[0]
    path = scoring.specimens(folder)[name]
    ours = scoring.score_material(lambda f: find(f.image, f.pixel_size), path, 60, seeds=[1]).as_row()
    assert 0.05 < theirs["f1"] < 0.95
    names = {"f1": "f1", "precision": "prec", "recall": "rec", "rmse_pm": "rmse_pm", "columns": "n"}
    for mine, kits in names.items():
        assert ours[mine] == pytest.approx(theirs[kits], abs=1e-9), mine
