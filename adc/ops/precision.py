"""The precision in which a part of a computation runs, whatever the autocast around it says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Context in which layers with float32 weights compute in a precision.

    ``float32`` turns an autocast off: what is computed there, and its gradients, are those of a run without one, once
    the inputs are float32. The others are an autocast to that type.

    Args:
        precision: What layers compute in.
        device: Where they compute.

    Raises:
        ValueError: If the device has no autocast to that type.
    """
    if not torch.amp.is_autocast_available(device.type):
        if precision == "float32":
            return nullcontext()
        raise ValueError(f"precision: {precision}: torch has no autocast on {device.type}; take float32.")
    if precision == "float32":
        return torch.autocast(device.type, enabled=False)
    # Without the cache: an autocast around this one may have put copies of weights in its own type there.
    return torch.autocast(device.type, getattr(torch, precision), cache_enabled=False)
