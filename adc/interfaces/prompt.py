"""Text embeddings for teacher and discriminators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Prompt(nn.Module, ABC):
    """Embeddings of a text for each clip of a batch.

    A stage asks once per batch, without gradients, and gives the same embeddings to the teacher and
    to every discriminator that takes a prompt.
    """

    @abstractmethod
    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Embed.

        Args:
            batch: Keys ``lr``, ``hr``, ``name``, and ``text`` (one string per clip) where the data has captions.

        Returns:
            ``(B, L, D)``, on the device of ``lr``.
        """
