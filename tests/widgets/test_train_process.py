"""The training process keeps what it has learnt, whatever ends the page it works for."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from atomnb.io.locked import locked
from atomnb.train.job import TrainJob, write_job
from atomnb.train.rundir import read_checkpoint
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.train_panels import RunPanel
from atomnb.widgets.train_state import TrainState

PAGE = """
import sys, threading
from pathlib import Path
from atomnb.widgets.train_process import TrainProcess

def tell(message):
    print(message["kind"], message.get("record", {}).get("step", ""), flush=True)

process = TrainProcess(Path(sys.argv[1]), tell=tell, post=lambda callback: callback())
print("worker", process._process.pid, flush=True)
threading.Event().wait()
"""
"""What a kernel does of the page: it starts the worker and hears it."""


@pytest.mark.parametrize("how", ["interrupt the group", "kill"])
def test_a_page_that_goes_leaves_a_checkpoint_and_no_process(tmp_path, how):
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    write_job(run, TrainJob(recipe="graphene-si", architecture="encoder-decoder", steps=5000, batch_size=2))
    page = subprocess.Popen(
        [sys.executable, "-c", PAGE, str(run)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        worker = psutil.Process(int(page.stdout.readline().split()[1]))
        last = _step_of(page, 2)
        family = [worker, *worker.children(recursive=True)]
        if how == "kill":
            page.kill()
        else:
            os.killpg(page.pid, signal.SIGINT)
        page.wait(30)
        assert not psutil.wait_procs(family, timeout=60)[1], "nothing goes on without its page"
    finally:
        page.kill()
        page.stdout.close()
    assert "KeyboardInterrupt" not in (run / "worker.log").read_text()
    assert read_checkpoint(run)["step"] > last, "stopped at the record after the last one heard"
    state = TrainState(folder=DataFolder(tmp_path), jobs=Jobs(threaded=False), post=lambda callback: callback())
    assert state.runs() == ["mine"]
    state.open_run("mine")
    assert state.status == "stopped" and state.history[-1]["step"] == read_checkpoint(run)["step"]
    _resumes(state)


def _step_of(page, records: int) -> int:
    """The step of that record."""
    steps = []
    while len(steps) < records:
        kind, _, step = page.stdout.readline().partition(" ")
        assert kind in ("log", "preview", "ready"), kind
        steps += [int(step)] if kind == "log" else []
    return steps[-1]


def _resumes(state) -> None:
    """The page goes on from the checkpoint to a few steps more."""
    before = state.history[-1]["step"]
    state.steps = before + 3
    state.resume()
    state._process.wait(120)
    deadline = time.monotonic() + 10
    while state.busy and time.monotonic() < deadline:
        time.sleep(0.1)
    assert state.status == "done" and state.report is None, state.report
    assert state.history[0]["step"] <= before < state.history[-1]["step"] == before + 3


def test_a_run_that_is_trained_already_is_waited_for_until_the_user_stops(tmp_path):
    """The one at work stands for a training by another page."""
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    write_job(run, TrainJob(recipe="graphene-si", architecture="encoder-decoder", steps=5, batch_size=2))
    state = TrainState(folder=DataFolder(tmp_path), jobs=Jobs(threaded=False), post=lambda callback: callback())
    note = RunPanel(state).note
    with locked(run / ".lock"):
        state.run, state.steps = "mine", 5
        state.resume()
        until(lambda: state.status == "waiting")
        assert "being trained already" in note.value
        state.stop()
        until(lambda: not state.busy)
        assert state.status == "stopped" and state.report is None
        state.resume()
        until(lambda: state.status == "waiting")
    until(lambda: not state.busy)
    assert state.status == "done" and state.report is None


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
