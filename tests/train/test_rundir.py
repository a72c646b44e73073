"""The run directory: exact after a kill, refuses other versions and settings, survives a full disk."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from atomnb.errors import AtomnbError, CancelledError
from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch
from atomnb.train.job import TrainJob
from atomnb.train.loop import TrainConfig, averaging_decay, fit, out_of_patience
from atomnb.train.rundir import read_checkpoint, read_run, shipped_weights

RUN = """
import sys, time, torch
from pathlib import Path
from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch
from atomnb.train.loop import TrainConfig, fit

torch.set_num_threads(1)
torch.manual_seed(1)
config = TrainConfig(steps=40, batch_size=2, log_steps=2, warmup_steps=2, checkpoint_seconds=0, bf16=False)

def batches(step):
    while True:
        time.sleep(0.02)
        images = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(step))
        yield Batch(images, (images[:, None] > 0.9).float(), torch.ones(2, 32, 32))
        step += 1

def report(record):
    print(record["step"], flush=True)

fit(create_net("unet", {"widths": (8, 8, 8)}), batches, config=config, run_dir=Path(sys.argv[1]), on_log=report)
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, text=True)


def batches(first=0):
    step = first
    while True:
        generator = torch.Generator().manual_seed(step)
        images = torch.rand(2, 32, 32, generator=generator)
        yield Batch(images, (images[:, None] > 0.9).float(), torch.ones(2, 32, 32))
        step += 1


def new_net():
    torch.manual_seed(1)
    return create_net("encoder-decoder", {"widths": (4, 8)})


def config(**changes):
    return TrainConfig(**(dict(steps=6, batch_size=2, log_steps=2, warmup_steps=2, bf16=False) | changes))


def test_a_killed_run_ends_in_the_very_same_weights(tmp_path):
    """SIGKILL in mid-run, at a moment nobody chose but after the first record; then once more with the same folder."""
    whole, cut = start(tmp_path / "whole"), start(tmp_path / "cut")
    assert cut.stdout.readline() == "2\n"
    os.kill(cut.pid, signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL
    assert whole.wait() == 0
    killed_at = read_checkpoint(tmp_path / "cut")["step"]
    assert 0 < killed_at < 40
    resumed = start(tmp_path / "cut")
    assert resumed.wait() == 0
    ends = [read_checkpoint(tmp_path / name) for name in ("whole", "cut")]
    for part in ("net", "average"):
        assert all(torch.equal(ends[1][part][k], v) for k, v in ends[0][part].items())
    losses = [[(r["step"], r["loss"]) for r in end["history"]] for end in ends]
    assert losses[0] == losses[1]
    assert [s["from_step"] for s in read_run(tmp_path / "cut")["sessions"]] == [0, killed_at]
    assert [s["from_step"] for s in read_run(tmp_path / "whole")["sessions"]] == [0]
    for process in (whole, cut, resumed):
        process.stdout.close()


def test_the_folder_tells_how_to_repeat_the_run(tmp_path):
    plan = config(learning_rate=1e-3)
    fit(new_net(), batches, config=plan, run_dir=tmp_path, recipe="squares")
    told = read_run(tmp_path)
    again = TrainConfig(**told["sessions"][0]["config"])
    net = create_net(told["architecture"]["name"], told["architecture"]["options"])
    assert again == plan
    assert told["recipe"] == "squares"
    assert {"atomnb", "torch", "numpy", "python"} <= set(told["sessions"][0]["versions"])
    net.load_state_dict(shipped_weights(tmp_path))
    assert json.loads((tmp_path / "history.json").read_text())[-1]["step"] == 6


def test_a_folder_of_another_version_is_refused(tmp_path):
    fit(new_net(), batches, config=config(), run_dir=tmp_path)
    told = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(told | {"format": 99}))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(AtomnbError, match="format 99"):
        fit(new_net(), batches, config=config(steps=8), run_dir=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"seed": 3}, "seed"), ({"batch_size": 4}, "batch_size"), ({"averaging": "swa"}, "averaging")],
)
def test_other_settings_are_refused(tmp_path, changes, name):
    fit(new_net(), batches, config=config(), run_dir=tmp_path)
    with pytest.raises(AtomnbError, match=name):
        fit(new_net(), batches, config=config(**changes), run_dir=tmp_path)


def test_another_recipe_or_network_is_refused(tmp_path):
    fit(new_net(), batches, config=config(), run_dir=tmp_path, recipe="squares")
    with pytest.raises(AtomnbError, match="recipe"):
        fit(new_net(), batches, config=config(), run_dir=tmp_path, recipe="circles")
    with pytest.raises(AtomnbError, match="architecture"):
        fit(
            create_net("encoder-decoder", {"widths": (4, 4)}),
            batches,
            config=config(),
            run_dir=tmp_path,
            recipe="squares",
        )


