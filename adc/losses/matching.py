"""Distance in a frozen feature space."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from adc.interfaces import FeatureSpace, Loss


class FeatureMatching(Loss):
    """Mean absolute difference in a frozen feature space.

    A perceptual loss that needs no downloaded weights: give it a codec's own space.
    """

    def __init__(self, space: FeatureSpace, against: Literal["teacher", "real"] = "real", weight: float = 1.0) -> None:
        """
        Args:
            space: Where pixels are compared.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.
        """
        super().__init__("pixel", against, weight)
        self.space = space.requires_grad_(False).eval()

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``mean |embed(p) - embed(t)|``; gradients reach the prediction through the space."""
        return (self.space.embed(prediction).float() - self.space.embed(target).float()).abs().mean()
