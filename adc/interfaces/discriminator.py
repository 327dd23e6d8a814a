"""Networks that classify clips, by one head or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Discriminator(nn.Module, ABC):
    """Logits for views of clips.

    Attributes:
        domain: The view it judges: ``"pixel"``, ``"feature"`` or ``"score"``.
        heads: The names of its judgements.
        takes_prompt: Whether `forward` takes the keyword ``prompt``, the embeddings that a `Prompt`
            made of the batch that the view belongs to.
    """

    domain: str
    heads: tuple[str, ...]
    takes_prompt: bool = False

    @abstractmethod
    def forward(self, view: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits of a view.

        Args:
            view: ``(B, T, C, h, w)``: pixels in ``[-1, 1]`` or features; in the domain
                ``score`` the list of taps of the score models.

        Returns:
            For each head its logits, of any shape; larger is more real.
        """
