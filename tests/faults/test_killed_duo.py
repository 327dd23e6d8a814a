"""The stages of DUO-VSR, killed in every phase, in rounds and between them; and what their checkpoints hold."""

from functools import partial

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser, TinyScoreDiscriminator
from adc_wan import OneStepVideo
from killed import adc, compare, killing, overlay
from lightning.pytorch.callbacks import LambdaCallback

from adc.stages import DualStreamDistillation, PreferenceOptimization, ProgressiveDistillation
from adc.testing.training import fit
from adc.training import Role
from adc.training.callbacks import StudentEMA

DENOISER = {"class_path": "TinyDenoiser", "init_args": {"width": 8}}
STUDENT = {"class_path": "OneStepVideo", "init_args": {"denoiser": DENOISER, "conditioner": "TinyConditioner"}}
HEAD = {"class_path": "TinyScoreDiscriminator", "init_args": {"taps": 2, "widths": {"real": 8, "fake": 8}}}
CLIPS = {
    "class_path": "DegradedClips",
    "init_args": {"frames": 1, "size": 64, "batch_size": 2, "workers": 0, "degradation": "BicubicDown"},
}
PAIRS = {"class_path": "CachedClips", "init_args": {"folder": "pairs", "batch_size": 2}}
FALLING = {"class_path": "LinearLR", "init_args": {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 2}}
STAGES = {
    "progressive": {
        "class_path": "ProgressiveDistillation",
        "init_args": {"student": STUDENT, "teacher": DENOISER, "steps_from": 8, "updates_per_round": 2},
    },
    "dual": {
        "class_path": "DualStreamDistillation",
        "init_args": {
            "student": STUDENT,
            "real_score": DENOISER,
            "fake_score": DENOISER,
            "head": HEAD,
            "taps": [0, 1],
            "gradient_norms_every": 2,
        },
    },
    "preference": {
        "class_path": "PreferenceOptimization",
        "init_args": {"student": STUDENT, "reference": DENOISER, "beta": 50.0},
    },
}
ROLES = {"progressive": ("student",), "dual": ("student", "fake_score", "head"), "preference": ("student",)}
UPDATES = {"progressive": 6, "dual": 2, "preference": 4}
KILLS = {
    # in the first round; where it has just ended; half of the checkpoint of the next end on the disk; in the last round
    "progressive": [("Kill", 1, "student"), ("Kill", 2, "student"), ("KillWhileSaving", 4), ("Kill", 5, "student")],
    # after each batch of the cycle, and between the two optimizers of the phase `auxiliary`
    "dual": [
        ("Kill", 1, "fake_score"),
        ("Kill", 2, "fake_score"),
        ("Kill", 3, "student"),
        ("Kill", 4, "fake_score"),
        ("Kill", 5, "head"),
    ],
    "preference": [("Kill", 2, "student")],
}
RESUMED = {"progressive": [1, 2, 3, 5], "dual": [1, 2, 3, 4, 5], "preference": [2]}


