"""Restorers to imitate: none of them was trained."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from adc.interfaces import FeatureSpace, Teacher
from adc.ops.clip import per_frame, upsample_bicubic
from adc_tiny.latent import TinyAutoencoder
from adc_tiny.seeded import seeded
from adc_tiny.student import LATENT, STRIDE


class Bicubic(Teacher):
    """Bicubic enlargement: the figure to beat, and the simplest teacher."""

    def __init__(self, scale: int = 4) -> None:
        """
        Args:
            scale: How many times larger the result is.
        """
        super().__init__()
        self.scale = scale

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """The bicubic interpolation."""
        return upsample_bicubic(lr, self.scale)


class TinyTeacher(Teacher):
    """A latent restorer: ``z = encode(upsample(lr))``, ``z + network(z)``, decode. Always initialised alike."""

    scale = STRIDE

    def __init__(self, width: int = 32) -> None:
        """
        Args:
            width: Channels between its two convolutions.
        """
        super().__init__()
        self.autoencoder = TinyAutoencoder()
        with seeded(1):
            last = nn.Conv2d(width, LATENT, 3, padding=1, bias=False)
            self.network = nn.Sequential(nn.Conv2d(LATENT, width, 3, padding=1), nn.SiLU(), last)
            with torch.no_grad():
                last.weight.mul_(0.1)

    def latent(self, lr: Tensor) -> Tensor:
        """The restored latent."""
        z = self.autoencoder.encode(upsample_bicubic(lr, self.scale))
        return z + per_frame(self.network, z)

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Pixels of the restored latent."""
        return self.autoencoder.decode(self.latent(lr))

    def features(self, lr: Tensor, space: FeatureSpace) -> Tensor:
        """The restored latent lifted into the space; no pixels are made."""
        return space.project_latents(self.autoencoder.to_decoder_input(self.latent(lr)))

    def restore_with_features(self, lr: Tensor, space: FeatureSpace) -> tuple[Tensor, Tensor]:
        """Both of one restored latent."""
        z = self.latent(lr)
        return self.autoencoder.decode(z), space.project_latents(self.autoencoder.to_decoder_input(z))


class TinyCandidates(TinyTeacher):
    """A restorer of many candidates: its latent plus noise that the generator draws; without a generator, none."""

    def __init__(self, width: int = 32, noise: float = 0.05) -> None:
        """
        Args:
            width: Channels between its two convolutions.
            noise: Standard deviation of what is added to the latent.
        """
        super().__init__(width)
        self.noise = noise

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Pixels of the restored latent, and of the noise on it."""
        z = self.latent(lr)
        if generator is not None:
            z = z + self.noise * torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        return self.autoencoder.decode(z)
