"""Element-wise distances, in any domain."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from adc.interfaces import Loss


class L1(Loss):
    """Mean absolute difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``mean |p - t|``."""
        return (prediction.float() - target.float()).abs().mean()


class MSE(Loss):
    """Mean squared difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``mean (p - t)^2``."""
        return (prediction.float() - target.float()).square().mean()


class Charbonnier(Loss):
    """A smooth absolute difference (Lai et al., 2017)."""

    def __init__(
        self,
        domain: Literal["feature", "pixel"] = "pixel",
        against: Literal["teacher", "real"] = "real",
        weight: float = 1.0,
        epsilon: float = 1e-3,
    ) -> None:
        """
        Args:
            domain: The view that is compared: features or pixels.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.
            epsilon: Differences far below it are squared, far above it absolute.
        """
        super().__init__(domain, against, weight)
        self.epsilon = epsilon

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``mean sqrt((p - t)^2 + epsilon^2)``."""
        return torch.sqrt((prediction.float() - target.float()).square() + self.epsilon**2).mean()
