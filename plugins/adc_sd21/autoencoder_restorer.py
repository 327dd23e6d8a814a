"""An autoencoder that is trained."""

from __future__ import annotations

from torch import Generator, Tensor

from adc.interfaces import Restorer
from adc_sd21.autoencoder import SDAutoencoder


class AutoencoderRestorer(Restorer):
    """An autoencoder as a restorer of scale 1, so that the ``Regression`` stage can train it."""

    scale = 1

    def __init__(self, autoencoder: SDAutoencoder) -> None:
        """
        Args:
            autoencoder: The autoencoder to train; its encoder and decoder.
        """
        super().__init__()
        self.autoencoder = autoencoder

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Through the latent and back."""
        return self.autoencoder.decode(self.autoencoder.encode(lr))

    def save_pretrained(self, folder: str) -> None:
        """Write the autoencoder as a folder."""
        self.autoencoder.save_pretrained(folder)
