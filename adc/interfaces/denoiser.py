"""Diffusion networks and their conditioning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Denoiser(nn.Module, ABC):
    """Predicts the velocity of a noisy latent (rectified flow: ``v = noise - clean``)."""

    @abstractmethod
    def forward(
        self, z_t: Tensor, t: Tensor, condition: dict[str, Tensor], taps: Sequence[int] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the velocity.

        Args:
            z_t: Noisy latents ``(B, T, Z, h, w)``.
            t: Times ``(B,)`` in ``[0, 1]``; 1 is noise.
            condition: What a `Conditioner` made of the batch.
            taps: Indices of blocks whose features are asked for.

        Returns:
            The velocity, shaped like ``z_t``, and one feature map for each tap.
        """


class Conditioner(nn.Module, ABC):
    """Builds a denoiser's training target (clean latent) and its conditioning from a batch."""

    @abstractmethod
    def clean(self, batch: dict[str, Any]) -> Tensor:
        """The clean latents ``(B, T, Z, h, w)`` of a batch."""

    @abstractmethod
    def condition(self, batch: dict[str, Any], null: bool = False) -> dict[str, Tensor]:
        """The condition of a batch; ``null`` drops its text and nothing else."""
