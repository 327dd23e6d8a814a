"""Diffusion networks and their conditioning."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Generator, Tensor, nn

from adc.interfaces.batch import Batch
from adc.interfaces.latent import Autoencoder
from adc.interfaces.restorer import Restorer
from adc.ops.padding import crop, pad_frames, pad_to_multiple
from adc.ops.sampling import draw_noise, placed_noise

CONTEXT = 8
"""`Restorer.temporal_context` of diffusion restorers, in frames: with it chunks are about as long as training clips."""


class Denoiser(nn.Module, ABC):
    """A network that predicts the velocity of a noisy latent (rectified flow: ``v = noise - clean``).

    Attributes:
        depth: Blocks whose features can be asked for.
        multiple: What both sides of a latent must be multiples of, such as the side of its patches.
        init_args: As of `Restorer`.
    """

    depth: int
    multiple: int = 1
    init_args: Any = None

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
        init_args: As of `Restorer`.
    """

    autoencoder: Autoencoder
    scale: int
    text: str = ""
    negative: str = ""
    init_args: Any = None

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

    A clip whose length or sides do not fit the autoencoder and the denoiser is padded with copies of its last frame,
    column and row, and the result is cut.

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
        self.temporal_stride = conditioner.autoencoder.strides[0]
        self.temporal_context = max(CONTEXT // self.temporal_stride, 1) * self.temporal_stride

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Sample latents and decode them."""
        return self._decoded(self.restored_latents(lr, generator), lr)

    def restore_tiles(self, lr: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        """The same of tiles; the noise of a tile is that of its place in the frame."""
        return self._decoded(self.restored_latents(lr, places=places), lr)

    def _decoded(self, latents: Tensor, lr: Tensor) -> Tensor:
        frames, height, width = lr.shape[1], *(self.scale * side for side in lr.shape[-2:])
        return crop(self.decode(latents, lr)[:, :frames], height, width)

    def decode(self, feature: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels of latents, padding included.

        Args:
            feature: The latents ``(B, T', Z, h, w)`` of the padded clip.
            lr: The clip that was restored, before it was padded; for decoders that see it.
        """
        return self.conditioner.autoencoder.decode(feature)

    def restored_latents(
        self, lr: Tensor, generator: Generator | None = None, places: Sequence[tuple[int, int]] | None = None
    ) -> Tensor:
        """The latents ``(B, T', Z, h, w)`` that `restore` decodes, of the padded clip.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``.
            generator: Of the noise. Null is one noise, the same for every clip, of which each place has its own, and
                that repeats after as many frames as a chunk of a long clip lies behind the one before: what two tiles
                or two chunks share has the same in both.
            places: As in `restore_tiles`; null is whole clips.
        """
        padded = pad_frames(pad_to_multiple(lr, self.multiple), self.temporal_stride)
        condition = self.conditioner.condition({"lr": padded})  # type: ignore[typeddict-item]
        return self.sample(condition, self._noise(condition["lr"], generator, places))

    def _noise(self, like: Tensor, generator: Generator | None, places: Sequence[tuple[int, int]] | None) -> Tensor:
        if generator is not None:
            return draw_noise(like, generator)
        side = self.conditioner.autoencoder.strides[1]
        starts = [(row * self.scale // side, column * self.scale // side) for row, column in places or ()]
        return placed_noise(like, starts or [(0, 0)] * len(like), 2 * self.temporal_context // self.temporal_stride)

    @abstractmethod
    def sample(self, condition: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Clean latents from noise, both ``(B, T', Z, h, w)``, under what `conditioner` made of a batch."""

    def save_pretrained(self, folder: str) -> None:
        """Write the denoiser, as its constructor's ``source`` reads it."""
        self.denoiser.save_pretrained(folder)
