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


NEIGHBOURS = {
    "loss_fastgen": "loss",
    "loss_fastgen_guided": "loss",
    "gradient_fastgen": "gradient",
    "error_reference": "error",
    "loss_diffusion_dpo": "loss",
    "hinge_real": "hinge_discriminator",
    "hinge_fake": "hinge_discriminator",
    "softplus_real": "softplus_student",
    "softplus_fake": "softplus_student",
}
"""Outputs that the JSON gives no tolerance for, and the one whose tolerance they take."""

EXACT = {"z_t": 1e-6, "t": 1e-6, "t_mid": 1e-6, "t_end": 1e-6, "implicit_accuracy": 1e-6}
"""Others, and the largest difference: sums of two products, times, and a count."""

NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?", re.IGNORECASE)


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off: the JSON's numbers, of the largest difference or, in words, ``relative``."""
    given = dict(facts["tolerances"])
    usual = _tolerance(f"{given.pop('measure', '')} 0")[0]
    found = {name: ("largest difference", number) for name, number in EXACT.items()}
    found |= {name: _tolerance(entry, usual) for name, entry in given.items()}
    found |= {name: found[like] for name, like in NEIGHBOURS.items() if like in found and name not in found}
    return found | {f"{case}_{name}": found[name] for case in facts.get("progressive", {}) for name in found}


def _tolerance(entry: float | str, usual: str = "largest difference") -> tuple[str, float]:
    if not isinstance(entry, str):
        return usual, float(entry)
    number = NUMBER.search(entry)
    if number is None:
        raise ValueError(f"tolerances: {entry!r}; a number, or one beside the word relative.")
    return "relative difference" if "relative" in entry.lower() else usual, float(number[0])


def computed(golden: Golden, facts: dict[str, Any], home: Path, say: Any) -> Computed:
    """Everything that a golden file holds, name by name; what has no tolerance of its own may be missing."""
    layouts: dict[str, Callable[[Golden, dict[str, Any]], Computed]] = {
        "direction": _matching_distributions,
        "v_guided": _flow_targets,
        "inside": _preferences,
        "hinge_student": _adversarial,
    }
    for tensor, compute in layouts.items():
        if tensor in golden:
            for name, value in compute(golden, facts):
                if name in golden or name not in NEIGHBOURS | EXACT:
                    yield name, value


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
        gradient = torch.autograd.grad(loss, sample)[0]
        yield from ((f"loss{end}", loss), (f"loss_fastgen{end}", loss), (f"gradient{end}", gradient))
        if not end:
            yield "gradient_fastgen", gradient
    yield "loss_fake_velocity", F.mse_loss(golden["v_fake"], flow.velocity_of(student, noise))
    yield "loss_fake_clean", F.mse_loss(fake, student)


def _flow_targets(golden: Golden, facts: dict[str, Any]) -> Computed:
    clean, noise = golden["clean"], golden["noise"]
    yield "z_t", flow.add_noise(clean, noise, golden["t"])
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
    for name, steps in (("t", 0), ("t_mid", 1), ("t_end", 2)):
        yield f"{case}_{name}", grid[places - steps]
    yield f"{case}_z_t", flow.add_noise(golden["clean"], golden["noise"], t)

    z_t = z_t.double()  # as the file was computed: in float32 a short step loses digits in its velocity

    def velocity(share: float, more: float) -> Callable[[Tensor, Tensor], Tensor]:
        tilt = (golden["tilt"].double() + more).reshape(1, -1, 1, 1, 1)
        mix = share * golden["mix"].double()
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
    yield "error_reference", reference
    (chosen, rejected), (chosen_reference, rejected_reference) = error.chunk(2), reference.chunk(2)
    inside = preference.preference_margin(chosen, rejected, chosen_reference, rejected_reference, facts["beta"])
    yield "inside", inside
    yield "implicit_accuracy", (inside > 0).float().mean()
    loss = preference.dpo_loss(inside)
    yield "loss_diffusion_dpo", loss
    anchored = loss + chosen.mean()
    for end, value in (("", loss), ("_with_anchor", anchored)):
        yield f"loss{end}", value
        yield f"gradient{end}", torch.autograd.grad(value, velocity, retain_graph=True)[0]


def _adversarial(golden: Golden, facts: dict[str, Any]) -> Computed:
    real, fake = (golden[name].clone().requires_grad_() for name in ("logits_real", "logits_fake"))
    forms: dict[str, gan.Form] = {"hinge": "hinge", "softplus": "non_saturating"}
    for name, form in forms.items():
        yield f"{name}_real", gan.discriminator_loss(real, 1, form)
        yield f"{name}_fake", gan.discriminator_loss(fake, -1, form)
        yield f"{name}_student", gan.generator_loss(fake, form)
    loss = gan.discriminator_loss(real, 1, "hinge") + gan.discriminator_loss(fake, -1, "hinge")
    yield "hinge_discriminator", loss
    yield from zip(("gradient_real", "gradient_fake"), torch.autograd.grad(loss, (real, fake)), strict=True)
    yield "gradient_student", torch.autograd.grad(gan.generator_loss(fake, "hinge"), fake)[0]
    ours = [name for name in sorted(golden) if re.fullmatch(r"(real|fake)_score_student_\d+", name)]
    taps = {name: golden[name].clone().requires_grad_() for name in ours}
    truths = [golden[name.replace("student", "truth")] for name in ours]
    for norm in ("l2", "l1"):
        matching = torch.stack(gan.feature_matching(list(taps.values()), truths, norm)).mean()
        yield f"matching_{norm}", matching
        if norm == "l2":
            tap = taps.get("fake_score_student_1", taps["fake_score_student_0"])
            yield "gradient_matching_l2", torch.autograd.grad(matching, tap)[0]
