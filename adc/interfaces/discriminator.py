"""Discriminators of clips and of the features of score networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Discriminator(nn.Module, ABC):
    """A network that gives logits for views of clips, one or more heads of them.

    Attributes:
        domain: The view that it takes: ``"pixel"`` or ``"feature"``.
        heads: The names of its heads; heads of one name share their labels in a stage.
    """

    domain: str
    heads: tuple[str, ...]

    @abstractmethod
    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Logits of a view.

        Args:
            view: ``(B, T, C, h, w)``: pixels in ``[-1, 1]`` or features.
            condition: Embeddings ``(B, L, D)`` that a `Prompt` made of the batch of the view; null is the
                discriminator's own. One without text takes it and leaves it alone.

        Returns:
            For each head its logits, of any shape; larger is more real.
        """


class ScoreDiscriminator(nn.Module, ABC):
    """A network that gives logits for the features of two score networks, as in GANs beside distribution matching.

    Attributes:
        heads: The names of its heads.
        widths: Channels of the features of each score network, ``{"real": ..., "fake": ...}``; they may differ.
        taps: Features that it takes of each network.
    """

    heads: tuple[str, ...]
    widths: Mapping[str, int]
    taps: int

    @abstractmethod
    def forward(self, features: Mapping[str, Sequence[Tensor]], t: Tensor) -> dict[str, Tensor]:
        """Logits of a noisy latent, by what two score networks make of it.

        Args:
            features: For ``real`` and ``fake`` the features ``(B, T', C, h', w')`` that `Denoiser.forward`
                returned for `taps` of its blocks.
            t: Times ``(B,)`` in ``[0, 1]``; 1 is noise.

        Returns:
            For each head its logits, ``(B, ...)``; larger is more real.
        """
