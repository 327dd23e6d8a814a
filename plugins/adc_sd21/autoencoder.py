"""A codec that is trained."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import Restorer
from adc_sd21.codec import SDCodec


class Autoencoder(Restorer):
    """A codec as a restorer of scale 1, so that the ``Regression`` stage can train it."""

    scale = 1

    def __init__(self, codec: SDCodec) -> None:
        """
        Args:
            codec: The codec to train; its encoder and decoder.
        """
        super().__init__()
        self.codec = codec

    def restore(self, lr: Tensor) -> Tensor:
        """Through the latent and back."""
        return self.codec.decode(self.codec.encode(lr))

    def save_pretrained(self, folder: str) -> None:
        """Write the codec as a folder."""
        self.codec.save_pretrained(folder)
