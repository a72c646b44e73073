"""Faint columns between bright ones, by multislice images: a fit to the image tells them from empty places."""

import detection
import numpy as np
import pytest
import scoring

import atomnb
from atomnb.locate import detect
from atomnb.locate.detect import SIGNIFICANT
from atomnb.locate.emptiness import FittedColumns
from atomnb.locate.refine import refine_positions

FILES = scoring.specimens(scoring.VALIDATION)


def test_chromium_is_found_among_iodine_at_300_electrons():
    find = detection.atomnb_finder("universal", pixel_size_given=True)
    tally = scoring.score_material(find, FILES["cri3"], 300, seeds=[0, 1])
    assert tally.f1 > 0.985 and not tally.filled


@pytest.mark.parametrize("name", ["ptse2", "mos2_2h_1t"])
def test_a_vacancy_between_bright_columns_holds_none(name):
    """With a flat background the tails round it would pass for a column."""
    frame = scoring.noisy_frame(FILES[name], 300, seed=1)
    fit = refine_positions(frame.image, frame.columns_yx, dark=False)
    columns = FittedColumns(frame.image, fit.positions_yx, fit.intensity, fit.sigma)
    flat = [np.divide(*columns._intensity_at(place)) for place in frame.vacancies_yx]
    curved = [columns.significance(place) for place in frame.vacancies_yx]
    assert max(curved) < min(SIGNIFICANT, max(flat))


def test_doubts_between_columns_that_are_sure_put_nothing_there(monkeypatch):
    """A square lattice without anything in its hollows, where the network has hundreds of faint doubts."""
    from large_image import image_of
    from speed import PIXEL_SIZE

    image = image_of(1024)[:, 512:]
    with_doubts = atomnb.analyze(image, pixel_size=PIXEL_SIZE).atoms
    monkeypatch.setattr(detect, "_many_in_doubt", lambda probability: False)
    assert len(with_doubts) == len(atomnb.analyze(image, pixel_size=PIXEL_SIZE).atoms)


def test_chance_alone_is_not_significant():
    rng = np.random.default_rng(0)
    assert not detect._significant(rng.normal(size=5000)).any()
    many = np.concatenate([rng.normal(size=200), rng.normal(4.0, 1.0, size=100), [np.nan]])
    let_in = detect._significant(many)
    assert let_in[200:300].mean() > 0.85 and let_in[:200].sum() <= 5 and not let_in[-1]
