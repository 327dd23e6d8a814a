"""The features between AdcSR's UNet and its decoder."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import FeatureSpace, Student
from adc.ops.clip import per_frame
from adc_sd21.autoencoder import SDAutoencoder
from adc_sd21.decoder import HalfDecoder


class DecoderStem(FeatureSpace):
    """First convolution and middle block of a pruned decoder (AdcSR, section 2 of its paper).

    ``lift(z) = middle(conv_in(z))``; ``embed(pixels) = lift(project(encode(pixels)))`` with the
    plain autoencoder. Frozen: a stage trains the student's own copy of the middle block.
    """

    def __init__(self, student: Student, autoencoder: SDAutoencoder) -> None:
        """
        Args:
            student: The student whose pretrained decoder spans the space: the folder of the decoder's stage.
            autoencoder: The plain autoencoder that the decoder belongs to.

        Raises:
            ValueError: If the student's decoder is of another kind.
        """
        super().__init__()
        if not isinstance(student.decoder, HalfDecoder):
            raise ValueError(f"student: {type(student).__name__} has no decoder of Stable Diffusion's kind.")
        self.autoencoder = autoencoder
        self.stem = student.decoder.stem()

    def embed(self, pixels: Tensor) -> Tensor:
        """Features of real pixels; sides are multiples of the autoencoder's stride."""
        return self.project_latents(self.autoencoder.to_decoder_input(self.autoencoder.encode(pixels)))

    def project_latents(self, projected: Tensor) -> Tensor:
        """Features of projected latents."""
        return per_frame(self.stem, projected)


class LatentSpace(FeatureSpace):
    """An autoencoder's own latents: a space in which pixels are compared without downloaded weights."""

    def __init__(self, autoencoder: SDAutoencoder) -> None:
        """
        Args:
            autoencoder: The autoencoder whose encoder looks at pixels.
        """
        super().__init__()
        self.autoencoder = autoencoder

    def embed(self, pixels: Tensor) -> Tensor:
        """Scaled latents of pixels."""
        return self.autoencoder.encode(pixels)
