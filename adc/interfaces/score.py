"""Opinions about clips, for preference refinement."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Scorer(nn.Module, ABC):
    """Rates clips without a reference."""

    @abstractmethod
    def forward(self, clip: Tensor) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``, higher is better."""
