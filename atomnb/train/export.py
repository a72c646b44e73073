"""From a training run to a shipped model: `python -m atomnb.train.export RUN_DIR CARD.json FOLDER`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from atomnb.nets.checkpoint import ModelCard, save_model
from atomnb.nets.registry import create_net
from atomnb.train.rundir import shipped_weights


def export_run(run_dir: Path, card: ModelCard, folder: Path) -> Path:
    """Write the averaged weights of the run's last checkpoint with `card`; returns the path of the weights.

    Raises
    ------
    AtomnbError
        If there is no checkpoint, or it is of another version.
    """
    weights = shipped_weights(run_dir)
    net = create_net(card.architecture["name"], dict(card.architecture["options"]))
    net.load_state_dict(weights)
    return save_model(net, card, folder)


def main() -> None:
    """Export with the card given as JSON (its hash is filled in)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    values = json.loads(options.card.read_text(encoding="utf-8"))
    values["classes"] = tuple(values["classes"])
    print(export_run(options.run_dir, ModelCard(**values), options.folder))


if __name__ == "__main__":
    main()
