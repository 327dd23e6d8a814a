"""A stage that is killed, wherever it is, and run again ends as one that nobody disturbed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

HERE = Path(__file__).parent
TINY = HERE.parent / "recipes" / "tiny"
LONG = {"cycle": [["discriminators"], ["discriminators"], ["student"]], "accumulate": 2}


def adc(folder, jobs, *modules):
    """Run commands, by name, in a folder; what each said and how it ended."""
    environment = {**os.environ, "ADC_PLUGIN_PATH": str(HERE / "training" / "plugins"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "forks.py"), json.dumps(list(jobs.values())), *modules]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(zip(jobs, json.loads(done.stdout), strict=True))


def overlay(path, content):
    path.write_text(yaml.safe_dump(content))
    return ["-c", str(path)]


def killing(path, *callbacks):
    listed = [{"class_path": name, "init_args": arguments} for name, arguments in callbacks]
    return overlay(path, {"trainer": {"callbacks+": listed}})


def fit(name, folder, *options):
    return ["fit", "-c", str(TINY / name), *options, "--trainer.default_root_dir", folder]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both stages, whole and killed again and again."""
    folder = tmp_path_factory.mktemp("runs")
    long = overlay(folder / "long.yaml", {"model": {"init_args": LONG}, "data": {"init_args": {"workers": 1}}})
    decoder = killing(
        folder / "decoder.yaml",
        ("KillWhileSaving", {"batches": 12}),
        ("Kill", {"batch": 20, "role": "discriminator"}),
    )
    distill = killing(
        folder / "distill.yaml",
        ("Kill", {"batch": 35, "role": "student"}),
        ("KillWhileSaving", {"batches": 52}),
    )
    often = [
        "--trainer.callbacks+",
        json.dumps({"class_path": "SaveEvery", "init_args": {"role": "discriminators", "updates": 3}}),
    ]
    stop = [
        "--trainer.callbacks+",
        json.dumps({"class_path": "StopAfter", "init_args": {"role": "student", "updates": 10}}),
    ]
    jobs = {
        "prune": ["prune", "-c", str(TINY / "0_prune.yaml")],
        "decoder whole": fit("1_decoder.yaml", "runs/tiny/1_decoder"),
        "distill whole": fit("2_distill.yaml", "whole/distill", *long, *often, *stop),
    }
    for attempt in range(3):
        jobs[f"decoder {attempt}"] = fit("1_decoder.yaml", "killed/decoder", *decoder)
        jobs[f"distill {attempt}"] = fit("2_distill.yaml", "killed/distill", *long, *distill, *often, *stop)
    return folder, adc(folder, jobs)


def equal(one, other):
    """Whether two checkpoints say the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return one == other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "whole", "resumed"),
    [("decoder", "runs/tiny/1_decoder", [6, 18]), ("distill", "whole/distill", [34, 44])],
)
def test_a_killed_stage_ends_as_an_undisturbed_one(runs, stage, whole, resumed):
    folder, told = runs
    assert [told[name]["status"] for name in ("prune", f"{stage} whole")] == [0, 0], told
    attempts = [told[f"{stage} {attempt}"] for attempt in range(3)]
    assert [attempt["status"] for attempt in attempts] == [-9, -9, 0], attempts
    for attempt, batches in zip(attempts[1:], resumed, strict=True):
        assert f"resuming from killed/{stage}/checkpoints/{batches:08d}.ckpt" in attempt["output"]

    compare(folder / whole, folder / "killed" / stage)


def compare(whole, killed):
    """Two run folders hold the same checkpoints and the same result."""
    names = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (whole, killed)]
    assert names[0] == names[1] and len(names[0]) >= 2, names
    for name in names[0]:
        first, second = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (whole, killed))
        for part in ("state_dict", "optimizer_states", "callbacks", "adc", "DegradedClips"):
            assert equal(first[part], second[part]), part
    exported = [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
    assert exported
    for path in exported:
        assert (whole / path).read_bytes() == (killed / path).read_bytes(), path
    updates = [json.loads((run / "finished.json").read_text())["updates"] for run in (whole, killed)]
    assert updates[0] == updates[1]


@pytest.mark.slow
def test_a_killed_teacher_ends_as_an_undisturbed_one(tmp_path):
    """The networks of Stable Diffusion's shape: attention, group norms, frozen codec, in bfloat16."""
    kill = killing(tmp_path / "kill.yaml", ("Kill", {"batch": 6, "role": "network"}))
    jobs = {
        "codec": ["fit", "-c", str(TINY / "teacher" / "0_codec.yaml")],
        "whole": fit("teacher/1_restorer.yaml", "whole"),
        "killed": fit("teacher/1_restorer.yaml", "killed", *kill),
        "resumed": fit("teacher/1_restorer.yaml", "killed", *kill),
    }
    networks = ("diffusers.models.unets.unet_2d_condition", "diffusers.models.autoencoders.autoencoder_kl")
    told = adc(tmp_path, jobs, *networks)
    assert [told[name]["status"] for name in jobs] == [0, 0, -9, 0], told
    assert "resuming from killed/checkpoints/00000004.ckpt" in told["resumed"]["output"]
    compare(tmp_path / "whole", tmp_path / "killed")
    (newest,) = (tmp_path / "whole" / "checkpoints").glob("*8.ckpt")
    assert not any(
        key.startswith("network.autoencoder.") for key in torch.load(newest, weights_only=True)["state_dict"]
    )

    from adc_sd21 import OSEDiff, SDAutoencoder

    teacher = OSEDiff(str(tmp_path / "whole"))
    codec = SDAutoencoder(str(tmp_path / "runs" / "tiny_teacher" / "0_codec"))
    assert teacher.restore(torch.zeros(1, 1, 3, 16, 16)).shape == (1, 1, 3, 64, 64)
    for name, tensor in codec.state_dict().items():
        assert torch.equal(tensor, teacher.autoencoder.state_dict()[name]), name
