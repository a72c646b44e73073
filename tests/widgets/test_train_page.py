"""The page Train, without a browser; and one real training process, from its start to a saved model."""

import threading

import pytest

from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.train import Train
from atomnb.widgets.train_process import TrainProcess
from atomnb.widgets.train_state import TrainState


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_MODELS", str(tmp_path / "models"))
    state = TrainState(folder=DataFolder(tmp_path), jobs=Jobs(threaded=False), post=lambda call: call())
    state.architecture = "encoder-decoder"
    return Train(state)


def test_before_training_only_train_can_be_pressed(page):
    assert page.run.train.layout.display is None
    assert page.run.resume.layout.display == page.run.progress.layout.display == "none"
    assert page.save.button.disabled
    assert "shows up here" in page.sight.invite.value


def test_the_recipe_tells_what_it_is_for(page):
    page.source.recipe.value = "tmd"
    assert "chalcogen" in page.source.about.value
    page.source.kind.value = "set"
    assert "build one with Simulate" in page.source.about.value


def test_images_that_came_after_the_start_can_be_watched_once_the_page_is_opened(page, tmp_path):
    (tmp_path / "late.npy").write_bytes(b"")
    assert "file:late.npy" not in [key for _, key in page.curve.frame.options]
    page._open_query("")
    assert "file:late.npy" in [key for _, key in page.curve.frame.options]


def test_the_frame_follows_the_recipe(page):
    assert page.curve.frame.value == "sample:graphene-si"
    page.source.recipe.value = "tmd"
    assert page.curve.frame.value == "sample:mos2"
    page.curve.frame.value = "sample:dysco3"
    page.source.recipe.value = "perovskite"
    assert page.curve.frame.value == "sample:dysco3"


def test_a_crashed_run_says_what_is_left_of_it(page):
    state = page.state
    state.run, state.steps, state.status = "mine", 2000, "stopped"
    state.history = [{"step": 60, "loss": 0.1, "learning_rate": 1e-3, "images_per_second": 9.0}]
    assert "60 of 2000 steps · stopped, nothing saved yet: Resume begins anew" in page.run.note.value
    assert page.save.button.disabled and "before its first checkpoint" in page.save.why.value
    state.kept = 40
    assert "saved until step 40: Resume goes on from there" in page.run.note.value
    assert "step 40" in page.run.resume.tooltip and not page.save.button.disabled
    state.kept = 60
    assert page.run.note.value.count("Resume") == 0 and page.save.why.value == ""


@pytest.mark.slow
def test_a_real_training_is_stopped_resumed_and_saved(page):
    """In a process of its own, with a few steps of a small network."""
    state, heard = page.state, threading.Event()
    state.steps = 400

    def stop_soon(change):
        if len(change["new"]) >= 2 and state.status == "running":
            state.stop()

    state.observe(stop_soon, "history")
    state.observe(lambda change: heard.set() if change["new"] in ("stopped", "done") else None, "status")
    state.train()
    assert heard.wait(400)
    assert state.report is None, state.report
    assert state.status == "stopped" and 0 < state.history[-1]["step"] < 400
    first = state.history[-1]["step"]
    assert page.run.resume.layout.display is None

    state.unobserve_all("history")
    heard.clear()
    state.steps = first + 2
    state.resume()
    assert heard.wait(400)
    assert state.report is None, state.report
    assert state.status == "done" and state.history[-1]["step"] == first + 2
    assert "score" in state.history[-1] and state.preview is not None
    page.save.button.click()
    assert state.report is None, state.report
    assert state.saved.path.exists()


@pytest.mark.slow
def test_a_process_that_dies_says_so(tmp_path):
    said, ended = [], threading.Event()
    process = TrainProcess(tmp_path, tell=lambda m: (said.append(m), ended.set()), post=lambda call: call())
    assert ended.wait(120)
    process.wait(30)
    # An empty folder holds no job: the process says what is wrong before it ends.
    assert said[-1]["expected"] and said[-1]["kind"] == "error" and "no run of the page Train" in said[-1]["message"]
