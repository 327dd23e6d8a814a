"""Contracts of `Denoiser` and `Conditioner`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adc.interfaces import Conditioner, Denoiser
from adc.testing import probe
from adc.testing.probe import require


def check_denoiser(
    denoiser: Denoiser,
    conditioner: Conditioner | None = None,
    channels: int | None = None,
    taps: Sequence[int] = (0,),
    size: int = 16,
    scale: int = 4,
) -> None:
    """Verify the text of `Denoiser`.

    Args:
        denoiser: What is checked.
        conditioner: Makes its latents and its condition; null leaves the condition empty.
        channels: Channels of its latents without a conditioner; null reads them off its first layer.
        taps: Blocks to tap.
        size: Side of the example batch's small clips, or of the latents without a conditioner.
        scale: How many times larger its large clips are.

    Raises:
        AssertionError: Names the first clause that is broken.
        ValueError: If the channels are not given and cannot be told.
    """
    name = probe.require_kind(denoiser, Denoiser)
    subject, device = f"{name}.forward", probe.device_of(denoiser)
    for clips, frames in probe.SIZES:
        if conditioner is None:
            width = channels if channels is not None else probe.first_width(denoiser)
            latent, condition = probe.example(clips, frames, width, size, size, device=device), {}
        else:
            batch = probe.example_batch(clips, frames, size, scale, device)
            with torch.no_grad():
                latent, condition = conditioner.clean(batch), conditioner.condition(batch)
        with probe.evaluating(denoiser):
            _check_velocity(subject, denoiser, latent, condition, taps)


def _check_velocity(
    subject: str, denoiser: Denoiser, latent: Tensor, condition: dict[str, Tensor], taps: Sequence[int]
) -> None:
    times = torch.linspace(0, 1, len(latent), device=latent.device)

    def velocity(z: Tensor) -> Tensor:
        return denoiser(z, times, condition)[0]

    with torch.no_grad():
        result = denoiser(latent, times, condition, taps)
        require(
            isinstance(result, tuple) and len(result) == 2,
            subject,
            "must return the velocity and the list of tapped features",
        )
        plain, features = velocity(latent), result[1]
        nothing = denoiser(latent, times, condition)[1]
    probe.check_clip(subject, result[0], tuple(latent.shape), latent)
    require(probe.close(plain, result[0]), subject, "taps must not change the velocity")
    require(len(nothing) == 0, subject, f"without taps there must be no features; got {len(nothing)}")
    require(
        len(features) == len(taps),
        subject,
        f"must return one feature for each of {len(taps)} taps; got {len(features)}",
    )
    for feature in features:
        probe.check_clip(f"{subject} (taps)", feature, (None,) * feature.ndim, latent)
    probe.check_steady(subject, velocity, latent)
    probe.check_input_gradient(subject, velocity, latent, "z_t")
    trainable = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    if trainable:
        probe.check_parameter_gradient(subject, lambda: velocity(latent), trainable, "the parameters")


def check_conditioner(conditioner: Conditioner, size: int = 16, scale: int = 4) -> None:
    """Verify the text of `Conditioner`.

    Args:
        conditioner: What is checked.
        size: Side of the example batch's small clips.
        scale: How many times larger its large clips are.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(conditioner, Conditioner)
    device = probe.device_of(conditioner)
    for clips, frames in probe.SIZES:
        batch, other = (probe.example_batch(clips, frames, size, scale, device, seed) for seed in (0, 1))
        with probe.evaluating(conditioner), torch.no_grad():
            clean = conditioner.clean(batch)
            full, null = conditioner.condition(batch), conditioner.condition(batch, null=True)
            null_of_other = conditioner.condition(other, null=True)
        probe.check_clip(f"{name}.clean", clean, (clips, frames, None, None, None), batch["hr"])
        subject = f"{name}.condition"
        for condition in (full, null):
            require(
                isinstance(condition, dict) and all(isinstance(value, Tensor) for value in condition.values()),
                subject,
                "must return tensors by name",
            )
        require(
            full.keys() == null.keys(), subject, f"null must keep the entries {', '.join(full)}; got {', '.join(null)}"
        )
        for key in full:
            same = full[key].shape == null[key].shape and torch.equal(full[key], null[key])
            text = torch.equal(null[key], null_of_other[key])
            require(
                same or text,
                subject,
                f"null must drop the text and nothing else; {key!r} changes and still depends on the clip",
            )
