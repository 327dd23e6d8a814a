"""Two processes with sharded networks are one process with the joint batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training import same

UPDATES = {
    "distillation": {"student": 4, "discriminators": 4},
    "first window": {"student": 4, "discriminators": 4},
    "decoding": {"decoder": 4, "discriminator": 2},
    "plain": {"decoder": 4, "discriminator": 2},
}

BALANCED = {"discriminator.judges.realism.bias"}  # both hinges pull at a last bias alike: its gradient is exactly 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("sharded")
    program = str(Path(__file__).with_name("sharded.py"))
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, str(home / "two")]
    for arguments in ([program, str(home / "one")], two):
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-4000:]
    return home


def read(path):
    return torch.load(path, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["whole", "resumed"])
@pytest.mark.parametrize("name", UPDATES)
def test_sharded_processes_end_as_one(folder, name, part):
    alone = read(folder / "one" / name / f"{part}-0.pt")
    first, second = (read(folder / "two" / name / f"{part}-{rank}.pt") for rank in (0, 1))
    assert first["updates"] == second["updates"] == alone["updates"] == UPDATES[name]
    assert same(first["weights"], second["weights"])
    assert not alone["sharded"] and set(alone["trained"]) <= set(first["sharded"])
    for key, value in alone["weights"].items():
        assert torch.allclose(first["weights"][key], value, atol=1e-5, rtol=0), key


@pytest.mark.slow
@pytest.mark.parametrize("name", UPDATES)
def test_sharded_weights_moved(folder, name):
    begin = read(folder / "begin.pt")[name]
    end = read(folder / "two" / name / "whole-0.pt")
    still = {key for key in end["trained"] if torch.allclose(begin[key], end["weights"][key], atol=1e-5)}
    assert end["trained"] and still <= BALANCED


@pytest.mark.slow
@pytest.mark.parametrize("name", UPDATES)
def test_sharded_run_exports_the_average(folder, name):
    alone, sharded = (load_file(folder / count / name / "whole" / "model.safetensors") for count in ("one", "two"))
    end = read(folder / "two" / name / "whole-0.pt")["weights"]
    assert alone.keys() == sharded.keys()
    for key, value in alone.items():
        assert torch.allclose(sharded[key], value, atol=1e-5, rtol=0), key
    assert any(not torch.allclose(end[f"student.{key}"], value, atol=1e-5) for key, value in sharded.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", UPDATES)
def test_sharded_checkpoint_is_that_of_one_process(folder, name):
    alone, sharded = (read(next((folder / count / name).glob("whole/checkpoints/*"))) for count in ("one", "two"))
    assert alone["state_dict"].keys() == sharded["state_dict"].keys()
    assert all(type(tensor) is torch.Tensor for tensor in sharded["state_dict"].values())


@pytest.mark.slow
def test_a_recipe_with_the_overlay_runs_and_is_resumed_alone(tmp_path):
    """A recipe of the tiny twins in two sharded processes; one process goes on where they stopped."""
    recipes = Path(__file__).parents[1] / "recipes"

    def adc(command, *arguments):
        program = [sys.executable, "-m", "adc", command, *map(str, arguments)]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    adc("prune", "-c", recipes / "tiny" / "0_prune.yaml")
    recipe, run = ("-c", recipes / "tiny" / "1_decoder.yaml"), tmp_path / "runs" / "tiny" / "1_decoder"
    overlay = ("-c", recipes / "trainer" / "fsdp.yaml", "--trainer.precision", "32-true")
    output = adc("fit", *recipe, *overlay, "--trainer.accelerator", "cpu", "--trainer.devices", "2")
    assert "2 processes" in output and json.loads((run / "finished.json").read_text())["updates"]["decoder"] == 24
    both = load_file(run / "model.safetensors")

    (run / "finished.json").unlink()
    (run / "checkpoints" / "00000024.ckpt").unlink()
    assert "resuming from" in adc("fit", *recipe)
    alone = load_file(run / "model.safetensors")
    apart = max((tensor - alone[key]).abs().max().item() for key, tensor in both.items())
    assert 0 < apart < 0.02  # six updates on half of the clips
