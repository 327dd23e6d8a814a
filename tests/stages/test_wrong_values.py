"""Wrong values of DUO-VSR's stages: each is told in one line that names the key, the value and the way out."""

import math
from functools import partial

import pytest
import torch
import yaml
from adc_tiny import TinyConditioner, TinyDenoiser, TinyScoreDiscriminator

from adc.cli import main
from adc.inference.latent import LatentDiffusion
from adc.ops.clip import soften
from adc.ops.flow import TimeLaw
from adc.stages import (
    DualStreamDistillation,
    FlowMatching,
    GuidanceDistillation,
    PreferenceOptimization,
    ProgressiveDistillation,
    StreamWeights,
)
from adc.training import Role

SGD = partial(torch.optim.SGD, lr=0.05)


def parts(*roles):
    student = LatentDiffusion(TinyDenoiser(8), TinyConditioner(), steps=1)
    return student, {role: Role(SGD) for role in ("student", *roles)}


def flow(**options):
    return FlowMatching(*parts(), **options)


def guidance(**options):
    student, roles = parts()
    return GuidanceDistillation(student, TinyDenoiser(8), roles, **options)


def progressive(**options):
    student, roles = parts()
    return ProgressiveDistillation(student, TinyDenoiser(8), roles, **options)


def preference(**options):
    student, roles = parts()
    return PreferenceOptimization(student, TinyDenoiser(8), roles, **options)


def dual(**options):
    student, roles = parts("fake_score", "head")
    head = TinyScoreDiscriminator({"real": 8, "fake": 8}, taps=2)
    given = {"head": head, "taps": (0, 1), **options}
    return DualStreamDistillation(student, TinyDenoiser(8), TinyDenoiser(8), roles, **given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: flow(text_dropout=math.nan), "text_dropout, negative_share: nan"),
        (lambda: flow(pure_noise_share=2.0), "pure_noise_share: 2.0; a share of 0 to 1"),
        (lambda: flow(pure_noise_share=math.nan), "pure_noise_share: nan"),
        (lambda: flow(negative_factor=0), "negative_factor: 0; at least 2"),
        (lambda: soften(torch.zeros(1, 1, 3, 16, 32), 17), "negative_factor: 17; frames of 32x16 have fewer pixels"),
        (lambda: guidance(guidance_scale=math.nan), "guidance_scale: nan; a finite number"),
        (lambda: progressive(shift=0.0), "shift: 0.0; a finite number above 0"),
        (lambda: TimeLaw(shift=math.nan), "shift: nan; a finite number above 0"),
        (lambda: TimeLaw(low=math.nan), "low, high: nan"),
        (lambda: preference(beta=math.nan), "beta, anchor: nan"),
        (lambda: preference(anchor=math.inf), "beta, anchor: 5000.0 and inf"),
        (lambda: dual(taps=(-1, 0)), r"taps: \[-1, 0\]; real_score has blocks 0 to 1"),
        (lambda: dual(taps=(1, 1)), r"taps: \[1, 1\]; name each block once"),
        (lambda: dual(weights=StreamWeights(math.nan)), "weights: .*nan.* none below 0"),
        (lambda: dual(real_guidance=math.nan), "real_guidance: nan; a finite number"),
        (lambda: dual(r1_weight=-1.0), "r1_weight, r1_sigma: -1.0 and 0.01"),
        (lambda: dual(r1_sigma=0.0), "r1_weight, r1_sigma: 0.0 and 0.0"),
        (lambda: dual(gradient_norms_every=-1), "gradient_norms_every: -1 updates; at least 0"),
        (lambda: dual(cycle=[["student"]]).check(), "cycle: .* never comes to 'auxiliary'; name both phases"),
        (lambda: dual(cycle=[["auxiliary"]]).check(), "cycle: .* never comes to 'student'"),
    ],
)
def test_wrong_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


STOP = {"class_path": "StopAfter", "init_args": {"role": "student", "updates": 4}}
WIDE = {"class_path": "TinyScoreDiscriminator", "init_args": {"taps": 2}}
OTHER = {"class_path": "TinyDenoiser", "init_args": {"width": 8, "channels": 16}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": WIDE}, "error: head: takes 16 channels of the real score, but its taps [0, 1] have [8, 8]; give"),
        ({"fake_score": OTHER}, "to have 32 channels, but got 24 channels instead (RuntimeError at "),
    ],
    ids=["head", "latents"],
)
def test_networks_that_do_not_fit_together(tmp_path, capsys, change, message):
    denoiser = {"class_path": "TinyDenoiser", "init_args": {"width": 8}}
    student = {"class_path": "OneStepVideo", "init_args": {"denoiser": denoiser, "conditioner": "TinyConditioner"}}
    roles = {role: {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1}}} for role in ("student", "fake_score")}
    given = {"student": student, "real_score": denoiser, "fake_score": denoiser, "taps": [0, 1]}
    if "head" in change:
        roles["head"] = roles["student"]
    else:
        given["weights"] = {"adversarial": 0.0, "matching": 0.0}
    clips = {"frames": 1, "size": 64, "batch_size": 1, "workers": 0, "degradation": "BicubicDown"}
    trainer = {"accelerator": "cpu", "default_root_dir": str(tmp_path / "run"), "limit_val_batches": 0, "logger": False}
    recipe = {
        "data": {"class_path": "DegradedClips", "init_args": clips},
        "model": {"class_path": "DualStreamDistillation", "init_args": {**given, **change, "roles": roles}},
        "trainer": {**trainer, "callbacks": [{"class_path": "Export"}, STOP]},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", str(tmp_path / "recipe.yaml")])
    assert stop.value.code == 1
    text = capsys.readouterr().err
    assert message in text.splitlines()[-1] and "Traceback" not in text
    assert not list((tmp_path / "run").rglob("*.safetensors"))
