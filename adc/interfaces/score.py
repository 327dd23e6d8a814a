"""Scores of clips, for preference refinement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from adc.interfaces.metric import Metric, WeightFile


class Scorer(nn.Module, Metric):
    """A metric without reference, higher is better, by which restored candidates are ranked."""

    higher_is_better = True
    needs_reference = False

    @abstractmethod
    def forward(self, clip: Tensor) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``, higher is better."""

    def rate(self, clip: Tensor, lr: Tensor) -> Tensor:
        """Rate candidates of LR clips: by `forward`, where a scorer does not compare them with LR.

        Args:
            clip: ``(B, T, 3, scale * h, scale * w)`` in ``[-1, 1]``.
            lr: The clips that they restore, ``(B, T, 3, h, w)``.

        Returns:
            ``(B,)``, higher is better.
        """
        return self(clip)

    def __call__(self, restored: Tensor, reference: Tensor | None = None) -> Tensor:
        """Rate clips by `forward`; a reference changes nothing."""
        return nn.Module.__call__(self, restored)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Move to a device, in evaluation mode."""
        self.to(device).eval()