def test_a_damaged_checkpoint_is_refused(tmp_path):
    fit(new_net(), batches, config=config(), run_dir=tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(AtomnbError, match="damaged"):
        fit(new_net(), batches, config=config(), run_dir=tmp_path)


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint(tmp_path):
    """The file system refuses to grow a file beyond a few kB, as a full one would."""
    fit(new_net(), batches, config=config(), run_dir=tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(AtomnbError, match="make room"):
            fit(new_net(), batches, config=config(steps=8), run_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
    fit(new_net(), batches, config=config(steps=8), run_dir=tmp_path)
    assert read_checkpoint(tmp_path)["step"] == 8


def test_stopping_writes_a_checkpoint_first(tmp_path):
    def stop(record):
        if record["step"] == 4:
            raise CancelledError

    with pytest.raises(CancelledError):
        fit(new_net(), batches, config=config(), run_dir=tmp_path, on_log=stop)
    assert read_checkpoint(tmp_path)["step"] == 4


def test_early_stopping_keeps_the_best_weights(tmp_path):
    """Scores rise, then fall: training ends `patience` validations later, with the weights of the peak."""
    scores = iter([0.1, 0.5, 0.9, 0.7, 0.6, 0.5])
    seen = []

    def validate(net):
        seen.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
        return next(scores)

    plan = config(steps=100, validate_steps=2, patience=2)
    trained = fit(new_net(), batches, config=plan, run_dir=tmp_path, validate=validate)
    assert trained.history[-1]["step"] == 10
    kept = torch.cat([p.detach().flatten() for p in trained.net.parameters()])
    assert torch.equal(kept, seen[2])
    net = new_net()
    net.load_state_dict(shipped_weights(tmp_path))
    assert torch.equal(torch.cat([p.detach().flatten() for p in net.parameters()]), kept)
    again = fit(new_net(), batches, config=plan, run_dir=tmp_path, validate=validate)
    assert len(again.history) == 5, "a run that stopped early is over"


def test_a_first_look_comes_early_and_once():
    plan = config(steps=16, log_steps=4, validate_steps=8, first_look=3)
    history = fit(new_net(), batches, config=plan, validate=lambda net: 0.5).history
    assert [record["step"] for record in history] == [3, 4, 8, 12, 16]
    assert [record["step"] for record in history if "score" in record] == [3, 8, 16]
    plain = fit(new_net(), batches, config=config(steps=16, log_steps=4, validate_steps=8), validate=lambda net: 0.5)
    assert [record["step"] for record in plain.history if "score" in record] == [8, 16]
    mean = (3 * history[0]["loss"] + history[1]["loss"]) / 4
    assert mean == pytest.approx(plain.history[0]["loss"]), "the training itself is the same"


@pytest.mark.parametrize("steps", [200, 1000, 100_000])
def test_the_page_looks_after_ten_steps(steps):
    assert TrainJob(recipe="tmd", steps=steps).config().first_look == 10


def test_patience_counts_from_the_best_score():
    plan = config(patience=3)
    records = [{"score": s} for s in (0.2, 0.8, 0.7, 0.75)]
    assert not out_of_patience(records, plan)
    assert out_of_patience([*records, {"score": 0.79}], plan)
    assert not out_of_patience([], plan)
    assert not out_of_patience([*records, {"score": 0.79}], config(patience=0))


def test_swa_is_the_plain_mean_of_the_last_weights():
    plan = config(steps=20, averaging="swa", swa_share=0.5)
    average, values = 0.0, []
    for step in range(20):
        value = float(step**2)
        values.append(value)
        decay = averaging_decay(step, plan)
        average = decay * average + (1 - decay) * value
    assert average == pytest.approx(sum(values[10:]) / 10)


def test_no_averaging_keeps_the_last_weights():
    net = new_net()
    trained = fit(net, batches, config=config(averaging="none"))
    assert all(torch.equal(a, b) for a, b in zip(trained.net.parameters(), net.parameters(), strict=True))
    with pytest.raises(AtomnbError, match="averaging"):
        config(averaging="lawa")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("steps", "batch_size", "log_steps", "validate_steps") for value in (0, -3, 2.5)),
        *(("learning_rate", value) for value in (0.0, -1e-3, float("nan"), float("inf"))),
        *(("patience", -1), ("warmup_steps", -1), ("decay_share", 1.5), ("gradient_clip", 0.0), ("ema_decay", -0.1)),
        *(("weight_decay", float("nan")), ("checkpoint_seconds", -1.0), ("seed", -1)),
    ],
)
def test_settings_that_cannot_be_are_refused(name, value):
    with pytest.raises(AtomnbError, match=name):
        config(**{name: value})


def test_one_gradient_that_is_not_finite_is_left_out_but_many_end_the_run():
    def explodes_at(steps):
        state = {"step": -1}

        def loss(logits, labels, weights):
            state["step"] += 1
            plain = -(labels * torch.log_softmax(logits.float(), dim=1)).mean()
            if state["step"] in steps:
                return plain + torch.sqrt(logits.sum() * 0)  # 0, but its slope is infinite × 0
            return plain

        return loss

    trained = fit(new_net(), batches, config=config(), loss=explodes_at({3}))
    assert all(torch.isfinite(p).all() for p in trained.net.parameters())
    with pytest.raises(AtomnbError, match="gradient was not finite 11 times"):
        fit(new_net(), batches, config=config(steps=30), loss=explodes_at(range(4, 30)))
