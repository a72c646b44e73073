"""Two processes on the CPU, started by torchrun, against one process with twice the batch."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.distributed import Processes, join_processes
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.patches import stream_batches
from atomnb.train.rundir import read_checkpoint, read_run

SCRIPT = '''
"""Train a small network; each process takes its own half of every batch of four."""

import sys
from pathlib import Path

import numpy as np
import torch

from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch
from atomnb.train.distributed import join_processes, leave_processes
from atomnb.train.loop import TrainConfig, fit


def batches(first, rank, world):
    step = first
    while True:
        images = torch.from_numpy(np.random.default_rng(step).random((4, 32, 32), np.float32))
        part = slice(rank * 4 // world, (rank + 1) * 4 // world)
        images = images[part]
        yield Batch(images, (images[:, None] > 0.9).float(), torch.ones_like(images))
        step += 1


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net = create_net("encoder-decoder", {"widths": (4, 8)})
    processes = join_processes()
    config = TrainConfig(
        steps=12, batch_size=4 // processes.world, log_steps=3, warmup_steps=2, bf16=False, validate_steps=3
    )
    records = []
    asked = []

    def validate(net):
        asked.append(1)
        return float(len(asked))

    trained = fit(
        net,
        lambda first: batches(first, processes.rank, processes.world),
        config=config,
        run_dir=Path(sys.argv[1]),
        processes=processes,
        validate=validate,
        on_log=records.append,
    )
    total = float(sum(p.double().abs().sum() for p in trained.net.parameters()))
    (Path(sys.argv[1]) / f"rank{processes.rank}.txt").write_text(f"{total!r} {len(records)} {len(asked)}")
    leave_processes()


if __name__ == "__main__":
    main()
'''


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for folder, how in (("one", []), ("two", launch)):
        (tmp_path / folder).mkdir()
        done = subprocess.run(
            [sys.executable, *how, str(script), str(tmp_path / folder)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    one, two = (read_checkpoint(tmp_path / name) for name in ("one", "two"))
    for name, value in one["average"].items():
        torch.testing.assert_close(two["average"][name], value, atol=2e-5, rtol=2e-4)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
    assert read_run(tmp_path / "two")["processes"] == 2
    first, second = ((tmp_path / "two" / f"rank{r}.txt").read_text().split() for r in (0, 1))
    assert first[0] == second[0], "both processes hold the same weights"
    assert (first[1:], second[1:]) == (["4", "4"], ["0", "0"]), "only the first reports and validates"


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = join_processes()
    assert alone == Processes() and alone.is_first
    assert alone.from_first(3.5) == 3.5


def test_processes_draw_different_scenes_and_together_the_whole_stream():
    scenes = [(0, SceneConfig(size=64))]

    def drawn(**options):
        stream = stream_batches(scenes, batch_size=1, seed=4, workers=0, **options)
        return [next(stream).images.abs().sum().item() for _ in range(4)]

    alone, first, second = drawn(), drawn(share=(0, 2)), drawn(share=(1, 2))
    assert not set(np.round(first, 3)) & set(np.round(second, 3))
    assert first[0] == pytest.approx(alone[0])
    assert second[0] == pytest.approx(alone[2]), "the second process begins with the second simulated batch"
    assert drawn(share=(1, 2), start=2)[0] == pytest.approx(second[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_network_trains_as_an_eager_one():
    def batches(first):
        while True:
            images = torch.from_numpy(np.random.default_rng(first).random((2, 32, 32), np.float32))
            yield Batch(images, (images[:, None] > 0.9).float(), torch.ones_like(images))
            first += 1

    def loss(compiled):
        torch.manual_seed(1)
        net = create_net("encoder-decoder", {"widths": (4,)})
        config = TrainConfig(steps=4, batch_size=2, log_steps=4, bf16=False, compile=compiled)
        return fit(net, batches, config=config).history[-1]["loss"]

    assert loss(True) == pytest.approx(loss(False), rel=1e-4)
