"""An opinion that needs no training."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import Scorer


class TinyScorer(Scorer):
    """Sharpness: the mean absolute difference of neighbouring pixels."""

    def forward(self, clip: Tensor) -> Tensor:
        """``(B,)``, from 0 for a flat clip to 2."""
        along = clip.diff(dim=-1).abs().mean(dim=(1, 2, 3, 4))
        down = clip.diff(dim=-2).abs().mean(dim=(1, 2, 3, 4))
        return (along + down) / 2