def recipe(folder, name):
    """A run of a stage that saves after every batch."""
    optimizer = {"class_path": "AdamW", "init_args": {"lr": 1e-3}}
    roles = {role: {"optimizer": optimizer, "clip": 1.0} for role in ROLES[name]}
    if name == "progressive":
        roles["student"]["scheduler"] = FALLING
    saved = [role for role in ROLES[name] if role != "head"]
    callbacks = [
        {"class_path": "StopAfter", "init_args": {"role": "student", "updates": UPDATES[name]}},
        *({"class_path": "SaveEvery", "init_args": {"role": role, "updates": 1}} for role in saved),
        {"class_path": "StudentEMA", "init_args": {"decay": 0.5}},
        {"class_path": "Export"},
    ]
    stage = {**STAGES[name], "init_args": {**STAGES[name]["init_args"], "roles": roles}}
    trainer = {"accelerator": "cpu", "limit_val_batches": 0, "logger": False, "callbacks": callbacks}
    data = PAIRS if name == "preference" else CLIPS
    return overlay(folder / f"{name}.yaml", {"data": data, "model": stage, "trainer": trainer})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All stages, whole and killed again and again."""
    folder = tmp_path_factory.mktemp("runs")
    pairs = {
        "folder": "pairs",
        "preferences": {"count": 6, "candidates": 2},
        "scorer": "TinyScorer",
        "restorer": STUDENT,
        "data": CLIPS,
    }
    jobs = {"pairs": ["cache-preferences", *overlay(folder / "pairs.yaml", pairs)]}
    for name, kills in KILLS.items():
        options = recipe(folder, name)
        jobs[f"{name} whole"] = ["fit", *options, "--trainer.default_root_dir", f"whole/{name}"]
        callbacks = [
            (kind, {"batch": place, "role": role[0]} if role else {"batches": place}) for kind, place, *role in kills
        ]
        deadly = killing(folder / f"kill_{name}.yaml", *callbacks)
        for attempt in range(len(kills) + 1):
            jobs[f"{name} {attempt}"] = ["fit", *options, *deadly, "--trainer.default_root_dir", f"killed/{name}"]
    return folder, adc(folder, jobs)


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_a_killed_stage_ends_as_an_undisturbed_one(runs, name):
    folder, told = runs
    assert [told[job]["status"] for job in ("pairs", f"{name} whole")] == [0, 0], told
    attempts = [told[f"{name} {attempt}"] for attempt in range(len(KILLS[name]) + 1)]
    assert [attempt["status"] for attempt in attempts] == [-9] * len(KILLS[name]) + [0], attempts
    for attempt, batches in zip(attempts[1:], RESUMED[name], strict=True):
        assert f"resuming from killed/{name}/checkpoints/{batches:08d}.ckpt" in attempt["output"]
    data = "CachedClips" if name == "preference" else "DegradedClips"
    kept = 3 if name == "dual" else 2  # one of each role that counts updates, and the last
    compare(folder / "whole" / name, folder / "killed" / name, data, kept)


class HeavyConditioner(TinyConditioner):
    """One with weights, as those of a published autoencoder."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Linear(300, 300)


def stage(name):
    student = OneStepVideo(TinyDenoiser(8), HeavyConditioner())
    roles = {role: Role(partial(torch.optim.AdamW, lr=1e-3)) for role in ROLES[name]}
    if name == "progressive":
        return ProgressiveDistillation(student, TinyDenoiser(8), roles, steps_from=8, updates_per_round=2)
    if name == "preference":
        return PreferenceOptimization(student, TinyDenoiser(8), roles)
    head = TinyScoreDiscriminator({"real": 16, "fake": 8}, taps=2)
    return DualStreamDistillation(student, TinyDenoiser(16), TinyDenoiser(8), roles, head, taps=(0, 1))


def batch():
    lr, latents = torch.rand(1, 1, 3, 16, 16), torch.rand(1, 1, 12, 16, 16)
    return {"lr": lr, "hr_latents": latents, "chosen": latents, "rejected": -latents, "name": ["0"]}


def weight(network):
    return sum(tensor.numel() * tensor.element_size() for tensor in network.parameters())


def tensors(content):
    if isinstance(content, torch.Tensor):
        yield content
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, (list, tuple)) else ()
    for item in inner:
        yield from tensors(item)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("progressive", {"student", "teacher"}),
        ("dual", {"student", "fake_score", "head"}),
        ("preference", {"student"}),
    ],
)
def test_checkpoints_hold_no_frozen_weights_twice(tmp_path, name, keys):
    """By keys and by bytes: weights and two moments of what is trained, the student's average, a round's teacher."""
    one, path = stage(name), tmp_path / "end.ckpt"
    save = LambdaCallback(on_train_end=lambda trainer, _: trainer.save_checkpoint(path, weights_only=False))
    fit(one, batch(), 5, [StudentEMA(decay=0.5), save], default_root_dir=tmp_path)
    content = torch.load(path, weights_only=True)
    assert {key.partition(".")[0] for key in content["state_dict"]} == keys
    assert all(key.startswith("student.denoiser.") for key in content["state_dict"] if key.startswith("student."))
    trained = sum(weight(one.module_of(role)) for role in one.roles)
    once = weight(one.teacher) if name == "progressive" else 0
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors(content)}
    steps = sum(tensor.nbytes for tensor in tensors(content["optimizer_states"]) if tensor.dim() == 0)
    assert sum(held.values()) == 3 * trained + weight(one.student.denoiser) + once + steps
    overhead = path.stat().st_size - sum(held.values())  # names, and each tensor's place in the file
    assert 0 < overhead < 400 * len(held) + 5000 < weight(one.conditioner)
