"""`python -m atomnb.train`: what it says is what happens, and it happens again."""

import json
import resource
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from atomnb.train import __main__ as command
from atomnb.train.__main__ import _parser, main
from atomnb.train.job import TrainJob
from atomnb.train.loop import TrainConfig, Trained
from atomnb.train.recipes import RECIPES, Recipe, recipe
from atomnb.train.rundir import read_run, shipped_weights
from atomnb.train.validate import mean_loss, unseen_score


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "atomnb.train", *map(str, words)], capture_output=True, text=True, timeout=300, **options
    )


def losses(folder):
    return [record["loss"] for record in json.loads((folder / "history.json").read_text())]


def test_a_run_is_repeated_by_its_seed(tmp_path):
    """In fresh processes: the first weights and the scenes follow the seed, which the folder keeps."""
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        words = ("dumbbell", "--folder", tmp_path / name, "--steps", 1, "--threads", 1, "--seed", seed)
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert read_run(tmp_path / name)["sessions"][0]["config"]["seed"] == seed
    assert losses(tmp_path / "one") == losses(tmp_path / "again")
    assert losses(tmp_path / "one") != losses(tmp_path / "other")


def test_a_folder_of_another_version_is_one_line(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"format": 99}')
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        main(["dumbbell", "--folder", str(tmp_path), "--steps", "1", "--workers", "0"])
    said = capsys.readouterr()
    assert ended.value.code == 1 and said.out == ""
    assert said.err.count("\n") == 1 and "format 99" in said.err and "another folder" in said.err


def test_a_full_disk_is_one_line(tmp_path):
    """The file system refuses to grow a file beyond a few kB, as a full one would."""

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    done = run("dumbbell", "--folder", tmp_path, "--steps", 1, "--threads", 1, "--workers", 0, preexec_fn=full)
    assert done.returncode == 1
    assert "make room and train again" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


@pytest.mark.parametrize("words", [("--steps", "-3"), ("--steps", "0"), ("--steps", "many"), ("--threads", "0")])
def test_numbers_that_cannot_be_are_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dumbbell", *words])
    assert ended.value.code == 2
    assert f"argument {words[0]}: must be a whole number of at least 1" in capsys.readouterr().err


def test_no_option_is_mistaken_for_one_of_torchrun():
    """Which reads ours before it hands them on; `--run` is kept for those who start without it."""
    from torch.distributed.run import get_args_parser

    options = [name for action in _parser()._actions for name in action.option_strings if name not in ("--run", "-h")]
    words = ["dumbbell", *(part for name in options for part in (name, "1"))]
    taken = get_args_parser().parse_args(["--standalone", "--nproc-per-node", "2", "-m", "atomnb.train", *words])
    assert taken.training_script_args == words
    assert "--folder" in options
    assert _parser().parse_args(["--run", "x"]) == _parser().parse_args(["--folder", "x"])


@pytest.fixture
def small(monkeypatch):
    """The recipe *dumbbell*, of small scenes and a small network."""
    scenes = replace(recipe("dumbbell").curriculum[-1][1], size=48)
    monkeypatch.setitem(RECIPES, "dumbbell", Recipe(((0, scenes),), steps=50, net="encoder-decoder"))


@pytest.mark.parametrize(
    ("words", "changes", "validates"),
    [
        ((), {}, False),
        (("--patience", "3"), {"patience": 3}, True),
        (("--validate", "20"), {"validate_steps": 20, "log_steps": 20}, True),
        (("--validate", "200"), {"validate_steps": 200}, True),
        (("--average", "swa"), {"averaging": "swa"}, False),
        (("--compile",), {"compile": True}, False),
    ],
)
def test_options_reach_the_training(small, monkeypatch, tmp_path, words, changes, validates):
    """And without them nothing is other than it was."""
    given = {}

    def fit(net, batches, **options):
        given.update(options)
        return Trained(net, [{"step": 50}])

    monkeypatch.setattr(command, "fit", fit)
    main(["dumbbell", "--folder", str(tmp_path), "--device", "cpu", *words])
    assert given["config"] == TrainConfig(steps=50, **changes)
    assert (given["validate"] is not None) == validates


def test_patience_ends_a_run_with_its_best_weights(small, monkeypatch, tmp_path, capsys):
    scores, seen = iter([-0.9, -0.5, -0.7, -0.6]), []

    def score(net):
        seen.append(next(net.parameters()).detach().clone())
        return next(scores)

    monkeypatch.setattr(command, "unseen_score", lambda make: score)
    words = ("--steps", "50", "--workers", "0", "--device", "cpu", "--validate", "1", "--patience", "2")
    main(["dumbbell", "--folder", str(tmp_path), *words])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and "unseen loss 0.60000" in said[3] and "stopped early" in said[4]
    assert torch.equal(next(iter(shipped_weights(tmp_path).values())), seen[1])


def test_the_score_is_of_scenes_that_training_does_not_see(small):
    job = TrainJob(recipe="dumbbell", architecture="encoder-decoder", batch_size=2, seed=3)
    net, made = job.create_net().eval(), []

    def make():
        made.append(job.unseen(2, images=2, seed=3))
        return made[0]

    score = unseen_score(make)
    assert not made, "nothing is simulated before the first validation"
    assert score(net) == score(net) == -mean_loss(net, made[0]) < 0
    assert len(made) == 1
    learnt = [next(job.batches(first)).images for first in (0, 2)]
    assert not any(torch.equal(a, b.images) for a in learnt for b in made[0])


@pytest.mark.parametrize(("device", "why"), [("tape", "'cpu' or 'cuda'"), ("cuda", "no CUDA GPU here")])
def test_a_device_that_is_not_there_is_refused(device, why, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main(["dumbbell", "--device", device])
    assert ended.value.code == 2 and why in capsys.readouterr().err


def test_a_seed_that_torch_cannot_take_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dumbbell", "--folder", str(tmp_path / "run"), "--steps", "1", "--seed", str(2**63)])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.count("\n") == 1 and "seed must be" in said


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(["dumbbell", "--folder", str(tmp_path / "run"), "--steps", "1", "--workers", "0"])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.count("\n") == 1 and "could not be written" in said
    assert (tmp_path / "run").read_text() == "mine"
