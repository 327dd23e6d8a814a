"""Text embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from adc.interfaces.batch import Batch


class Prompt(nn.Module, ABC):
    """Embeddings of a text for each clip of a batch.

    A stage asks once per batch, without gradients, and gives the same embeddings to the teacher and
    to every discriminator.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The embeddings of a batch.

        Args:
            batch: Its ``text``, or a text of the prompt's own.

        Returns:
            ``(B, L, D)``, on the device of ``lr``.
        """
