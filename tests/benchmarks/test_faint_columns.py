"""Faint columns between bright ones, by multislice images: a fit to the image tells them from empty places."""

import detection
import numpy as np
import pytest
import scoring

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
