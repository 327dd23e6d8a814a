"""DUO-VSR's formulas on given numbers: what the golden files of published code hold, by `adc.ops`.

Four layouts, told by the tensors ``direction`` (DMD2), ``v_guided`` (guidance and halving targets), ``inside``
(preferences) and ``hinge_student`` (adversarial losses); each JSON has the tolerances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.ops import dmd, flow, gan, preference, targets

Golden = dict[str, Tensor]
Computed = Iterator[tuple[str, Any]]


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off: the JSON's numbers, of the largest difference or ``relative``."""
    held = {name: entry for name, entry in facts["tolerances"].items() if name != "measure"}
    found = {}
    for name, entry in held.items():
        relative = isinstance(entry, str)
        number = float(entry.split()[-1]) if relative else float(entry)
        found[name] = ("relative difference" if relative else facts["tolerances"]["measure"], number)
    cases = facts.get("progressive", {})
    return found | {f"{case}_{name}": found[name] for case in cases for name in found}


def computed(golden: Golden, facts: dict[str, Any], home: Path, say: Any) -> Computed:
    """Everything that a golden file holds, name by name."""
    layouts: dict[str, Callable[[Golden, dict[str, Any]], Computed]] = {
        "direction": _matching_distributions,
        "v_guided": _flow_targets,
        "inside": _preferences,
        "hinge_student": _adversarial,
    }
    for tensor, compute in layouts.items():
        if tensor in golden:
            yield from compute(golden, facts)


def _matching_distributions(golden: Golden, facts: dict[str, Any]) -> Computed:
    student, noise, t = (golden[name] for name in ("student", "noise", "t"))
    z_t = flow.add_noise(student, noise, t)
    yield "z_t", z_t
    guided = targets.guided_velocity(golden["v_real"], golden["v_null"], facts["guidance_scale"])
    fake = flow.clean_from_velocity(z_t, golden["v_fake"], t)
    yield "x_fake", fake
    for end, velocity in (("", golden["v_real"]), ("_guided", guided)):
        real = flow.clean_from_velocity(z_t, velocity, t)
        yield f"x_real{end}", real
        direction = dmd.dmd_direction(student, real, fake)
        yield f"direction{end}", direction
        sample = student.clone().requires_grad_()
        loss = dmd.dmd_loss(sample, direction)
        yield f"loss{end}", loss
        yield f"gradient{end}", torch.autograd.grad(loss, sample)[0]
    yield "loss_fake_velocity", F.mse_loss(golden["v_fake"], flow.velocity_of(student, noise))
    yield "loss_fake_clean", F.mse_loss(fake, student)


def _flow_targets(golden: Golden, facts: dict[str, Any]) -> Computed:
    clean, noise = golden["clean"], golden["noise"]
    yield "loss_flow", F.mse_loss(golden["v_student"], flow.velocity_of(clean, noise))
    guided = targets.guided_velocity(golden["v_cond"], golden["v_null"], facts["guidance_scale"])
    yield "v_guided", guided
    yield "loss_guidance", F.mse_loss(golden["v_student"], guided)
    for case, about in facts["progressive"].items():
        yield from _halving(golden, case, about)


def _halving(golden: Golden, case: str, about: dict[str, Any]) -> Computed:
    t, middle, end, z_t = (golden[f"{case}_{name}"] for name in ("t", "t_mid", "t_end", "z_t"))
    grid = flow.time_grid(2 * about["student_steps"], about["shift"])
    places = torch.stack([(grid - one).abs().argmin() for one in t])
    for given, steps in ((t, 0), (middle, 1), (end, 2)):
        torch.testing.assert_close(grid[places - steps], given.float(), rtol=0, atol=1e-6)

    def velocity(share: float, more: float) -> Callable[[Tensor, Tensor], Tensor]:
        tilt = (golden["tilt"] + more).reshape(1, -1, 1, 1, 1)
        mix = share * golden["mix"]
        return lambda z, time: torch.tanh(torch.einsum("oc,bcthw->bothw", mix, z) + tilt * flow.per_clip(time, z))

    target = targets.halving_target(velocity(1.0, 0.0), z_t, t, middle, end)
    yield f"{case}_v_target", target
    yield f"{case}_z_end", flow.euler_step(z_t, target, t, end)
    yield f"{case}_x_target", flow.clean_from_velocity(z_t, target, t)
    own = velocity(0.7, 0.3)(z_t, t)
    difference = flow.clean_from_velocity(z_t, own, t) - flow.clean_from_velocity(z_t, target, t)
    yield f"{case}_x_mse", targets.clip_mean(difference.square())
    for space in ("velocity", "state"):
        yield f"{case}_loss_{space}", targets.halving_loss(own, target, t, end, space).mean()


def _preferences(golden: Golden, facts: dict[str, Any]) -> Computed:
    clean = torch.cat([golden["chosen"], golden["rejected"]])
    noise, t = golden["noise"].repeat(2, 1, 1, 1, 1), golden["t"].repeat(2)
    yield "z_t", flow.add_noise(clean, noise, t)
    target = flow.velocity_of(clean, noise)
    yield "target", target
    velocity = golden["velocity"].clone().requires_grad_()
    error = targets.clip_mean((velocity - target).square())
    reference = targets.clip_mean((golden["velocity_reference"] - target).square())
    yield "error", error
    inside = preference.preference_margin(*error.chunk(2), *reference.chunk(2), facts["beta"])
    yield "inside", inside
    loss = preference.dpo_loss(inside)
    anchored = loss + error.chunk(2)[0].mean()
    for end, value in (("", loss), ("_with_anchor", anchored)):
        yield f"loss{end}", value
        yield f"gradient{end}", torch.autograd.grad(value, velocity, retain_graph=True)[0]


def _adversarial(golden: Golden, facts: dict[str, Any]) -> Computed:
    real, fake = (golden[name].clone().requires_grad_() for name in ("logits_real", "logits_fake"))
    loss = gan.discriminator_loss(real, 1, "hinge") + gan.discriminator_loss(fake, -1, "hinge")
    yield "hinge_discriminator", loss
    yield from zip(("gradient_real", "gradient_fake"), torch.autograd.grad(loss, (real, fake)), strict=True)
    for form, name in (("hinge", "hinge_student"), ("non_saturating", "softplus_student")):
        yield name, gan.generator_loss(fake, form)
    yield "gradient_student", torch.autograd.grad(gan.generator_loss(fake, "hinge"), fake)[0]
    ours = [name for name in sorted(golden) if re.fullmatch(r"(real|fake)_score_student_\d+", name)]
    taps = {name: golden[name].clone().requires_grad_() for name in ours}
    truths = [golden[name.replace("student", "truth")] for name in ours]
    for norm in ("l2", "l1"):
        matching = torch.stack(gan.feature_matching(list(taps.values()), truths, norm)).mean()
        yield f"matching_{norm}", matching
        if norm == "l2":
            yield "gradient_matching_l2", torch.autograd.grad(matching, taps["fake_score_student_1"])[0]
