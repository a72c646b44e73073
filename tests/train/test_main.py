"""`python -m atomnb.train`: what it says is what happens, and it happens again."""

import json
import subprocess
import sys

from atomnb.train.rundir import read_run


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "atomnb.train", *map(str, words)], capture_output=True, text=True, timeout=300, **options
    )


def losses(folder):
    return [record["loss"] for record in json.loads((folder / "history.json").read_text())]


def test_a_run_is_repeated_by_its_seed(tmp_path):
    """In fresh processes: the first weights and the scenes follow the seed, which the folder keeps."""
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        words = ("dumbbell", "--run", tmp_path / name, "--steps", 1, "--threads", 1, "--seed", seed)
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert read_run(tmp_path / name)["sessions"][0]["config"]["seed"] == seed
    assert losses(tmp_path / "one") == losses(tmp_path / "again")
    assert losses(tmp_path / "one") != losses(tmp_path / "other")
