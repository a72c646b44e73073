"""The state of Train does what the page promises, without a browser."""

import json

import numpy as np
import pytest
import torch

from atomnb.data.labelled_scene import LabelledScene
from atomnb.data.labelled_writer import write_labelled_set
from atomnb.errors import AtomnbError
from atomnb.nets.checkpoint import list_models, load_model
from atomnb.train.job import TrainJob, read_job
from atomnb.train.rundir import Run, begin_session, save_checkpoint, save_history
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.train_preview import Preview, atoms_in, read_frame, score, write_preview
from atomnb.widgets.train_state import TrainState
from atomnb.widgets.train_views import SightPanel


class FakeProcess:
    """Stands for the training process: it says what the test tells it to."""

    def __init__(self, run_dir, *, tell, post):
        self.run_dir, self.say, self.stopped = run_dir, tell, False
        FakeProcess.last = self

    def stop(self):
        self.stopped = True

    def log(self, step: int, **more):
        record = {"step": step, "loss": 1 / step, "learning_rate": 1e-3, "images_per_second": 50.0, **more}
        self.say({"kind": "log", "record": record})


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_MODELS", str(tmp_path / "models"))
    folder = DataFolder(tmp_path)
    made = TrainState(folder=folder, jobs=Jobs(threaded=False), post=lambda call: call(), start=FakeProcess)
    made.architecture = "encoder-decoder"
    return made


@pytest.fixture
def labelled(tmp_path):
    """Four structures of a square lattice."""
    y, x = np.mgrid[:180, :180]
    positions = np.stack(np.meshgrid(np.arange(6, 180, 12.0), np.arange(6, 180, 12.0)), -1).reshape(-1, 2)
    image = (1 + np.cos(2 * np.pi * (y - 6) / 12)) * (1 + np.cos(2 * np.pi * (x - 6) / 12))
    classes = np.ones(len(positions))
    scenes = [
        LabelledScene(image, np.zeros((180, 180)), positions, np.full(len(positions), "A"), classes, 0.2, f"s{i}")
        for i in range(4)
    ]
    write_labelled_set(tmp_path / "sets" / "squares.h5", scenes, classes=("A",))
    return "sets/squares.h5"


def keep(state, steps: int) -> None:
    """Write the checkpoint of an untrained network at that step, as the process would."""
    net = state.job.create_net()
    records = [{"step": steps, "loss": 0.1, "learning_rate": 0.0, "images_per_second": 9.0, "score": 0.5}]
    run = Run(net, net, torch.optim.AdamW(net.parameters()), step=steps, history=records)
    begin_session(state.run_dir, Run(net, net, run.optimizer), {"recipe": "x"}, {"config": {}, "device": "cpu"})
    save_checkpoint(state.run_dir, run)
    save_history(state.run_dir, run)


def test_the_set_to_learn_from_is_shown_until_the_network_sees_something(state, labelled):
    panel = SightPanel(state)
    assert panel.samples.layout.display == "none" and panel.invite.layout.display is None
    state.source, state.set_path = "set", labelled
    assert "of 4" in panel.samples.where.value
    assert panel.samples.layout.display is None and panel.invite.layout.display == "none"
    state.train()
    assert panel.samples.layout.display is None and "first look" in panel.invite.value
    state.source = "recipe"
    assert panel.samples.layout.display == "none" and panel.invite.layout.display is None


def trained(state, steps: int = 40) -> None:
    """Let a run on the page come to its end, its network untrained."""
    state.steps = steps
    state.train()
    process = FakeProcess.last
    keep(state, steps)
    process.say({"kind": "ready", "steps": steps})
    process.log(steps, score=0.5)
    process.say({"kind": "done"})
    assert state.status == "done"


def test_a_run_tells_its_curve_and_how_long_it_takes(state):
    state.train()
    process = FakeProcess.last
    assert state.status == "starting" and state.run == "graphene-si-encoder-decoder-1"
    assert read_job(process.run_dir) == state.job
    process.say({"kind": "ready", "steps": 1000})
    assert state.status == "running" and state.seconds_left is None
    process.log(10)
    process.log(20, score=0.3)
    assert [record["step"] for record in state.history] == [10, 20]
    assert state.seconds_left > 0
    with pytest.raises(AtomnbError, match="runs already"):
        state.resume()


