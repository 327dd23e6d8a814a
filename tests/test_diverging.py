"""Two processes skip an update together, whichever of them met what is not finite, and stop with one voice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training import same


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("diverging")
    program = str(Path(__file__).with_name("diverging.py"))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, str(home)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return home


def read(folder, name):
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
@pytest.mark.parametrize("what", ["nan", "gradient"])
def test_what_is_not_finite_on_one_process_is_skipped_by_both(folder, strategy, what):
    first, second = read(folder, f"{strategy}-{what}")
    assert same(first["weights"], second["weights"])
    assert all(tensor.isfinite().all() for tensor in first["weights"].values())
    for end in (first, second):
        assert end["updates"] == {"student": 3, "discriminators": 4} and end["batches"] == 4
        assert end["skipped"] == {"student": 1, "discriminators": 0} and end["files"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_the_first_process_says_what_the_second_met(folder, strategy):
    first, second = read(folder, f"{strategy}-stop")
    assert (first["end"], second["end"]) == ("ValueError", "SystemExit")
    assert "the loss is not finite after 1 batches (BadOnOne_feature_teacher nan, " in first["text"]
    assert "2 updates in a row were skipped. Batch of rank 1: " in first["text"] and "\n" not in first["text"]
    dumps = sorted(path.name for path in (folder / f"{strategy}-stop" / "diverged").iterdir())
    assert dumps == ["00000001_rank0.safetensors", "00000001_rank1.safetensors"]
