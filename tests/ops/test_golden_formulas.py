"""DUO-VSR's formulas against outputs of published code, and how far each is off when it is broken."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import tensor

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


@pytest.mark.parametrize("file", FILES)
def test_a_tensor_that_nothing_knows_fails(tool, tmp_path, file, capsys):
    golden = load_file(GOLDEN / f"{file}.safetensors")
    (tmp_path / "a.json").write_text((GOLDEN / f"{file}.json").read_text())
    for extra in ([], ["extra"]):
        save_file(golden | {name: torch.ones(2) for name in extra}, tmp_path / "a.safetensors")
        assert tool.main([str(tmp_path / "a.safetensors")]) == len(extra)
        assert json.loads(capsys.readouterr().out)["unknown"] == extra


GIVEN = {
    "dmd_given": {"student", "noise", "t", "v_real", "v_null", "v_fake"},
    "flow_targets": {"clean", "noise", "t", "v_student", "v_cond", "v_null", "mix", "tilt"},
    "flow_dpo": {"chosen", "rejected", "noise", "t", "velocity", "velocity_reference"},
    "hinge_matching": {"logits_real", "logits_fake"}
    | {f"{score}_score_{whose}_{tap}" for score in ("real", "fake") for whose in ("student", "truth") for tap in "012"},
}


@pytest.mark.parametrize("file", FILES)
def test_everything_in_a_file_but_its_inputs_is_computed(tool, file):
    computed = tool.check(GOLDEN / f"{file}.safetensors", lambda line: None)["deviations"]
    assert set(computed) == set(load_file(GOLDEN / f"{file}.safetensors")) - GIVEN[file]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (2e-5, ("largest difference", 2e-5)),
        ("relative 1e-5", ("relative difference", 1e-5)),
        ("Relative: 1e-5.", ("relative difference", 1e-5)),
        ("1e-5 (relative)", ("relative difference", 1e-5)),
        ("2.5e-04", ("largest difference", 2.5e-4)),
        ("relative 0.01", ("relative difference", 0.01)),
    ],
)
def test_tolerances_in_words(tool, entry, expected):
    import _golden_formulas

    facts = {"tolerances": {"measure": "largest difference", "loss": entry}, "progressive": {"pd3": {}}}
    found = _golden_formulas.tolerances(facts)
    assert found["loss"] == found["pd3_loss"] == found["loss_fastgen"] == expected
    facts["tolerances"]["loss"] = "relative"
    with pytest.raises(ValueError, match="tolerances: 'relative'"):
        _golden_formulas.tolerances(facts)


def whole_batch(sample, real, fake, guard=1e-6):
    return (fake - real) / ((sample - real).abs().mean() + guard)


def once(velocity, z_t, t, middle, end):
    slope = velocity(z_t, t)
    half = flow.euler_step(z_t, slope, t, middle)
    return (z_t - flow.euler_step(half, slope, middle, end)) / flow.per_clip(t - end, z_t)


def first_time(velocity, z_t, t, middle, end):
    half = flow.euler_step(z_t, velocity(z_t, t), t, middle)
    return (z_t - flow.euler_step(half, velocity(half, t), middle, end)) / flow.per_clip(t - end, z_t)


guided, margin, direction = targets.guided_velocity, preference.preference_margin, dmd.dmd_direction
adversarial, generator, matching = gan.discriminator_loss, gan.generator_loss, gan.feature_matching
BROKEN = {
    "normaliser over the batch": ("dmd_given", dmd, "dmd_direction", whole_batch, "direction", 0.01),
    "sign of the direction": (
        "dmd_given", dmd, "dmd_direction", lambda s, r, f: -direction(s, r, f), "direction", 1.0),
    "normaliser from the fake score": (
        "dmd_given", dmd, "dmd_direction", lambda s, r, f: -direction(s, f, r), "direction", 0.01),
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
    "sign of the margin": (
        "flow_dpo", preference, "preference_margin", lambda *given: -margin(*given), "loss", 1e-3),
    "no reference": (
        "flow_dpo", preference, "preference_margin", lambda w, x, a, b, beta: margin(w, x, 0 * a, 0 * b, beta),
        "inside", 0.01),
    "sum of pairs for their mean": (
        "flow_dpo", preference, "dpo_loss", lambda m: -F.logsigmoid(m).sum(), "gradient", 1e-6),
    "sum of a clip for its mean": (
        "flow_dpo", targets, "clip_mean", lambda v: v.flatten(1).sum(1), "error", 1.0),
    "half a hinge": (
        "hinge_matching", gan, "discriminator_loss", lambda x, y, f: 0.5 * F.relu(1 - y * x).mean(),
        "hinge_discriminator", 0.4),
    "labels swapped": (
        "hinge_matching", gan, "discriminator_loss", lambda x, y, f: adversarial(x, -y, f), "hinge_discriminator",
        0.01),
    "sign of the generator": (
        "hinge_matching", gan, "generator_loss", lambda x, f: generator(-x, f), "gradient_student", 1e-3),
    "hinge for the generator": (
        "hinge_matching", gan, "generator_loss", lambda x, f: F.relu(1 - x).mean(), "hinge_student", 0.1),
    "squares for absolute values": (
        "hinge_matching", gan, "feature_matching", lambda a, b, norm: matching(a, b, "l2"), "matching_l1", 0.01),
    "matching summed over taps": (
        "hinge_matching", gan, "feature_matching",
        lambda a, b, norm: [F.mse_loss(x, y) * len(a) for x, y in zip(a, b, strict=True)], "matching_l2", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_formula_is_found(tool, monkeypatch, case):
    file, module, name, broken, figure, least = BROKEN[case]
    monkeypatch.setattr(module, name, broken)
    assert failed(tool, file)[figure] > least


def passes(tool, folder, file, tensors, **changed):
    facts = json.loads((GOLDEN / f"{file}.json").read_text())
    save_file({name: value.detach().float().contiguous() for name, value in tensors.items()}, folder / "o.safetensors")
    (folder / "o.json").write_text(json.dumps({**facts, **changed}))
    found = tool.check(folder / "o.safetensors", lambda line: None)["deviations"]
    assert {name: entry for name, entry in found.items() if not entry["passed"]} == {}
    return found


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_files_of_other_shapes(tool, tmp_path):
    """Another number of clips, channels and frames; what is expected is written down anew from the same numbers."""
    golden = load_file(GOLDEN / "dmd_given.safetensors")
    clips = {name: held[:2, :4, :1, :4, :5] if held.dim() == 5 else held[:2] for name, held in golden.items()
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
    passes(tool, tmp_path, "dmd_given", clips, guidance_scale=2.0)


@pytest.mark.parametrize(("steps", "shift"), [(3, 1.0), (16, 5.0)])
def test_flow_targets_of_other_shapes(tool, tmp_path, steps, shift):
    """Expected values by the coefficients of two steps, in float64: ``v* = a v_1 + (1 - a) v_2``."""
    torch.manual_seed(1)
    shape = (3, 5, 2, 7, 4)
    held = {name: normal(*shape) for name in ("clean", "noise", "v_student", "v_cond", "v_null")}
    held |= {"mix": normal(5, 5) / 5**0.5, "tilt": normal(5), "t": tensor([0.1, 0.7, 1.0])}
    held["loss_flow"] = (held["v_student"] - held["noise"] + held["clean"]).square().mean()
    held["v_guided"] = 2.5 * held["v_cond"] - 1.5 * held["v_null"]
    held["loss_guidance"] = (held["v_student"] - held["v_guided"]).square().mean()
    places = torch.tensor([1, steps // 2 + 1, steps]) * 2
    for name, back in (("t", 0), ("t_mid", 1), ("t_end", 2)):
        even = (places - back).double() / (2 * steps)
        held[f"case_{name}"] = shift * even / (1 + (shift - 1) * even)
    t, middle, end = (held[f"case_{name}"].view(-1, 1, 1, 1, 1) for name in ("t", "t_mid", "t_end"))
    z_t = (1 - t) * held["clean"] + t * held["noise"]

    def velocity(z, time, share=1.0, more=0.0):
        mixed = torch.einsum("oc,bcthw->bothw", share * held["mix"], z)
        return torch.tanh(mixed + (held["tilt"] + more).view(1, -1, 1, 1, 1) * time)

    first = velocity(z_t, t)
    second = velocity(z_t - (t - middle) * first, middle)
    target = (t - middle) / (t - end) * first + (middle - end) / (t - end) * second
    error = (velocity(z_t, t, 0.7, 0.3) - target).square().mean(dim=(1, 2, 3, 4))
    t, end = t.flatten(), end.flatten()
    outputs = {
        "z_t": z_t,
        "v_target": target,
        "z_end": z_t - (t - end).view(-1, 1, 1, 1, 1) * target,
        "x_target": z_t - t.view(-1, 1, 1, 1, 1) * target,
        "x_mse": t.square() * error,
        "loss_velocity": error.mean(),
        "loss_state": ((t - end).square() * error).mean(),
    }
    held |= {f"case_{name}": value for name, value in outputs.items()}
    case = {"case": {"student_steps": steps, "shift": shift}}
    found = passes(tool, tmp_path, "flow_targets", held, guidance_scale=2.5, w=1.5, progressive=case)
    assert {"case_v_target", "case_t_mid", "case_loss_state"} <= set(found)


def test_preferences_of_other_shapes(tool, tmp_path):
    """Gradients by hand: of a pair, ``beta sigmoid(-inside) (v - target) / (P n)``, minus that for the rejected."""
    torch.manual_seed(2)
    pairs, shape, beta = 5, (3, 1, 2, 7), 3.0
    held = {name: normal(pairs, *shape) for name in ("chosen", "rejected", "noise")} | {"t": torch.rand(pairs)}
    t, noise = held["t"].double().view(-1, 1, 1, 1, 1), held["noise"]
    held["z_t"] = torch.cat([(1 - t) * held[name] + t * noise for name in ("chosen", "rejected")])
    held["target"] = torch.cat([noise - held["chosen"], noise - held["rejected"]])
    for name in ("velocity", "velocity_reference"):
        held[name] = held["target"] + 0.5 * normal(2 * pairs, *shape)
    off = held["velocity"] - held["target"]
    error = off.square().mean(dim=(1, 2, 3, 4))
    reference = (held["velocity_reference"] - held["target"]).square().mean(dim=(1, 2, 3, 4))
    rise = error - reference
    inside = -beta / 2 * (rise[:pairs] - rise[pairs:])
    loss = torch.log1p(torch.exp(-inside)).mean()
    pull = (beta * torch.sigmoid(-inside) / pairs).repeat(2) * tensor([1.0] * pairs + [-1.0] * pairs)
    anchor = tensor([2.0 / pairs] * pairs + [0.0] * pairs)
    elements = off[0].numel()
    held |= {"error": error, "error_reference": reference, "inside": inside, "loss": loss}
    held |= {"loss_with_anchor": loss + error[:pairs].mean()}
    held["gradient"] = pull.view(-1, 1, 1, 1, 1) * off / elements
    held["gradient_with_anchor"] = (pull + anchor).view(-1, 1, 1, 1, 1) * off / elements
    held["implicit_accuracy"] = (inside > 0).double().mean()
    passes(tool, tmp_path, "flow_dpo", held, beta=beta)


@pytest.mark.parametrize("taps", [1, 4])
def test_adversarial_losses_of_other_shapes(tool, tmp_path, taps):
    torch.manual_seed(3)
    real, fake = normal(3, 1, 2, 3, 5), normal(3, 1, 2, 3, 5)
    held = {"logits_real": real, "logits_fake": fake}
    for tap in range(taps):
        for name in ("real_score_student", "fake_score_student", "real_score_truth", "fake_score_truth"):
            held[f"{name}_{tap}"] = normal(3, 30, 4 + tap)
    off = {f"{score}{tap}": held[f"{score}_score_student_{tap}"] - held[f"{score}_score_truth_{tap}"]
           for score in ("real", "fake") for tap in range(taps)}  # fmt: skip
    held["hinge_discriminator"] = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    held["gradient_real"] = -(real < 1).double() / real.numel()
    held["gradient_fake"] = (fake > -1).double() / fake.numel()
    held["hinge_student"] = -fake.mean()
    held["gradient_student"] = torch.full_like(fake, -1 / fake.numel())
    held["softplus_student"] = torch.log1p(torch.exp(-fake)).mean()
    held["matching_l2"] = torch.stack([value.square().mean() for value in off.values()]).mean()
    held["matching_l1"] = torch.stack([value.abs().mean() for value in off.values()]).mean()
    one = off["fake1" if taps > 1 else "fake0"]
    held["gradient_matching_l2"] = 2 * one / one.numel() / (2 * taps)
    passes(tool, tmp_path, "hinge_matching", held)