def test_the_real_frame_goes_to_the_run(state):
    state.train()
    image, _ = read_frame(state.run_dir)
    assert 0 < max(image.shape) <= 384
    state.choose_frame("sample:si-110")
    other, _ = read_frame(state.run_dir)
    assert other.shape == (384, 384)


@pytest.mark.parametrize(
    ("recipe", "frame"),
    [
        ("graphene-si", "sample:graphene-si"),
        ("tmd", "sample:mos2"),
        ("perovskite", "sample:perovskite-adf"),
        ("dumbbell", "sample:si-110"),
    ],
)
def test_the_frame_shows_what_the_recipe_is_for(state, recipe, frame):
    state.recipe = recipe
    assert state.frame == frame and frame in dict(map(reversed, state.frames()))
    state.source = "set"
    assert state.frame == "sample:si-110"


def test_a_frame_the_user_chose_stays(state):
    state.choose_frame("sample:dysco3")
    state.recipe = "tmd"
    assert state.frame == "sample:dysco3"


def test_a_training_keeps_the_frame_it_looks_at(state):
    state.train()
    state.recipe = "tmd"
    assert state.frame == "sample:graphene-si"
    FakeProcess.last.say({"kind": "stopped"})
    state.new_run()
    state.train()
    assert state.frame == "sample:mos2"


def test_simulated_frames_are_called_so(state):
    names = [name for name, _ in state.frames()]
    assert "Graphene with silicon, simulated" in names and "Silicon [110]" in names


def test_stop_and_resume_go_on_with_the_same_run(state):
    state.train()
    process, name = FakeProcess.last, state.run
    process.say({"kind": "ready", "steps": 1000})
    process.log(10)
    state.stop()
    assert process.stopped and state.status == "stopping"
    keep(state, 10)
    process.say({"kind": "stopped"})
    assert state.status == "stopped" and not state.busy
    state.steps = 10
    with pytest.raises(AtomnbError, match="more steps"):
        state.resume()
    state.steps = 500
    state.resume()
    assert state.run == name and FakeProcess.last is not process
    assert read_job(state.run_dir).steps == 500


def test_an_error_of_the_process_becomes_a_report(state):
    state.train()
    FakeProcess.last.say({"kind": "error", "message": "the loss is NaN", "expected": True, "details": "Traceback"})
    assert state.status == "stopped"
    assert state.report.message == "the loss is NaN" and state.report.details == "Traceback"


def test_a_run_that_crashed_tells_from_where_it_goes_on(state):
    """Records after the last checkpoint are lost: the run is not as far as its curve."""
    state.steps = 100
    state.train()
    FakeProcess.last.say({"kind": "ready", "steps": 100})
    keep(state, 40)
    FakeProcess.last.log(60)
    FakeProcess.last.say({"kind": "error", "message": "killed", "expected": True, "details": ""})
    assert state.kept == 40 and state.history[-1]["step"] == 60
    name = state.run
    state.new_run()
    assert state.kept == 0
    state.open_run(name)
    assert state.kept == 40
    state.resume()
    FakeProcess.last.say({"kind": "ready", "steps": 100})
    assert [record["step"] for record in state.history] == [40]
    state.stop()
    FakeProcess.last.say({"kind": "stopped"})
    state.model_name = "mine"
    state.save()
    assert state.report is None, state.report
    assert "trained for 40 steps" in list_models()[-1].summary


def test_without_a_checkpoint_there_is_no_model_to_save(state):
    state.train()
    FakeProcess.last.log(60)
    FakeProcess.last.say({"kind": "error", "message": "killed", "expected": True, "details": ""})
    assert state.kept == 0
    with pytest.raises(AtomnbError, match="before its first checkpoint: press Resume"):
        state.save()


