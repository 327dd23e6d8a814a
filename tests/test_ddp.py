"""Two processes are one with the joint batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CASES = {
    "distillation": {"student": 4, "discriminators": 4},
    "long cycle": {"student": 4, "discriminators": 8},
    "decoding": {"decoder": 6, "discriminator": 4},
}

BALANCED = {"discriminator.judges.realism.bias"}  # both hinges pull at a last bias alike: its gradient is exactly 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("processes")
    program = Path(__file__).with_name("two_processes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "localhost"}
    done = subprocess.run(
        [sys.executable, str(program), str(home)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return home


def read(folder, name, rank, processes):
    return torch.load(folder / f"{name}-{rank}-of-{processes}.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_as_one_with_the_joint_batch(folder, name):
    first, second = (read(folder, name, rank, 2) for rank in (0, 1))
    alone = read(folder, name, 0, 1)
    begin = torch.load(folder / "begin.pt", weights_only=True)[name]
    assert first["updates"] == second["updates"] == alone["updates"] == CASES[name]

    assert first["trained"]
    for key, value in alone["weights"].items():
        assert torch.equal(first["weights"][key], second["weights"][key]), key
        assert torch.allclose(first["weights"][key], value, atol=1e-6, rtol=0), key
    still = {key for key, value in alone["weights"].items() if torch.equal(value, begin[key])}
    assert still - BALANCED == set(begin) - set(first["trained"]) - BALANCED
    for one, joint in zip(first["average"], alone["average"], strict=True):
        assert torch.allclose(one, joint, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_share_the_photos_of_each_batch(folder, name):
    first, second = (read(folder, name, rank, 2)["names"] for rank in (0, 1))
    joint = read(folder, name, 0, 1)["names"]
    assert len(joint) == len(first) == len(second)
    for one, other, both in zip(first, second, joint, strict=True):
        assert both == [name for pair in zip(one, other, strict=True) for name in pair]
