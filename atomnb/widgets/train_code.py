"""The Python behind *Train*: the lines that train the same network and save it as a model."""

from __future__ import annotations

from atomnb.train.job import TrainJob
from atomnb.widgets.simulate_code import call_of


def train_code(job: TrainJob, *, run: str, name: str) -> str:
    """Python that trains as the job says, in the folder `run`, and saves the model `name`."""
    lines = [
        "from pathlib import Path",
        "",
        "from atomnb.locate.calibrate import fit_calibration_on",
        "from atomnb.nets.checkpoint import save_model, user_models_folder",
        "from atomnb.train.job import TrainJob",
        "from atomnb.train.loop import TrainConfig, fit",
        "",
        call_of(job, target="job = "),
        "",
        "# What the job stands for: a stream of batches, a network, and how to train it.",
        "net = job.create_net()",
        call_of(job.config(), target="config = "),
        f"trained = fit(net, job.batches, config=config, run_dir=Path({run!r}), recipe=job.source,",
        f"              device={job.device!r}, on_log=print)",
        "",
        "calibration = fit_calibration_on(trained.net.cpu(), job.unseen(6))",
        f"card = job.card(trained.net, name={name!r}, calibration=calibration, accuracy={{}})",
        "save_model(trained.net, card, user_models_folder())",
    ]
    return "\n".join(lines)
