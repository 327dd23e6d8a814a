"""Diffusion networks and their conditioning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from adc.interfaces.batch import Batch


class Denoiser(nn.Module, ABC):
    """A network that predicts the velocity of a noisy latent (rectified flow: ``v = noise - clean``).

    Attributes:
        depth: Blocks whose features can be asked for.
    """

    depth: int

    @abstractmethod
    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: dict[str, Tensor],
        taps: Sequence[int] = (),
        stop_early: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The velocity, and features on the way to it.

        Args:
            z_t: Noisy latents ``(B, T', Z, h, w)``.
            t: Times ``(B,)`` in ``[0, 1]``; 1 is noise.
            condition: What a `Conditioner` made of the batch.
            taps: Blocks whose features are asked for, each from 0 to ``depth - 1``.
            stop_early: Whether to end after the last of the taps, without a velocity.

        Returns:
            The velocity, shaped like ``z_t``, or None with ``stop_early``; and for each tap, in the order of
            ``taps``, its features ``(B, T', C, h', w')``.
        """


class Conditioner(nn.Module, ABC):
    """The clean latents that a denoiser is trained on, and its conditioning."""

    @abstractmethod
    def clean(self, batch: Batch) -> Tensor:
        """The clean latents ``(B, T', Z, h, w)`` of ``hr``."""

    @abstractmethod
    def condition(self, batch: Batch) -> dict[str, Tensor]:
        """The conditioning of a batch, made of ``lr`` and, where there is one, ``text``; LR is encoded once, here.

        Returns:
            Tensors ``(B, ...)`` by name, as the denoiser takes them.
        """

    @abstractmethod
    def unconditional(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same conditioning without its text, or with a negative one, for guidance (Ho and Salimans, 2022).

        Args:
            condition: What `condition` returned; it stays as it is.

        Returns:
            The same names; what is made of LR is the same.
        """
