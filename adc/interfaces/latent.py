"""Spaces other than pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Autoencoder(nn.Module, ABC):
    """Pixels to latents and back."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """``(B, T, 3, H, W)`` in ``[-1, 1]`` to latents ``(B, T, Z, h, w)`` of unit scale."""

    def to_decoder_input(self, latent: Tensor) -> Tensor:
        """What a decoder's first convolution takes: unscaled, after the post-quantisation layer if there is one."""
        return latent

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Latents ``(B, T, Z, h, w)`` to pixels ``(B, T, 3, H, W)``, about ``[-1, 1]``."""


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
        raise NotImplementedError(f"{type(self).__name__} has no latents to lift.")
