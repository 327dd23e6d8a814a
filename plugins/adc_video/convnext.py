"""ConvNeXt (Liu et al., 2022), pretrained on images, as backbone of discriminators."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
from adc_sd21.folder import load
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adc.ops.clip import per_frame
from adc.weights import read_checkpoint
from adc_video.backbone import FrozenBackbone

STATISTICS = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_BLOCK = {"conv_dw": "block.0", "norm": "block.2", "mlp.fc1": "block.3", "mlp.fc2": "block.5"}


class ConvNeXtBackbone(FrozenBackbone):
    """One stage of ConvNeXt, frame by frame.

    Attributes:
        checkpoint_activations: Whether activations are recomputed in the backward pass instead of kept.
    """

    domain = "pixel"
    checkpoint_activations = False
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        weights: str | None = None,
        size: Literal["tiny", "base", "large"] = "base",
        stage: int = 2,
        statistics: Literal["clip", "imagenet"] = "clip",
    ) -> None:
        """
        Args:
            weights: A file of torchvision's, timm's or OpenCLIP's; null leaves the weights at their initialisation.
            size: Of the network.
            stage: The stage whose result is looked at, from 0 (a quarter of the sides) to 3 (a 32nd).
            statistics: Mean and deviation of the pixels that the weights were trained on: ``clip`` for
                OpenCLIP's, ``imagenet`` for the others.

        Raises:
            FileNotFoundError: If the file is not there.
            ValueError: If it does not hold a ConvNeXt of this size, or there is no such stage.
        """
        super().__init__()
        if not 0 <= stage <= 3:
            raise ValueError(f"stage: {stage}; ConvNeXt has stages 0 to 3.")
        if weights is None:
            self.features = _features(size, stage)
        else:
            with torch.device("meta"):
                self.features = _features(size, stage)
            found, own = torchvision_names(read_checkpoint(weights)), self.features.state_dict()
            load(self.features, {name: tensor for name, tensor in found.items() if name in own}, weights)
        for name, values in zip(("mean", "deviation"), STATISTICS[statistics], strict=True):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
        self.channels = self.features[-1][-1].block[-2].out_features
        self.freeze()

    def forward(self, clip: Tensor) -> Tensor:
        """Features of each frame; sides must be at least those that the stage divides them by."""
        return per_frame(self._stages, ((clip * 0.5 + 0.5) - self.mean) / self.deviation)

    def _stages(self, x: Tensor) -> Tensor:
        for layer in self.features:
            again = self.checkpoint_activations and torch.is_grad_enabled()
            x = checkpoint(layer, x, use_reentrant=False) if again else layer(x)
        return x


def _features(size: str, stage: int) -> Any:
    from torchvision import models

    return getattr(models, f"convnext_{size}")(weights=None).features[: 2 * stage + 2]


def torchvision_names(held: dict[str, Any]) -> dict[str, Tensor]:
    """A ConvNeXt's weights by the names that they have below ``features`` in torchvision.

    timm's (``stages.0.blocks.0.conv_dw.weight``), also as the trunk of an OpenCLIP model
    (``visual.trunk.``), are renamed; torchvision's stay. What is part of neither is left out.

    Args:
        held: What a file holds; a training checkpoint has it in ``state_dict``.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in held.get("state_dict", held).items():
        name = name.removeprefix("module.").removeprefix("visual.trunk.")
        if (renamed := _torchvision_name(name)) is not None:
            found[renamed] = _shaped(renamed, tensor)
    return found


def _torchvision_name(name: str) -> str | None:
    if name.startswith("features."):
        return name.removeprefix("features.")
    if match := re.fullmatch(r"stem\.([01]\.\w+)", name):
        return f"0.{match[1]}"
    if match := re.fullmatch(r"stages\.(\d)\.downsample\.([01]\.\w+)", name):
        return f"{2 * int(match[1])}.{match[2]}"
    if match := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.gamma", name):
        return f"{2 * int(match[1]) + 1}.{match[2]}.layer_scale"
    if match := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(conv_dw|norm|mlp\.fc[12])\.(\w+)", name):
        return f"{2 * int(match[1]) + 1}.{match[2]}.{_BLOCK[match[3]]}.{match[4]}"
    return None


def _shaped(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("layer_scale"):
        return tensor.reshape(-1, 1, 1)
    pointwise = name.endswith(("block.3.weight", "block.5.weight"))
    return tensor.flatten(1) if pointwise else tensor
