"""Mixed precision on CPUs that have no instructions for it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from adc.ops.precision import Precision
from adc.progress import note
from adc.signals import is_first_process

MIXED = {"bf16-mixed": "bf16", "bf16": "bf16", "16-mixed": "fp16", "16": "fp16"}
"""Mixed precisions of Lightning's trainer, and what oneDNN calls their numbers."""
KINDS = {"bfloat16": "bf16", "float16": "fp16"}
FULL = "32-true"


def affordable(precision: Any, accelerator: Any) -> Any:
    """The precision to compute in: the one asked for, or float32 where a CPU would take tens of times as long.

    torch multiplies halves of numbers one by one where oneDNN has no kernels for them. On two cores with AVX2 alone, a
    step of ``recipes/demo/1_decoder.yaml`` takes more than 20 times as long in bf16-mixed as in float32.

    Args:
        precision: ``trainer.precision``.
        accelerator: ``trainer.accelerator``; ``auto`` is the CPU where there is no other.

    Returns:
        ``32-true``, which is noted, for a mixed precision on such a CPU; else what was given.
    """
    on_cpu = accelerator == "cpu" or (accelerator in (None, "auto") and not torch.accelerator.is_available())
    kind = MIXED.get(str(precision))
    if not on_cpu or kind is None or has_kernels(kind):
        return precision
    _note_fallback("trainer.precision", precision)
    return FULL


def affordable_on(device: torch.device, precision: Precision, key: str) -> Precision:
    """The same for what computes without a trainer.

    Args:
        device: Where it computes.
        precision: What was asked for.
        key: The recipe's key of it, for the note.

    Returns:
        ``float32``, which is noted, for less on a CPU that has no instructions for it; else what was given.
    """
    kind = KINDS.get(precision)
    if device.type != "cpu" or kind is None or has_kernels(kind):
        return precision
    _note_fallback(key, precision)
    return "float32"


def _note_fallback(key: str, precision: str) -> None:
    if is_first_process():
        note(f"{key}: {precision} would take tens of times as long on this CPU; computing in float32")


@cache
def has_kernels(kind: str) -> bool:
    """Whether oneDNN computes in ``bf16`` or ``fp16`` on this CPU; true where torch cannot say."""
    operator = getattr(torch.ops.mkldnn, f"_is_mkldnn_{kind}_supported", None)
    return True if operator is None else bool(operator())
