"""DUO-VSR's formulas against outputs of published code, and how far each is off when it is broken."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from adc.ops import dmd, flow, gan, preference, targets

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
FILES = ("dmd_given", "flow_targets", "flow_dpo", "hinge_matching")


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import check_golden

        yield check_golden
    finally:
        sys.path.remove(str(ROOT / "tools"))


def failed(tool, file):
    found = tool.check(GOLDEN / f"{file}.safetensors", lambda line: None)
    return {name: entry["deviation"] for name, entry in found["deviations"].items() if not entry["passed"]}


@pytest.mark.parametrize("file", FILES)
def test_published_numbers(tool, file):
    assert failed(tool, file) == {}


def test_every_number_of_a_file_with_a_tolerance_is_computed(tool):
    for file in FILES:
        facts = json.loads((GOLDEN / f"{file}.json").read_text())
        computed = tool.check(GOLDEN / f"{file}.safetensors", lambda line: None)["deviations"]
        bare = {name.split("_", 2 if name.startswith("pd4_shift5") else 1)[-1] for name in computed if name[:2] == "pd"}
        assert set(facts["tolerances"]) - {"measure"} <= set(computed) | bare


def whole_batch(sample, real, fake, guard=1e-6):
    return (fake - real) / ((sample - real).abs().mean() + guard)


def once(velocity, z_t, t, middle, end):
    slope = velocity(z_t, t)
    half = flow.euler_step(z_t, slope, t, middle)
    return (z_t - flow.euler_step(half, slope, middle, end)) / flow.per_clip(t - end, z_t)


def first_time(velocity, z_t, t, middle, end):
    half = flow.euler_step(z_t, velocity(z_t, t), t, middle)
    return (z_t - flow.euler_step(half, velocity(half, t), middle, end)) / flow.per_clip(t - end, z_t)


guided, margin = targets.guided_velocity, preference.preference_margin
BROKEN = {
    "normaliser over the batch": ("dmd_given", dmd, "dmd_direction", whole_batch, "direction", 0.01),
    "sign of the direction": (
        "dmd_given", dmd, "dmd_direction", lambda s, r, f: whole_batch(s, f, r) , "direction", 1.0),
    "no one half": (
        "dmd_given", dmd, "dmd_loss", lambda s, d: F.mse_loss(s, s.detach() - d), "loss", 0.9),
    "sum for mean": (
        "dmd_given", dmd, "dmd_loss", lambda s, d: 0.5 * (s - (s.detach() - d)).square().sum(), "gradient", 1e-3),
    "1 - t": ("dmd_given", flow, "add_noise", lambda c, n, t: flow.per_clip(t, c) * c + flow.per_clip(1 - t, c) * n,
              "z_t", 0.1),
    "x0 with a plus": (
        "dmd_given", flow, "clean_from_velocity", lambda z, v, t: z + flow.per_clip(t, z) * v, "x_real", 0.1),
    "the misprint of guidance": (
        "flow_targets", targets, "guided_velocity", lambda c, n, s: s * c - n, "v_guided", 5.0),
    "w for s": ("flow_targets", targets, "guided_velocity", lambda c, n, s: guided(c, n, s - 1), "v_guided", 1.0),
    "sign of the velocity": ("flow_targets", flow, "velocity_of", lambda c, n: c - n, "loss_flow", 0.01),
    "second velocity at the first point": (
        "flow_targets", targets, "halving_target", once, "pd2_v_target", 0.01),
    "second velocity at the first time": (
        "flow_targets", targets, "halving_target", first_time, "pd2_v_target", 0.01),
    "no weight of the state": (
        "flow_targets", targets, "halving_loss", lambda v, w, t, e, s: targets.clip_mean((v - w).square()),
        "pd8_loss_state", 0.5),
    "mean inside the log sigmoid": (
        "flow_dpo", preference, "dpo_loss", lambda m: -F.logsigmoid(m.mean()), "loss", 1e-3),
    "no one half of beta": (
        "flow_dpo", preference, "preference_margin", lambda *given: 2 * margin(*given), "inside", 0.01),
    "chosen and rejected swapped": (
        "flow_dpo", preference, "preference_margin", lambda w, x, a, b, beta: margin(x, w, b, a, beta), "inside", 0.01),
    "sum of a clip for its mean": (
        "flow_dpo", targets, "clip_mean", lambda v: v.flatten(1).sum(1), "error", 1.0),
    "half a hinge": (
        "hinge_matching", gan, "discriminator_loss", lambda x, y, f: 0.5 * F.relu(1 - y * x).mean(),
        "hinge_discriminator", 0.4),
    "hinge for the generator": (
        "hinge_matching", gan, "generator_loss", lambda x, f: F.relu(1 - x).mean(), "hinge_student", 0.1),
    "matching summed over taps": (
        "hinge_matching", gan, "feature_matching",
        lambda a, b, norm: [F.mse_loss(x, y) * len(a) for x, y in zip(a, b, strict=True)], "matching_l2", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_formula_is_found(tool, monkeypatch, case):
    file, module, name, broken, tensor, least = BROKEN[case]
    monkeypatch.setattr(module, name, broken)
    assert failed(tool, file)[tensor] > least


def test_files_of_other_shapes(tool, tmp_path):
    """Another number of clips, channels and frames; what is expected is written down anew from the same numbers."""
    golden = load_file(GOLDEN / "dmd_given.safetensors")
    clips = {name: tensor[:2, :4, :1, :4, :5] if tensor.dim() == 5 else tensor[:2] for name, tensor in golden.items()
             if name in ("student", "noise", "t", "v_real", "v_null", "v_fake")}  # fmt: skip
    t = clips["t"].view(-1, 1, 1, 1, 1)
    clips["z_t"] = (1 - t) * clips["student"] + t * clips["noise"]
    for name, velocity in (
        ("x_real", clips["v_real"]),
        ("x_fake", clips["v_fake"]),
        ("x_real_guided", clips["v_null"] + 2.0 * (clips["v_real"] - clips["v_null"])),
    ):
        clips[name] = clips["z_t"] - t * velocity
    for end in ("", "_guided"):
        real = clips[f"x_real{end}"]
        direction = (clips["x_fake"] - real) / (clips["student"] - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
        clips[f"direction{end}"], clips[f"gradient{end}"] = direction, direction / direction.numel()
        clips[f"loss{end}"] = 0.5 * direction.square().mean()
    clips["loss_fake_velocity"] = (clips["v_fake"] - (clips["noise"] - clips["student"])).square().mean()
    clips["loss_fake_clean"] = (clips["x_fake"] - clips["student"]).square().mean()
    facts = json.loads((GOLDEN / "dmd_given.json").read_text())
    save_file({name: tensor.contiguous() for name, tensor in clips.items()}, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text(json.dumps({**facts, "guidance_scale": 2.0}))
    assert tool.check(tmp_path / "other.safetensors", lambda line: None)["passed"]
    assert torch.isfinite(clips["loss"])
