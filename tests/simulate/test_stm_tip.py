"""Tips: shapes keep the signal and its centre, ghosts come where they should, artefacts have the height asked for."""

import numpy as np
import pytest
import torch

from atomnb.simulate import stm_tip
from atomnb.simulate.render import render_columns
from atomnb.simulate.stm_tip import add_stm_artifacts, random_tip, see_through_tip, typical_height

N = 12


def image(positions, *, sigma=2.0, size=64, n=N):
    yx = torch.tensor(positions, dtype=torch.float32).reshape(1, -1, 2).expand(n, -1, -1).contiguous()
    ones = torch.full(yx.shape[:2], 1000.0)
    return render_columns(yx, ones, torch.full_like(ones, sigma), (size, size))


def tips(seed=0, *, spacing=12.0, sigma=2.0, n=N, **changes):
    tip = random_tip(np.random.default_rng(seed), np.full(n, spacing), np.full(n, sigma))
    return tip._replace(**{k: torch.full_like(getattr(tip, k), v) for k, v in changes.items()})


QUIET = dict.fromkeys(
    ("tilt_yx", "corrugation", "step_height", "row_noise", "line_noise", "streaks", "change"), 0.0
)  # fmt: skip


def centre_of_mass(images):
    total = images.sum(dim=(1, 2))
    y = torch.arange(images.shape[1], dtype=torch.float32)
    return torch.stack([(images.sum(2) * y).sum(1) / total, (images.sum(1) * y).sum(1) / total], 1)


def test_a_molecule_keeps_its_signal_and_its_centre():
    plain = image([[31.0, 33.0]])
    seen = see_through_tip(plain, tips())
    torch.testing.assert_close(seen.sum(dim=(1, 2)), plain.sum(dim=(1, 2)), rtol=0.02, atol=0.0)
    assert (centre_of_mass(seen) - torch.tensor([31.0, 33.0])).abs().max() < 0.1
    assert seen.amax(dim=(1, 2)).min() < 0.9 * plain.max()  # some are wider than an atom


def test_a_double_tip_shows_every_atom_twice_at_the_distance_of_its_apexes():
    tip = tips(ghost=0.5, slowness=0.0)._replace(ghost_yx=torch.tensor([[0.0, 14.0]]).expand(N, -1))
    point = torch.zeros_like(tip.weight)
    point[:, 0] = 1.0
    tip = tip._replace(lobes_yx=torch.zeros_like(tip.lobes_yx), weight=point)
    profile = see_through_tip(image([[32.0, 30.0]]), tip)[0, 32]
    main, ghost = profile[:32].argmax(), 32 + profile[32:].argmax()
    assert ghost - main == 14
    assert float(profile[ghost] / profile[main]) == pytest.approx(0.5, abs=0.05)


def test_without_artefacts_nothing_changes():
    plain = image([[20.0, 20.0], [40.0, 41.0]])
    same = add_stm_artifacts(plain, torch.full((N,), 30.0), tips(**QUIET), torch.Generator().manual_seed(0))
    torch.testing.assert_close(same, plain)


def test_a_step_has_its_height_and_rows_their_noise():
    flat, height = torch.zeros(N, 64, 64), torch.full((N,), 10.0)
    generator = torch.Generator().manual_seed(1)
    stepped = add_stm_artifacts(flat, height, tips(**(QUIET | {"step_height": 3.0})), generator)
    assert (stepped.amax(dim=(1, 2)) - stepped.amin(dim=(1, 2))).max() == pytest.approx(30.0, rel=0.02)
    rows = add_stm_artifacts(flat, height, tips(**(QUIET | {"row_noise": 0.2})), generator)
    assert rows.std(dim=2).max() < 1e-5
    assert rows[:, :, 0].std() == pytest.approx(2.0, rel=0.1)
    lines = add_stm_artifacts(flat, height, tips(**(QUIET | {"line_noise": 0.2})), generator)
    assert lines.std() == pytest.approx(2.0, rel=0.1)
    along, across = lines[:, :, 1:] - lines[:, :, :-1], lines[:, 1:] - lines[:, :-1]
    assert along.std() < 0.5 * across.std()  # it lasts along the fast axis


def test_the_height_of_an_atom_is_measured_above_its_surroundings():
    plain = image([[32.0, 32.0]])
    yx = torch.tensor([[[32.0, 32.0], [-1e3, -1e3]]]).expand(N, -1, -1)
    peak = float(plain.max())
    measured = typical_height(plain + 500.0, yx, torch.full((N,), 24.0), otherwise=torch.zeros(N))
    torch.testing.assert_close(measured, torch.full((N,), peak), rtol=0.01, atol=0.0)
    bare = typical_height(plain, yx[:, 1:], torch.full((N,), 24.0), otherwise=torch.full((N,), 7.0))
    assert (bare == 7.0).all()


def test_shapes_never_make_neighbours_run_together(rng):
    for spacing in (6.0, 9.0, 16.0):
        sigma = 0.33 * spacing
        room = (max(0.0, (stm_tip.WIDEST * spacing) ** 2 - sigma**2)) ** 0.5
        for _ in range(100):
            lobes, weight = stm_tip._shape(rng, spacing, room, 1.0)
            assert weight.sum() == pytest.approx(1.0)
            widest = np.linalg.eigvalsh((lobes * weight[:, None]).T @ lobes).max() ** 0.5
            assert np.hypot(sigma, widest) < 0.42 * spacing
