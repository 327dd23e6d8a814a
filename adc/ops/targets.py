"""Targets of distilled denoisers: guidance in one forward, two steps in one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from adc.ops.flow import euler_step, per_clip
from adc.ops.sampling import Velocity


def clip_mean(values: Tensor) -> Tensor:
    """The mean over everything but the batch: ``(B,)``, in float32."""
    return values.float().flatten(1).mean(dim=1)


def guided_velocity(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """``v_null + s (v_c - v_null)``: classifier-free guidance (Ho and Salimans, 2022).

    ``s = 1 + w`` for the weight ``w`` of ``(1 + w) v_c - w v_null``; 1 is the conditional velocity.
    """
    if guidance_scale == 1:
        return conditional
    return unconditional + guidance_scale * (conditional - unconditional)


def halving_target(velocity: Velocity, z_t: Tensor, t: Tensor, middle: Tensor, end: Tensor) -> Tensor:
    """``v* = (z_t - z'') / (t - t'')``: the velocity of one step that arrives where two of the teacher do.

    The target of progressive distillation (Salimans and Ho, 2022), whose steps of DDIM are Euler steps here.

    Args:
        velocity: The teacher's.
        z_t: Noisy latents ``(B, ...)``.
        t: Times ``(B,)``.
        middle: Times ``t'`` between the teacher's two steps, ``(B,)``.
        end: Times ``t''`` after both, ``(B,)``, below ``t``.
    """
    half = euler_step(z_t, velocity(z_t, t), t, middle)
    whole = euler_step(half, velocity(half, middle), middle, end)
    return (z_t - whole) / per_clip(t - end, z_t)


def halving_loss(
    velocity: Tensor, target: Tensor, t: Tensor, end: Tensor, space: Literal["state", "velocity"] = "state"
) -> Tensor:
    """The loss of each clip, ``(B,)``: ``|v - v*|^2``, or ``(t - t'')^2`` times that, the error of the state.

    Args:
        velocity: The student's.
        target: What `halving_target` made.
        t: Times ``(B,)``.
        end: Times after the step, ``(B,)``.
        space: ``state`` is DUO-VSR's (Lv et al., 2026); it weighs a round of N even steps by ``1 / N^2``.
    """
    error = clip_mean((velocity - target).square())
    return error if space == "velocity" else (t - end).float().square() * error
