"""The Cramér–Rao bounds against limits known in closed form."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.locate.bound import crlb_isolated, crlb_joint


def test_without_background_it_is_the_width_over_root_counts():
    assert crlb_isolated(0.35, 1000, 0, 1e-6) == pytest.approx(0.35 / np.sqrt(1000))
    # the figures quoted in the literature: 3.5 pm at 100 electrons without background, for σ = 0.35 Å
    assert crlb_isolated(0.35, 100, 0, 0.1) * 100 == pytest.approx(3.5, abs=0.05)


@pytest.mark.parametrize("sigma", [0.35, 0.45])
@pytest.mark.parametrize("counts", [100, 1000, 10000])
@pytest.mark.parametrize("background", [0.01, 1.0, 20.0])
@pytest.mark.parametrize("pixel", [0.1, 0.25])
def test_closed_form_is_within_two_percent_of_the_fisher_matrix(sigma, counts, background, pixel):
    numerical = crlb_joint([[0.03, 0.01]], sigma, counts, background, pixel)
    assert numerical == pytest.approx(crlb_isolated(sigma, counts, background, pixel), rel=0.02)


def test_unknown_width_costs_an_isolated_column_nothing():
    known = crlb_joint([[0, 0]], 0.4, 500, 2.0, 0.2)
    assert crlb_joint([[0, 0]], 0.4, 500, 2.0, 0.2, fit_sigma=True) == pytest.approx(known, rel=1e-3)


def test_far_columns_are_isolated_near_ones_are_worse():
    alone = crlb_joint([[0, 0]], 0.4, 1000, 1.0, 0.2)[0, 0]
    far = crlb_joint([[0, 0], [0, 6.0]], 0.4, 1000, 1.0, 0.2)
    near = crlb_joint([[0, 0], [0, 1.36]], 0.4, 1000, 1.0, 0.2)
    nearer = crlb_joint([[0, 0], [0, 0.9]], 0.4, 1000, 1.0, 0.2)
    assert far == pytest.approx(alone, rel=0.02)
    assert (near > 1.02 * alone).all()
    # along the line between them most of all
    assert (nearer[:, 1] > 1.3 * near[:, 1]).all()
    assert (near[:, 1] > near[:, 0]).all()


def test_coinciding_columns_have_no_bound():
    assert np.isinf(crlb_joint([[0, 0], [0, 0]], 0.4, 1000, 1.0, 0.2)).all()


def test_units_do_not_matter():
    angstrom = crlb_joint([[0, 0], [0.3, 1.36]], 0.4, [300, 900], 1.0, 0.2)
    px = crlb_joint([[0, 0], [1.5, 6.8]], 2.0, [300, 900], 1.0, 1.0)
    assert angstrom == pytest.approx(px * 0.2)


def test_no_columns_no_rows_and_bad_numbers_are_refused():
    assert crlb_joint(np.zeros((0, 2)), 0.4, 100).shape == (0, 2)
    with pytest.raises(AtomnbError, match="counts > 0"):
        crlb_joint([[0, 0]], 0.4, 0)
