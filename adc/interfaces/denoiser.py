"""Diffusion networks and their conditioning."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from adc.interfaces.batch import Batch
from adc.interfaces.latent import Autoencoder
from adc.interfaces.restorer import Restorer


class Denoiser(nn.Module, ABC):
    """A network that predicts the velocity of a noisy latent (rectified flow: ``v = noise - clean``).

    Attributes:
        depth: Blocks whose features can be asked for.
        multiple: What both sides of a latent must be multiples of, such as the side of its patches.
    """

    depth: int
    multiple: int = 1

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

    def save_pretrained(self, folder: str) -> None:
        """Write the network into a folder, which the constructor's ``source`` reads.

        Raises:
            NotImplementedError: If this denoiser cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be written: implement save_pretrained().")


class Conditioner(nn.Module, ABC):
    """The clean latents that a denoiser is trained on, and its conditioning.

    Attributes:
        autoencoder: The autoencoder of its latents.
        scale: How many times larger ``hr`` is than ``lr``.
        text: The text of a batch that has none.
        negative: The text of `unconditional`; an empty one, or one that describes what is not wanted.
    """

    autoencoder: Autoencoder
    scale: int
    text: str = ""
    negative: str = ""

    def clean(self, batch: Batch) -> Tensor:
        """The clean latents ``(B, T', Z, h, w)``: the batch's ``hr_latents``, or those of its ``hr``."""
        return batch["hr_latents"] if "hr_latents" in batch else self.autoencoder.encode(batch["hr"])

    @abstractmethod
    def condition(self, batch: Batch) -> dict[str, Tensor]:
        """The conditioning of a batch, made of ``lr`` and, where there is one, ``text``; LR is encoded once, here.

        A batch without ``text`` has the conditioner's own.

        Returns:
            Tensors ``(B, ...)`` by name, as the denoiser takes them. ``lr`` are the latents ``(B, T', Z, h, w)`` of
            the enlarged LR clips, shaped like the clean ones: the batch's ``lr_latents``, if it has them.
        """

    @abstractmethod
    def unconditional(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same conditioning without its text, or with a negative one, for guidance (Ho and Salimans, 2022).

        Args:
            condition: What `condition` returned; it stays as it is.

        Returns:
            The same names; what is made of LR is the same.
        """


class DiffusionRestorer(Restorer):
    """A restorer that samples latents with a denoiser and decodes them: what the stages of DUO-VSR train.

    Attributes:
        denoiser: The network that is trained.
        conditioner: Its conditioning; its autoencoder decodes.
    """

    def __init__(self, denoiser: Denoiser, conditioner: Conditioner) -> None:
        """
        Args:
            denoiser: The network that is trained.
            conditioner: Its conditioning; its autoencoder decodes.
        """
        super().__init__()
        self.denoiser, self.conditioner = denoiser, conditioner
        self.scale = conditioner.scale
        side = conditioner.autoencoder.strides[1] * denoiser.multiple
        self.multiple = math.lcm(side, self.scale) // self.scale

    @abstractmethod
    def sample(self, condition: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Clean latents from noise, both ``(B, T', Z, h, w)``, under what `conditioner` made of a batch."""

    def save_pretrained(self, folder: str) -> None:
        """Write the denoiser, as its constructor's ``source`` reads it."""
        self.denoiser.save_pretrained(folder)
