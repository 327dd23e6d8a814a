"""A stage that is killed, wherever it is, and run again ends as one that nobody disturbed."""

import json

import pytest
import torch
from killed import TINY, adc, compare, fit, killing, overlay

LONG = {"cycle": [["discriminators"], ["discriminators"], ["student"]], "accumulate": 2}


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

    kept = {"decoder": 2, "distill": 3}[stage]  # of the latter two callbacks save, each its own two
    compare(folder / whole, folder / "killed" / stage, kept=kept)


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
