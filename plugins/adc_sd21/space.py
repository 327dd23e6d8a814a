"""The features between AdcSR's UNet and its decoder."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import FeatureSpace, Student
from adc.ops.clip import per_frame
from adc_sd21.codec import SDCodec
from adc_sd21.decoder import HalfDecoder


class DecoderStem(FeatureSpace):
    """First convolution and middle block of a pruned decoder (AdcSR, section 2 of its paper).

    ``lift(z) = middle(conv_in(z))``; ``embed(pixels) = lift(project(encode(pixels)))`` with the
    plain codec. Frozen: a stage trains the student's own copy of the middle block.
    """

    def __init__(self, student: Student, codec: SDCodec) -> None:
        """
        Args:
            student: The student whose pretrained decoder spans the space: the folder of the decoder's stage.
            codec: The plain autoencoder that the decoder belongs to.

        Raises:
            ValueError: If the student's decoder is of another kind.
        """
        super().__init__()
        if not isinstance(student.decoder, HalfDecoder):
            raise ValueError(f"student: {type(student).__name__} has no decoder of Stable Diffusion's kind.")
        self.codec = codec
        self.stem = student.decoder.stem()

    def embed(self, pixels: Tensor) -> Tensor:
        """Features of real pixels; sides are multiples of the codec's stride."""
        return self.lift(self.codec.project(self.codec.encode(pixels)))

    def lift(self, projected: Tensor) -> Tensor:
        """Features of projected latents."""
        return per_frame(self.stem, projected)


class LatentSpace(FeatureSpace):
    """A codec's own latents: a space in which pixels are compared without downloaded weights."""

    def __init__(self, codec: SDCodec) -> None:
        """
        Args:
            codec: The autoencoder whose encoder looks at pixels.
        """
        super().__init__()
        self.codec = codec

    def embed(self, pixels: Tensor) -> Tensor:
        """Scaled latents of pixels."""
        return self.codec.encode(pixels)
