"""What noise, neighbours and the edge let be seen of a column."""

import pytest
import torch
from scipy.ndimage import maximum_filter

from atomnb.simulate.render import render_columns
from atomnb.simulate.visible import running_max, visible


def judged(yx, counts, *, background=0.0, size=64, sigma=2.0, spacing=9.0, shoulders=False):
    """Verdicts on columns of `counts` electrons each on an even background of electrons per pixel."""
    yx, counts = torch.tensor(yx), torch.tensor(counts)
    signal = render_columns(yx[None], counts[None], torch.full((1, len(yx)), sigma), (size, size))[0]
    seen = signal + background
    return visible(signal, seen, seen, yx, counts, spacing, shoulders=shoulders).tolist()


@pytest.mark.parametrize("reach", [1, 2, 5, 11])
def test_running_max_is_that_of_the_square(reach):
    image = torch.randn(40, 33, generator=torch.Generator().manual_seed(reach))
    expected = maximum_filter(image.numpy(), 2 * reach + 1, mode="constant", cval=-1e9)
    assert running_max(image, reach).numpy().tolist() == expected.tolist()


def test_a_column_is_seen_when_its_counts_exceed_their_noise():
    here = [[32.0, 32.0]]
    assert judged(here, [1000.0], background=1.0) == [1]
    assert judged(here, [12.0], background=1.0) == [-1]
    assert judged(here, [1000.0], background=10_000.0) == [-1]


def test_empty_sites_and_those_outside_are_not_judged():
    assert judged([[32.0, 32.0], [20.0, 20.0], [-30.0, 5.0]], [1000.0, 0.0, 1000.0]) == [1, 0, 1]


def test_a_shoulder_of_a_brighter_column_counts_only_where_asked():
    beside = [[32.0, 32.0], [32.0, 36.6]]
    assert judged(beside, [1000.0, 120.0]) == [1, -1]
    assert judged(beside, [1000.0, 120.0], shoulders=True) == [1, 1]
    apart = [[32.0, 32.0], [32.0, 46.0]]
    assert judged(apart, [1000.0, 120.0]) == [1, 1]
