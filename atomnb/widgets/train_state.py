"""The state of *Train*: what is learnt, the run and its curve, what the network sees, the model saved. No widgets."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import traitlets

import atomnb
from atomnb.errors import AtomnbError
from atomnb.train.job import JOB_FILE, TrainJob, read_job, write_job
from atomnb.train.rundir import kept_steps
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.report import ErrorReport, report_of
from atomnb.widgets.train_preview import read_preview, write_frame
from atomnb.widgets.train_process import TrainProcess

SETS, RUNS = "sets", "runs"
"""Folders of the data folder for labelled sets and training runs."""

CALIBRATION_BATCHES = 6

SAMPLE_OF = {"graphene-si": "graphene-si", "tmd": "mos2", "perovskite": "perovskite-adf"}
"""The sample that shows the material of a recipe; the others watch the first of all."""


class Saved(NamedTuple):
    """A model the user has saved."""

    name: str
    path: Path


class TrainState(traitlets.HasTraits):
    """Everything the page shows; panels only link to it.

    Parameters
    ----------
    folder : DataFolder
        Holds labelled sets, runs and the user's frames.
    jobs : Jobs
        Saves models and reads frames.
    post : callable
        `post(callback)` runs `callback` in the page's thread.
    start : callable, optional
        In place of `TrainProcess`, for tests.
    """

    source = traitlets.Unicode("recipe")
    recipe = traitlets.Unicode("graphene-si")
    set_path = traitlets.Unicode("")
    architecture = traitlets.Unicode("unet")
    steps = traitlets.Int(1000, min=1, max=1_000_000)
    minutes = traitlets.Float(0.0, min=0.0)
    device = traitlets.Unicode("cpu")
    status = traitlets.Unicode("new")
    run = traitlets.Unicode("")
    history = traitlets.List()
    kept = traitlets.Int(0)
    """Steps in the run's last checkpoint, from which it goes on and of which a model is saved; while it runs, those it
    began with."""
    preview = traitlets.Any(None, allow_none=True)
    frame = traitlets.Unicode("")
    model_name = traitlets.Unicode("")
    saved = traitlets.Any(None, allow_none=True)
    report = traitlets.Any(None, allow_none=True)

    def __init__(self, *, folder: DataFolder, jobs: Jobs, post: Callable, start: Callable = TrainProcess) -> None:
        super().__init__()
        self.folder, self.jobs, self._post, self._start = folder, jobs, post, start
        self._process = None
        self._began: tuple[float, int] = (0.0, 0)
        self._frame_chosen = False
        self._suit_frame()
        self.observe(lambda _: self._suit_frame(), ["recipe", "source"])

    # ---------- what there is ----------
    def sets(self) -> list[str]:
        """Labelled sets of the data folder, by their path in it."""
        root = self.folder.root
        found = [*root.glob("*.h5"), *(root / SETS).glob("*.h5")]
        return sorted(path.relative_to(root).as_posix() for path in found if _is_set(path))

    def runs(self) -> list[str]:
        """Training runs of the data folder, the newest first."""
        found = [path.parent for path in (self.folder.root / RUNS).glob(f"*/{JOB_FILE}")]
        found = [path for path in found if (path / "checkpoint.pt").exists()]
        return [path.name for path in sorted(found, key=lambda path: -path.stat().st_mtime)]

    def frames(self) -> list[tuple[str, str]]:
        """Frames to watch, as (label, key): samples, and the images at the top of the data folder."""
        samples = sorted(atomnb.list_samples(), key=lambda sample: sample.is_simulated)
        listed = [(_told(sample), f"sample:{sample.name}") for sample in samples]
        files = [entry for entry in self.folder.entries() if not entry.is_folder and not entry.name.endswith(".h5")]
        return listed + [(entry.name, f"file:{entry.path}") for entry in files]

    @property
    def job(self) -> TrainJob:
        """The run the page would start now."""
        options = {"architecture": self.architecture, "steps": self.steps, "minutes": self.minutes}
        options["device"] = self.device
        if self.source == "recipe":
            return TrainJob(recipe=self.recipe, **options)
        if not self.set_path:
            raise AtomnbError("no labelled set is chosen: build one with Simulate, or choose a recipe.")
        return TrainJob(set_path=str(self.folder.resolve(self.set_path)), **options)

    @property
    def run_dir(self) -> Path:
        """The folder of the run on the page."""
        return self.folder.root / RUNS / self.run

    @property
    def busy(self) -> bool:
        """Whether a training process is at work."""
        return self.status in ("starting", "waiting", "running", "stopping")

    @property
    def seconds_left(self) -> float | None:
        """Time the run will still take, from its pace since it was started."""
        at, first = self._began
        done = self.history[-1]["step"] - first if self.history else 0
        if self.status != "running" or done <= 0:
            return None
        return (time.monotonic() - at) / done * max(0, self.steps - self.history[-1]["step"])

    # ---------- the run ----------
    def train(self) -> None:
        """Start a new run."""
        job = self.job
        if self.source == "set":
            from atomnb.data.labelled_set import open_labelled_set

            open_labelled_set(job.set_path).split("train")  # what is wrong with a set is told at once
        self.history, self.kept, self.preview, self.saved = [], 0, None, None
        self.run = self._new_run(f"{job.source}-{job.architecture}")
        self._launch(job)

    def resume(self) -> None:
        """Go on with the run on the page, to the number of steps now asked for."""
        before = read_job(self.run_dir)
        if self.steps <= self.kept:
            raise AtomnbError(f"this run has {self.kept} steps already: ask for more steps to go on.")
        self._launch(replace(before, steps=self.steps, minutes=self.minutes, device=self.device))

    def new_run(self) -> None:
        """Leave the run on the page, to start another."""
        if self.busy:
            raise AtomnbError("a training runs: stop it first.")
        with self.hold_trait_notifications():
            self.run, self.status, self.history, self.kept, self.preview, self.saved = "", "new", [], 0, None, None

    def open_run(self, name: str) -> None:
        """Show an earlier run, to go on with it or to save its model."""
        if self.busy:
            raise AtomnbError("a training runs: stop it first.")
        if name not in self.runs():
            raise AtomnbError(f"there is no run {name!r} in {self.folder.root / RUNS}.")
        self.run, self.saved = name, None
        job = read_job(self.run_dir)
        with self.hold_trait_notifications():
            self.source = "recipe" if job.recipe else "set"
            self.recipe = job.recipe or self.recipe
            self.architecture, self.steps, self.minutes = job.architecture, job.steps, job.minutes
            self.history = _history(self.run_dir)
            self.preview = read_preview(self.run_dir)
            self._look_up_kept()
            self.status = "done" if self.kept >= job.steps else "stopped"

    def stop(self) -> None:
        """Stop after the next few steps, with a checkpoint."""
        if self._process is not None and self.busy:
            self.status = "stopping"
            self._process.stop()

    def _launch(self, job: TrainJob) -> None:
        if self.busy:
            raise AtomnbError("a training runs already: stop it first.")
        self.report = None
        self._suit_frame()
        self.run_dir.mkdir(parents=True, exist_ok=True)
        write_job(self.run_dir, job)
        self._write_frame()
        self.status = "starting"
        self._process = self._start(self.run_dir, tell=self._hear, post=self._post)

    def _hear(self, message: dict) -> None:
        kind = message["kind"]
        if kind == "waiting":
            self.status = "waiting" if self.status == "starting" else self.status
        elif kind == "ready":
            self._look_up_kept()
            self.history = [record for record in _history(self.run_dir) if record["step"] <= self.kept]
            self._began = (time.monotonic(), self.kept)
            self.status = "running" if self.status in ("starting", "waiting") else self.status
        elif kind == "log":
            record = message["record"]
            self.history = [r for r in self.history if r["step"] < record["step"]] + [record]
        elif kind == "preview":
            self.preview = read_preview(self.run_dir)
        else:
            self._look_up_kept()
            self.status = "done" if kind == "done" else "stopped"
        if kind == "error":
            text = message["message"]
            if not message["expected"]:
                text += ". This is a fault in atomnb, not yours: please send the details below to the developers."
            self.show_report(ErrorReport("A problem while training", text, message["details"]))

    def _look_up_kept(self) -> None:
        try:
            self.kept = kept_steps(self.run_dir)
        except AtomnbError as error:
            self.kept = 0
            self.show_report(report_of(error, doing="reading the checkpoint"))

    def _new_run(self, base: str) -> str:
        name = re.sub(r"[^\w.+-]+", "-", base)
        number = 1
        while (self.folder.root / RUNS / f"{name}-{number}").exists():
            number += 1
        return f"{name}-{number}"

    # ---------- the frame to watch ----------
    def choose_frame(self, key: str) -> None:
        """Watch another frame; the network looks at it with its next validation."""
        self.frame, self._frame_chosen = key, True
        if self.run:
            self._write_frame()

    def _suit_frame(self) -> None:
        """Watch what the recipe is for, unless the user has chosen a frame or a training looks at one."""
        if self._frame_chosen or self.busy:
            return
        sample = SAMPLE_OF.get(self.recipe) if self.source == "recipe" else None
        self.frame = f"sample:{sample}" if sample else self.frames()[0][1]

    def _write_frame(self) -> None:
        kind, _, name = self.frame.partition(":")
        image = atomnb.sample_image(name) if kind == "sample" else atomnb.read_image(self.folder.resolve(name))
        write_frame(self.run_dir, image.frame(0), image.pixel_size)

    # ---------- saving ----------
    @property
    def default_name(self) -> str:
        """What a model is called that the user has not named."""
        return f"my-{self.run}" if self.run else ""

    @property
    def wanted_name(self) -> str:
        """The name the user has typed, as a file can be called."""
        return re.sub(r"\s+", "-", self.model_name.strip())

    def save(self) -> None:
        """Calibrate the scores and save the model where *Find atoms* finds it."""
        from atomnb.nets.checkpoint import WEIGHTS_DIR, user_models_folder

        name = self.wanted_name or self.default_name
        if not re.fullmatch(r"\w[\w.+-]{0,60}", name):
            raise AtomnbError(f"a model cannot be called {name!r}: use letters, digits, and . _ + -.")
        if (WEIGHTS_DIR / f"{name}.json").exists():
            raise AtomnbError(f"{name!r} is a model of atomnb's own: choose another name.")
        if (user_models_folder() / f"{name}.json").exists():
            raise AtomnbError(f"you have a model {name!r} already: choose another name.")
        if not self.run or self.busy:
            raise AtomnbError("stop the training first, or wait for its end: then its model can be saved.")
        if not self.kept:
            raise AtomnbError("this run ended before its first checkpoint: press Resume to train its model first.")
        run_dir, steps = self.run_dir, self.kept
        history = [record for record in self.history if record["step"] <= steps]

        def work(progress) -> Saved:
            return _save(run_dir, name, steps, history, user_models_folder(), progress)

        self.report = None
        failed = self._failing("saving the model")
        self.jobs.run("Saving", work, done=self._take_saved, failed=failed)

    def _take_saved(self, saved: Saved) -> None:
        self.saved = saved

    # ---------- code ----------
    def code(self) -> str:
        """Python that trains the same network."""
        from atomnb.widgets.train_code import train_code

        if self.source == "set" and not self.set_path:
            return ""
        return train_code(self.job, run=self.run or "my-run", name=self.wanted_name or "my-model")

    # ---------- errors ----------
    def show_report(self, report: ErrorReport) -> None:
        """Show an error on the page."""
        self.report = report

    def _failing(self, doing: str):
        return lambda error: self.show_report(report_of(error, doing=doing))


def _save(run_dir: Path, name: str, steps: int, history: list[dict], folder: Path, progress) -> Saved:
    from atomnb.locate.calibrate import fit_calibration_on
    from atomnb.nets.checkpoint import save_model
    from atomnb.train.rundir import shipped_weights

    progress(0.05, "reading the weights")
    job = replace(read_job(run_dir), steps=steps)
    net = job.create_net()
    net.load_state_dict(shipped_weights(run_dir))
    net.eval()
    progress(0.1, "simulating scenes it has not seen")
    batches = []
    for number in range(CALIBRATION_BATCHES):
        progress(0.1 + 0.7 * number / CALIBRATION_BATCHES, "simulating scenes it has not seen")
        batches.append(job.unseen(1, seed=number)[0])
    progress(0.8, "calibrating the scores")
    calibration = fit_calibration_on(net, batches)
    best = max((record["score"] for record in history if "score" in record), default=None)
    accuracy = {} if best is None else {"F1 on unseen simulated scenes": round(best, 3)}
    progress(0.95, "writing")
    path = save_model(net, job.card(net, name=name, calibration=calibration, accuracy=accuracy), folder)
    return Saved(name, path)


def _told(sample) -> str:
    return sample.title if not sample.is_simulated or "simulated" in sample.title else f"{sample.title}, simulated"


def _history(run_dir: Path) -> list[dict]:
    try:
        return json.loads((run_dir / "history.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return []


def _is_set(path: Path) -> bool:
    from atomnb.data.labelled_set import open_labelled_set

    try:
        open_labelled_set(path)
    except AtomnbError:
        return False
    return True
