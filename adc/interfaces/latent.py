"""Autoencoders and feature spaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from adc.interfaces.restorer import Prunable


class Autoencoder(nn.Module, ABC):
    """An encoder of pixels into latents and its decoder, for images or for videos.

    Attributes:
        strides: Frames and pixels for each position of a latent, ``(temporal, spatial)``. One of images has
            ``(1, s)``; a causal one of videos, whose first frame has a latent of its own, ``(k, s)``.
        init_args: As of `adc.interfaces.Restorer`.
    """

    strides: tuple[int, int]
    init_args: Any = None

    def latent_frames(self, frames: int) -> int:
        """The frames ``T'`` of the latent of a clip: ``1 + n`` for ``1 + n * k`` frames.

        Args:
            frames: Frames of the clip; `encode` takes the lengths that are legal here and no others.

        Raises:
            ValueError: If no clip has that length.
        """
        k = self.strides[0]
        steps, rest = divmod(frames - 1, k)
        if frames < 1 or rest:
            legal = f"{max(frames - 1, 0) // k * k + 1} or {(max(frames - 1, 0) // k + 1) * k + 1}"
            raise ValueError(
                f"frames: {type(self).__name__} takes 1 + {k} n frames, not {frames}; cut or pad the clip to {legal}."
            )
        return 1 + steps

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """``(B, T, 3, H, W)`` in ``[-1, 1]`` to latents ``(B, T', Z, H / s, W / s)`` of unit scale.

        Raises:
            ValueError: If `latent_frames` refuses ``T``.
        """

    def to_decoder_input(self, latent: Tensor) -> Tensor:
        """What a decoder's first convolution takes: unscaled, after the post-quantisation layer if there is one."""
        return latent

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Latents ``(B, T', Z, h, w)`` to pixels ``(B, T, 3, s * h, s * w)``, about ``[-1, 1]``."""


class Decoder(nn.Module, ABC):
    """A decoder of an autoencoder's latents that belongs to a student: cut, or another network that also sees LR.

    Attributes:
        sees_lr: Whether it needs the LR clip.
        init_args: As of `adc.interfaces.Restorer`.
    """

    sees_lr: bool = False
    init_args: Any = None

    @abstractmethod
    def forward(self, projected: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels of decoder inputs.

        Args:
            projected: `Autoencoder.to_decoder_input` of latents, ``(B, T', Z, h, w)``.
            lr: The LR clip ``(B, T, 3, s * h / scale, s * w / scale)`` in ``[-1, 1]``; null unless ``sees_lr``.

        Returns:
            ``(B, T, 3, s * h, s * w)``, about ``[-1, 1]``; ``T`` is as of `Autoencoder.decode`.
        """

    def prunable(self) -> Prunable:
        """The decoder for ``adc prune``, as of `adc.interfaces.Student`; its part is called ``decoder``.

        Raises:
            NotImplementedError: If it cannot be pruned.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be pruned: implement prunable().")


class FeatureSpace(nn.Module, ABC):
    """The space in which student, teacher and truth are compared."""

    @abstractmethod
    def embed(self, pixels: Tensor) -> Tensor:
        """``(B, T, 3, H, W)`` in ``[-1, 1]`` to features ``(B, T, C, h, w)``."""

    def project_latents(self, projected: Tensor) -> Tensor:
        """Features of decoder inputs (`Autoencoder.to_decoder_input`) ``(B, T, Z, h, w)``, computed without pixels.

        Raises:
            NotImplementedError: If the space knows no latents.
        """
        raise NotImplementedError(f"{type(self).__name__} has no projection of latents.")
