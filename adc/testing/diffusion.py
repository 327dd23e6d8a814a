"""Contracts of `Denoiser` and `Conditioner`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Autoencoder, Conditioner, Denoiser
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
    depth = getattr(denoiser, "depth", None)
    fits = isinstance(depth, int) and depth > max(taps, default=0)
    require(fits, f"{name}.depth", f"must count the blocks to tap, more than {max(taps, default=0)}; got {depth!r}")
    subject, device = f"{name}.forward", probe.device_of(denoiser)
    for clips, frames in probe.SIZES:
        if conditioner is None:
            width = channels if channels is not None else probe.first_width(denoiser)
            latent, condition = probe.example(clips, frames, width, size, size, device=device), {}
        else:
            batch = probe.example_batch(clips, _legal(conditioner, frames), size, scale, device)
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
        probe.check_clip(f"{subject} (taps)", feature, (*latent.shape[:2], None, None, None), latent)
    probe.check_steady(subject, velocity, latent)
    probe.check_input_gradient(subject, velocity, latent, "z_t")
    trainable = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    if trainable:
        probe.check_gradient(subject, lambda: velocity(latent), trainable, "the parameters")
    _check_early_end(subject, denoiser, (latent, times, condition, taps), features)


def _check_early_end(subject: str, denoiser: Denoiser, arguments: tuple[Any, ...], features: list[Tensor]) -> None:
    with torch.no_grad():
        nothing, early = denoiser(*arguments, stop_early=True)
    require(nothing is None, subject, "with stop_early there must be no velocity, but None")
    same = len(early) == len(features) and all(probe.close(a, b) for a, b in zip(early, features, strict=True))
    require(same, subject, "stop_early must not change the features")


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
    autoencoder = getattr(conditioner, "autoencoder", None)
    require(isinstance(autoencoder, Autoencoder), f"{name}.autoencoder", f"must be an Autoencoder; got {autoencoder!r}")
    require(getattr(conditioner, "scale", None) == scale, f"{name}.scale", f"must be {scale}, as the example batch is")
    device = probe.device_of(conditioner)
    for clips, frames in probe.SIZES:
        legal = _legal(conditioner, frames)
        batch, other = (probe.example_batch(clips, legal, size, scale, device, seed) for seed in (0, 1))
        with probe.evaluating(conditioner), torch.no_grad():
            clean = conditioner.clean(batch)
            full, other_full = conditioner.condition(batch), conditioner.condition(other)
            _check_condition(f"{name}.condition", full)
            kept = {key: value.clone() for key, value in full.items()}
            null, null_of_other = conditioner.unconditional(full), conditioner.unconditional(other_full)
        probe.check_clip(f"{name}.clean", clean, (clips, None, None, None, None), batch["hr"])
        require("lr" in full, f"{name}.condition", f"must return lr, the latents of LR; got {', '.join(full)}")
        probe.check_clip(f"{name}.condition, lr", full["lr"], tuple(clean.shape), clean)
        subject = f"{name}.unconditional"
        _check_condition(subject, null)
        require(full.keys() == null.keys(), subject, f"must keep the entries {', '.join(full)}; got {', '.join(null)}")
        for key in full:
            require(torch.equal(full[key], kept[key]), subject, f"must leave the condition as it is; {key!r} changes")
            same = full[key].shape == null[key].shape and torch.equal(full[key], null[key])
            text = torch.equal(null[key], null_of_other[key])
            require(
                same or text,
                subject,
                f"must change the text and nothing else; {key!r} changes and still depends on the clip",
            )


def _legal(conditioner: Conditioner, frames: int) -> int:
    """A length that the autoencoder takes: as many of its steps after the first frame as frames were asked for."""
    return 1 + (frames - 1) * conditioner.autoencoder.strides[0]


def _check_condition(subject: str, condition: Any) -> None:
    tensors = isinstance(condition, dict) and all(isinstance(value, Tensor) for value in condition.values())
    require(tensors, subject, "must return tensors by name")
