"""VGG16 from a file of weights: the backbone of perceptual losses and metrics, without a download."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from adc.interfaces import WeightFile
from adc.weights import read_checkpoint

VGG16 = WeightFile(("vgg16-397923af.pth", "vgg16*.safetensors"), "checkpoints")
"""The backbone: torchvision's file, or one of another training."""
DISTS = WeightFile(("DISTS_weights-f5e65c96.pth",), bundled="DISTS_pytorch/weights.pt")
"""What DISTS was calibrated to, on torchvision's VGG16."""
TORCHVISIONS = "VGG16"
"""What results call torchvision's VGG16, of ImageNet."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HASH = "397923af"
"""How the SHA-256 of torchvision's file begins."""


def load_vgg16(file: str | Path, key: str = "weights") -> nn.Sequential:
    """The convolutions of VGG16 (Simonyan and Zisserman, 2014) with the weights of a file, frozen, in float32.

    Args:
        file: ``.safetensors`` or ``.pth`` in torchvision's names, ``features.N.weight`` and ``features.N.bias``; what
            else it holds (the classifier) is not used.
        key: Of the recipe or the command line, for messages.

    Returns:
        torchvision's ``vgg16().features``: layers 0 to 30. It takes images ``(N, 3, H, W)`` in ``[0, 1]``, less the
        mean and over the deviation of ImageNet.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold these weights.
    """
    from torchvision.models import vgg

    held = read_checkpoint(file, key)
    with torch.device("meta"):
        features = vgg.make_layers(vgg.cfgs["D"])
    wanted = features.state_dict()
    found = {name: held[f"features.{name}"] for name in wanted if f"features.{name}" in held}
    wrong = [name for name, tensor in wanted.items() if name not in found or found[name].shape != tensor.shape]
    if wrong:
        raise ValueError(
            f"{key}: {file}: features.{wrong[0]} is missing, or of another shape than {tuple(wanted[wrong[0]].shape)}; "
            "expected VGG16 in torchvision's names."
        )
    features.load_state_dict(found, assign=True)
    return features.requires_grad_(False).eval()


def convolutions(features: nn.Sequential) -> dict[str, int]:
    """Places of the convolutions by their names in the paper, ``conv1_1`` to ``conv5_3``."""
    found, block, number = {}, 1, 0
    for place, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            block, number = block + 1, 0
        elif isinstance(layer, nn.Conv2d):
            number += 1
            found[f"conv{block}_{number}"] = place
    return found


def normalize(images: Tensor) -> Tensor:
    """Images ``(N, 3, H, W)`` in ``[0, 1]``, less the mean and over the standard deviation of ImageNet."""
    return (images - images.new_tensor(MEAN).view(3, 1, 1)) / images.new_tensor(DEVIATION).view(3, 1, 1)


def origin(file: str | Path) -> str:
    """What a file of VGG16 is, for results: torchvision's, or another training by its name and hash."""
    digest = hashlib.sha256()
    with Path(file).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    begins = digest.hexdigest()[: len(HASH)]
    return TORCHVISIONS if begins == HASH else f"VGG16 of another training ({Path(file).name}, SHA-256 {begins})"


@contextmanager
def as_torchvisions(features: nn.Sequential) -> Iterator[None]:
    """Context in which libraries that build a network on torchvision's VGG16 get this one."""
    from unittest.mock import patch

    with patch("torchvision.models.vgg16", lambda *_, **__: SimpleNamespace(features=features)):
        yield
