"""Training: it learns, resumes exactly, and refuses what would corrupt a run."""

import numpy as np
import pytest
import torch

from atomnb.errors import AtomnbError, CancelledError
from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.export import export_run
from atomnb.train.loop import TrainConfig, fit, learning_rate
from atomnb.train.losses import class_labels, soft_cross_entropy
from atomnb.train.patches import mirrored, stream_batches

SMALL = {"widths": (8, 8, 8, 8)}
SCENES = SceneConfig(size=64, share_sparse=0.0, counts_per_column=(2000.0, 5000.0))


def batches(start=0):
    return stream_batches([(0, SCENES)], batch_size=4, seed=5, start=start, workers=0)


def new_net():
    torch.manual_seed(1)
    return create_net("unet", SMALL)


def config(**changes):
    return TrainConfig(**(dict(steps=6, batch_size=4, log_steps=2, warmup_steps=2, bf16=False, seed=5) | changes))


def weights_of(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_loss_falls():
    history = fit(new_net(), batches, config=config(steps=40, log_steps=10, learning_rate=5e-3)).history
    assert history[-1]["loss"] < 0.85 * history[0]["loss"]


def test_resume_gives_the_very_same_weights(tmp_path):
    whole = fit(new_net(), batches, config=config(steps=6), run_dir=tmp_path / "whole").net

    class Stop(Exception):
        pass

    def interrupt(record):
        if record["step"] == 4:
            raise Stop

    with pytest.raises(Stop):
        fit(new_net(), batches, config=config(checkpoint_seconds=0), run_dir=tmp_path / "cut", on_log=interrupt)
    resumed = fit(new_net(), batches, config=config(), run_dir=tmp_path / "cut").net
    torch.testing.assert_close(weights_of(resumed), weights_of(whole), rtol=0, atol=0)


def test_bfloat16_is_used_only_where_it_is_fast(monkeypatch):
    def trained(bf16):
        return weights_of(fit(new_net(), batches, config=config(bf16=bf16)).net)

    exact = trained(False)
    monkeypatch.setattr("atomnb.train.loop.has_fast_bf16", lambda device: False)
    torch.testing.assert_close(trained(True), exact, rtol=0, atol=0)
    monkeypatch.setattr("atomnb.train.loop.has_fast_bf16", lambda device: True)
    assert not torch.equal(trained(True), exact)


def test_a_run_with_other_settings_is_not_overwritten(tmp_path):
    fit(new_net(), batches, config=config(steps=2), run_dir=tmp_path)
    with pytest.raises(AtomnbError, match="batch_size"):
        fit(new_net(), batches, config=config(batch_size=8), run_dir=tmp_path)


def test_cancelling_leaves_the_last_checkpoint(tmp_path):
    def cancel(record):
        raise CancelledError

    with pytest.raises(CancelledError):
        fit(new_net(), batches, config=config(checkpoint_seconds=0), run_dir=tmp_path, on_log=cancel)
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "checkpoint.tmp").exists()


def test_nan_is_an_error_that_says_what_to_do():
    bad = Batch(torch.full((4, 64, 64), torch.nan), torch.zeros(4, 1, 64, 64), torch.ones(4, 64, 64))
    with pytest.raises(AtomnbError, match="learning rate"):
        fit(new_net(), lambda start: iter([bad]), config=config(steps=1))


def test_schedule_warms_up_stays_and_ends_near_zero():
    plan = TrainConfig(steps=1000, warmup_steps=100, decay_share=0.3, learning_rate=1.0)
    rates = np.array([learning_rate(s, plan) for s in range(1000)])
    assert rates[0] < 0.02
    assert (rates[100:700] == 1).all()
    assert 0 < rates[-1] < 0.01
    assert (np.diff(rates[700:]) < 0).all()


def test_stream_is_the_same_wherever_it_starts():
    from_start = batches(0)
    skipped = [next(from_start) for _ in range(4)][3]
    direct = next(batches(3))
    assert all(torch.equal(a, b) for a, b in zip(skipped, direct, strict=True))


def test_mirroring_moves_image_and_label_together():
    batch = next(batches())
    flipped = mirrored(batch, flip_y=True, flip_x=False)
    torch.testing.assert_close(flipped.images[:, 0], batch.images[:, -1])
    torch.testing.assert_close(flipped.labels[:, :, 0], batch.labels[:, :, -1])


def test_loss_is_least_at_the_expected_label():
    """A proper score: with labels 1 in 30 % of draws the best probability is 0.3."""
    labels = class_labels((torch.arange(1000) < 300).float().reshape(1, 1, 20, 50))
    weights = torch.ones(1, 20, 50)

    def loss(p):
        logits = torch.log(torch.tensor([1 - p, p])).reshape(1, 2, 1, 1).expand(1, 2, 20, 50)
        return float(soft_cross_entropy(logits, labels, weights))

    assert min([0.1, 0.2, 0.3, 0.4, 0.5], key=loss) == 0.3


def test_naming_is_a_proper_score_too():
    """Atoms in 40 % of draws, a third of them of the first kind: the best probabilities say so."""
    labels = class_labels(torch.zeros(1, 2, 1, 30))
    labels[..., :4], labels[..., 4:12] = (
        torch.tensor([0.0, 1, 0])[:, None, None],
        torch.tensor([0.0, 0, 1])[:, None, None],
    )
    weights = torch.ones(1, 1, 30)

    def loss(p):
        return float(
            soft_cross_entropy(torch.log(torch.tensor(p)).reshape(1, 3, 1, 1).expand(1, 3, 1, 30), labels, weights)
        )

    right = loss([18 / 30, 4 / 30, 8 / 30])
    assert all(right < loss(p) for p in ([0.5, 4 / 30, 11 / 30], [0.6, 0.2, 0.2], [0.6, 0.1, 0.3], [0.7, 0.1, 0.2]))


def test_masked_pixels_do_not_teach():
    logits = torch.randn(1, 2, 8, 8, requires_grad=True)
    weights = torch.ones(1, 8, 8)
    weights[0, 3, 3] = 0
    soft_cross_entropy(logits, class_labels(torch.zeros(1, 1, 8, 8)), weights).backward()
    assert logits.grad[0, :, 3, 3].abs().sum() == 0
    assert logits.grad[0, :, 3, 4].abs().sum() > 0


def test_export_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(AtomnbError, match="train first"):
        export_run(tmp_path, None, tmp_path)


def test_curriculum_changes_the_scenes_at_its_step():
    dim = SceneConfig(size=64, counts_per_column=(20.0, 30.0))
    plain, staged = ([next(s) for _ in range(4)] for s in (
        stream_batches([(0, SCENES)], batch_size=4, seed=5, workers=0),
        stream_batches([(0, SCENES), (2, dim)], batch_size=4, seed=5, workers=0),
    ))  # fmt: skip
    assert torch.equal(plain[1].images, staged[1].images)
    assert not torch.equal(plain[2].images, staged[2].images)


def test_any_number_of_workers_gives_the_same_stream():
    alone = stream_batches([(0, SCENES)], batch_size=2, seed=8, start=3, workers=0)
    together = stream_batches([(0, SCENES)], batch_size=2, seed=8, start=3, workers=2)
    for _ in range(6):
        for a, b in zip(next(alone), next(together), strict=True):
            assert torch.equal(a, b)
