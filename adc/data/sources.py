"""The clips that discriminators are shown besides the student's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Source
from adc.ops.clip import shuffled


class Real(Source):
    """The high-resolution clip itself."""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """``batch["hr"]``, ``(B, T, 3, H, W)``."""
        return batch["hr"]


class ShuffledFrames(Source):
    """The high-resolution clip with its frames out of order: every picture true, the motion false.

    Each clip gets a permutation of its own from torch's global generator, never the identity
    unless there is but one frame.
    """

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """``batch["hr"]`` with permuted frames, ``(B, T, 3, H, W)``."""
        return torch.stack([clip[shuffled(clip.shape[0]).to(clip.device)] for clip in batch["hr"]])
