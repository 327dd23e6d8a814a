"""Any super-resolution network that spandrel knows, from its weights alone."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Generator, Tensor

from adc.interfaces import Teacher
from adc.ops.clip import per_frame, upsample_bicubic
from adc.ops.color import luma
from adc_spandrel import networks

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Spandrel(Teacher):
    """A feed-forward network of the spandrel library: Real-ESRGAN, SwinIR, HAT, DAT and some forty more.

    The architecture and the scale are read off the weights. Frames are enlarged one by one; sides
    are padded as the architecture asks. A network of grey pictures enlarges the luminance, and
    bicubic interpolation the colours.
    """

    extras = {"spandrel": "spandrel"}

    def __init__(self, weights: str, precision: Literal["float32", "bfloat16", "float16"] = "float32") -> None:
        """
        Args:
            weights: A ``.safetensors``, ``.pth``, ``.pt`` or ``.ckpt`` file with the network's tensors.
            precision: What the network computes in.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If spandrel is not installed.
            ValueError: If the file cannot be read, or holds no super-resolution network of RGB or grey pictures.
        """
        super().__init__()
        descriptor = networks.describe(weights, "Spandrel")
        _check(weights, descriptor)
        if precision == "float16" and not descriptor.supports_half:
            raise ValueError(f"precision: {descriptor.architecture.name} does not work in float16; take float32.")
        if precision == "bfloat16" and not descriptor.supports_bfloat16:
            raise ValueError(f"precision: {descriptor.architecture.name} does not work in bfloat16; take float32.")
        self.scale = int(descriptor.scale)
        self.architecture: str = descriptor.architecture.name
        self.grey: bool = descriptor.input_channels == 1
        self.network = descriptor.model.to(PRECISIONS[precision])
        self._call = descriptor._call_fn
        self._padding = descriptor.size_requirements.get_padding
        self.eval()

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Super-resolve a clip of any size."""
        if not self.grey:
            return per_frame(self._upscale, lr)
        gray = (luma(lr * 0.5 + 0.5) * 255 - 16) / 219 * 2 - 1
        return upsample_bicubic(lr, self.scale) + per_frame(self._upscale, gray) - upsample_bicubic(gray, self.scale)

    def _upscale(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        precision = next(self.network.parameters()).dtype
        padded = networks.pad(image * 0.5 + 0.5, *self._padding(width, height)).to(precision)
        large = self._call(self.network, padded)[..., : height * self.scale, : width * self.scale]
        return large.to(image.dtype) * 2 - 1


def _check(weights: str, descriptor: Any) -> None:
    name = descriptor.architecture.name
    if descriptor.purpose != "SR":
        raise ValueError(
            f"weights: {weights}: {name} is for {descriptor.purpose.lower()}, not super-resolution; "
            "name the weights of a network that enlarges."
        )
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels not in ((3, 3), (1, 1)):
        raise ValueError(
            f"weights: {weights}: {name} maps {channels[0]} channels to {channels[1]}; expected RGB or grey."
        )
