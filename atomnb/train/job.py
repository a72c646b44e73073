"""TrainJob: a whole training run as one small record, kept as JSON in its folder, and the objects it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from atomnb.data.labelled_set import open_labelled_set
from atomnb.errors import AtomnbError
from atomnb.io.atomic import atomic_path
from atomnb.nets.checkpoint import ModelCard
from atomnb.nets.registry import create_net, describe_net
from atomnb.simulate.batch import Batch
from atomnb.train.cards import WORKING, model_card
from atomnb.train.from_set import CropConfig, stream_set_batches
from atomnb.train.loop import TrainConfig
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import recipe

JOB_FILE = "job.json"
UNSEEN_SEED = 10_003
"""Of the scenes that validation looks at; training has another."""

FIRST_LOOK = 10
"""Steps after which the network is looked at first: seconds, or half a minute on a slow computer."""

MOST_LOGS, MOST_VALIDATIONS = 200, 25
"""About how many records and validations a run gives."""


@dataclass(frozen=True)
class TrainJob:
    """One run.

    recipe : name of a recipe, or '' when a set is learnt
    set_path : absolute path of a labelled set, or ''
    architecture : a key of ARCHITECTURES
    steps : batches in all
    minutes : stop after so long in one go; 0 = no limit
    device : 'cpu' or 'cuda'
    """

    recipe: str = ""
    set_path: str = ""
    architecture: str = "unet"
    steps: int = 1000
    minutes: float = 0.0
    device: str = "cpu"
    batch_size: int = 16
    seed: int = 0

    @property
    def source(self) -> str:
        """What is learnt, in a word."""
        return self.recipe or Path(self.set_path).stem

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, background first."""
        return recipe(self.recipe).classes if self.recipe else ("background", *open_labelled_set(self.set_path).classes)

    def config(self) -> TrainConfig:
        """How `fit` is to train: records often enough to watch and to stop it."""
        return TrainConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            warmup_steps=min(200, max(1, self.steps // 10)),
            ema_decay=0.998 if self.steps >= 2000 else 0.98,
            log_steps=max(1, min(20, self.steps // MOST_LOGS)),
            validate_steps=max(25, min(500, self.steps // MOST_VALIDATIONS)),
            first_look=FIRST_LOOK,
            checkpoint_seconds=120.0,
            seed=self.seed,
        )

    def create_net(self) -> nn.Module:
        """The network, untrained; its first weights follow the seed."""
        return create_net(self.architecture, {"n_classes": len(self.classes)}, seed=self.seed)

    def batches(self, first: int) -> Iterator[Batch]:
        """The training stream from batch `first` on."""
        options = {"batch_size": self.batch_size, "seed": self.seed, "start": first}
        if self.recipe:
            return stream_batches(recipe(self.recipe).curriculum, **options)
        return stream_set_batches(self._part("train"), CropConfig(), **options)

    def unseen(self, n: int, *, images: int = 8, seed: int = 0) -> list[Batch]:
        """`n` batches of scenes that training does not see; another `seed` gives others."""
        options = {"batch_size": images, "seed": UNSEEN_SEED + seed, "workers": 0}
        threads = torch.get_num_threads()
        try:
            if self.recipe:
                stream = stream_batches([(0, recipe(self.recipe).curriculum[-1][1])], **options)
            else:
                stream = stream_set_batches(self._part("validation"), CropConfig(), **options)
            return [next(stream) for _ in range(n)]
        finally:
            torch.set_num_threads(threads)  # a stream takes one thread for itself

    def card(self, net: nn.Module, *, name: str, calibration: tuple[float, float], accuracy: dict) -> ModelCard:
        """The card of the network trained for `steps` under the user's `name`."""
        both = {"lattice": calibration, "single": calibration}
        if self.recipe:
            shipped = model_card(self.recipe, net, calibration=both, accuracy=accuracy)
            summary = f"{shipped.summary} A model of your own, trained for {self.steps} steps."
            return replace(shipped, name=name, summary=summary, recipe=self._told())
        labelled = open_labelled_set(self.set_path)
        spacing = self._spacing_px()
        return ModelCard(
            name=name,
            summary=f"Trained on the labelled set {Path(self.set_path).stem}: {', '.join(labelled.classes)}.",
            classes=self.classes,
            architecture=describe_net(net),
            working={
                "pixel_size": WORKING["pixel_size"],
                "spacing_px": [round(0.94 * spacing, 2), round(1.06 * spacing, 2)],
                "spacing_range_px": [round(0.75 * spacing, 2), round(1.35 * spacing, 2)],
            },
            calibration=both,
            trained_on=f"{len(labelled)} simulated images of {len(set(labelled.groups))} structures.",
            accuracy=accuracy,
            not_for="Other materials than those of its set; images whose neighbours are much nearer or farther.",
            recipe=self._told(),
        )

    def _told(self) -> str:
        """The job in one line."""
        return f"{self.recipe or self.set_path}, {self.architecture}, {self.steps} steps, seed {self.seed}"

    def _part(self, which: str):
        """A split of the set; a set of too few structures says so."""
        return open_labelled_set(self.set_path).split(which)

    def _spacing_px(self) -> float:
        """Usual distance of neighbours at the network's scale."""
        from scipy.spatial import cKDTree

        with open_labelled_set(self.set_path) as labelled:
            scene = labelled[0]
        if len(scene.positions_yx) < 2:
            raise AtomnbError(f"the first image of {Path(self.set_path).name} has fewer than two columns.")
        nearest = cKDTree(scene.positions_yx).query(scene.positions_yx, k=2)[0][:, 1]
        return float(np.median(nearest)) * scene.pixel_size / WORKING["pixel_size"]


def write_job(run_dir: Path, job: TrainJob) -> None:
    """Keep the job in its folder."""
    with atomic_path(Path(run_dir) / JOB_FILE) as path:
        path.write_text(json.dumps(asdict(job), indent=1) + "\n", encoding="utf-8")


def read_job(run_dir: Path) -> TrainJob:
    """The job of a folder.

    Raises
    ------
    AtomnbError
        If the folder holds none, or one that cannot be read.
    """
    try:
        return TrainJob(**json.loads((Path(run_dir) / JOB_FILE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise AtomnbError(f"{run_dir} holds no run of the page Train ({error}): start a new one.") from error
