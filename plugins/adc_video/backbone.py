"""Pretrained networks whose features discriminators take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from adc_sd21 import AdcSRStudent, SDAutoencoder
from adc_sd21.after import within
from adc_sd21.discriminator import widen
from torch import Tensor, nn

from adc.interfaces import Student
from adc.ops.clip import per_frame
from adc.ops.padding import crop, pad_to_multiple
from adc_video.student import AdcVSRStudent
from adc_video.temporal import TemporalBlocks


class FrozenBackbone(nn.Module, ABC):
    """Maps clips to features; it stays as it is, and gradients pass through it to the clip.

    It is in evaluation mode whatever mode is asked for. Its parameters ask for no gradients, but for
    those of layers that a subclass fits to its input.

    Attributes:
        domain: What it is shown: ``"pixel"`` or ``"feature"``.
        channels: Of the features that it returns.
    """

    domain: str
    channels: int

    @abstractmethod
    def forward(self, clip: Tensor) -> Tensor:
        """``(B, T, C, h, w)``, pixels in ``[-1, 1]`` or features, to ``(B, T, channels, h', w')``."""

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Evaluation mode."""
        return super().train(False)

    def freeze(self, trained: nn.Module | None = None) -> None:
        """Keep the parameters as they are, but for those of one layer; called when they are there."""
        self.requires_grad_(False).eval()
        if trained is not None:
            trained.requires_grad_(True)


class AutoencoderBackbone(FrozenBackbone):
    """The first layers of an autoencoder's encoder, frame by frame: features of pixels without anything to download."""

    domain = "pixel"

    def __init__(self, autoencoder: SDAutoencoder, level: int = 1) -> None:
        """
        Args:
            autoencoder: The trained autoencoder.
            level: The encoder's level whose result is looked at, from 0; each but the last halves the sides.

        Raises:
            ValueError: If the encoder has no such level.
        """
        super().__init__()
        encoder: Any = autoencoder.vae.encoder
        if not 0 <= level < len(encoder.down_blocks):
            raise ValueError(f"level: {level}, but the encoder has levels 0 to {len(encoder.down_blocks) - 1}.")
        self.layers = nn.Sequential(encoder.conv_in, *encoder.down_blocks[: level + 1])
        self.channels = encoder.down_blocks[level].resnets[-1].conv2.out_channels
        self.freeze()

    def forward(self, clip: Tensor) -> Tensor:
        """Features of each frame."""
        return per_frame(self.layers, clip)


class PlainBackbone(FrozenBackbone):
    """No network: features are looked at as they are."""

    domain = "feature"

    def __init__(self, channels: int) -> None:
        """
        Args:
            channels: Channels of the features.
        """
        super().__init__()
        self.channels = channels

    def forward(self, clip: Tensor) -> Tensor:
        """The same.

        Raises:
            ValueError: If the features have other channels.
        """
        if clip.shape[2] != self.channels:
            raise ValueError(f"channels: {self.channels}, but the features have {clip.shape[2]}; set it to that.")
        return clip


class StudentUNetBackbone(FrozenBackbone):
    """The UNet of a trained student, with its temporal blocks, as a backbone (AdcVSR's discriminator of features).

    Its first convolution, which takes features in place of the small clip, is the one layer that is trained.
    """

    domain = "feature"

    def __init__(self, student: Student, gain: float = 1.0) -> None:
        """
        Args:
            student: An `AdcVSRStudent` that the stage before has trained (``adc.pruning.load_student``), or an
                `AdcSRStudent`; features are those between its UNet and its decoder.
            gain: What the UNet returns is multiplied by it; the layers behind learn fastest from a deviation near 1.

        Raises:
            ValueError: If the student has no UNet of this kind.
        """
        super().__init__()
        if not isinstance(student, AdcSRStudent):
            raise ValueError(
                f"student: {type(student).__name__} has no UNet; expected an AdcSRStudent or AdcVSRStudent."
            )
        self.unet, self.gain = student.unet, gain
        self.temporal = student.temporal if isinstance(student, AdcVSRStudent) else TemporalBlocks({})
        self.channels = self.unet.conv_out.out_channels
        self.unet.conv_in = widen(self.unet.conv_in, self.channels)
        self.freeze(trained=self.unet.conv_in)

    def forward(self, clip: Tensor) -> Tensor:
        """What the UNet returns, times the gain, at each position of the features; sides that do not fit are padded."""
        height, width = clip.shape[-2:]
        after = within("unet", self.temporal.over(clip.shape[1]))
        padded = pad_to_multiple(clip, self.unet.multiple)
        return crop(per_frame(lambda x: self.unet(x, after), padded), height, width) * self.gain
