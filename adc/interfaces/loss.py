"""Losses of a stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A comparison of a prediction with a target in one domain.

    Attributes:
        extras: Libraries that it imports and adc does not install by itself, with the extra of adc that does; recipes
            are refused before anything is loaded where one is missing. Any component may have it.
    """

    extras: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        domain: Literal["feature", "pixel"] = "pixel",
        against: Literal["teacher", "real"] = "real",
        weight: float = 1.0,
    ) -> None:
        """
        Args:
            domain: The view that is compared: features or pixels.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.
        """
        super().__init__()
        self.domain: Literal["feature", "pixel"] = domain
        self.against: Literal["teacher", "real"] = against
        self.weight = weight

    @abstractmethod
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean loss, a scalar, of two ``(B, T, C, H, W)`` views; not yet weighted."""

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each clip, ``(B,)``, whose mean is the loss of the batch; one clip after the other by default."""
        each = range(len(prediction))
        return torch.stack([self(prediction[i : i + 1], target[i : i + 1]) for i in each])