def test_a_saved_model_is_found_by_name(state, tmp_path):
    trained(state)
    state.model_name = "mine"
    state.save()
    assert state.report is None, state.report
    assert state.saved.name == "mine"
    card = list_models()[-1]
    assert "40 steps" in card.summary and "encoder-decoder" in card.recipe
    assert card.name == "mine" and card.classes == ("background", "C", "Si")
    assert "0.5" in str(card.accuracy) and card.not_for and card.working["spacing_px"]
    assert load_model("mine").card.sha256 == card.sha256
    with pytest.raises(AtomnbError, match="already"):
        state.save()


@pytest.mark.parametrize("name", ["universal", "../evil", "a/b", ".hidden"])
def test_names_that_would_hide_or_escape_are_refused(state, name):
    trained(state)
    state.model_name = name
    with pytest.raises(AtomnbError, match=r"choose another name|cannot be called"):
        state.save()


def test_spaces_in_a_name_become_hyphens(state):
    state.model_name = " my graphene  2 "
    assert state.wanted_name == "my-graphene-2"


def test_a_running_model_is_not_saved(state):
    state.train()
    with pytest.raises(AtomnbError, match="stop the training first"):
        state.save()


def test_earlier_runs_open_again(state):
    trained(state)
    write_preview(state.run_dir, _preview())
    name = state.run
    state.new_run()
    assert state.run == "" and state.history == []
    assert state.runs() == [name]
    state.open_run(name)
    assert state.status == "done" and state.history[-1]["step"] == 40 and state.preview.note == ""
    with pytest.raises(AtomnbError, match="no run"):
        state.open_run("../elsewhere")


def test_a_set_is_learnt_at_the_scale_of_its_lattice(state, labelled):
    assert state.sets() == [labelled]
    state.source, state.set_path = "set", labelled
    trained(state)
    state.save()
    assert state.report is None, state.report
    card = list_models()[-1]
    assert card.classes == ("background", "A")
    low, high = card.working["spacing_px"]
    assert low < 12 * 0.2 / 0.22 < high


def test_files_that_are_no_sets_are_not_offered(state, tmp_path, labelled):
    (tmp_path / "notes.h5").write_bytes(b"no set")
    assert state.sets() == [labelled]


def test_without_a_set_the_page_says_where_they_come_from(state):
    state.source = "set"
    with pytest.raises(AtomnbError, match="build one with Simulate"):
        state.train()


def test_a_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"strange": 1}))
    with pytest.raises(AtomnbError, match="no run of the page"):
        read_job(tmp_path)


def test_a_perfect_network_scores_one_and_a_blind_one_nothing():
    job = TrainJob(recipe="graphene-si", architecture="encoder-decoder")
    batch = job.unseen(1, images=2)[0]

    class Perfect(torch.nn.Module):
        def __init__(self, gain: float):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(gain))

        def forward(self, images):
            labels = torch.cat([(1 - batch.labels.sum(1, keepdim=True)).clamp(min=0), batch.labels], dim=1)
            return (
                self.gain * torch.log(labels.clamp(min=1e-6))
                + (1 - self.gain) * torch.tensor([9.0, 0, 0])[:, None, None]
            )

    assert score(Perfect(1.0), [batch]) > 0.98
    assert score(Perfect(0.0), [batch]) == 0.0


def test_atoms_carry_the_class_of_their_peak():
    probability = np.zeros((3, 40, 40))
    y, x = np.mgrid[:40, :40]
    for k, (cy, cx) in enumerate([(12, 12), (25, 27)], start=1):
        probability[k] = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 1.5**2))
    probability[0] = 1 - probability[1:].sum(axis=0)
    atoms = atoms_in(probability)
    np.testing.assert_allclose(atoms[np.argsort(atoms[:, 2])], [[12, 12, 0], [25, 27, 1]], atol=0.1)


def test_the_shown_code_is_python(state):
    compile(state.code(), "code", "exec")
    assert "recipe='graphene-si'" in state.code()


def _preview() -> Preview:
    flat = np.zeros((16, 16))
    stack = np.zeros((3, 16, 16))
    return Preview(flat, np.zeros((0, 3)), stack, np.zeros((0, 0)), np.zeros((0, 0, 0)), np.zeros((0, 3)))
