"""Targets of distilled denoisers: guidance in one forward, two steps in one."""

from __future__ import annotations

from torch import Tensor


def guided_velocity(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """``v_null + s (v_c - v_null)``: classifier-free guidance (Ho and Salimans, 2022).

    ``s = 1 + w`` for the weight ``w`` of ``(1 + w) v_c - w v_null``; 1 is the conditional velocity.
    """
    return unconditional + guidance_scale * (conditional - unconditional)
