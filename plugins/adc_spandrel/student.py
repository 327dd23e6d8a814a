"""Super-resolution networks of the spandrel library as students that are pruned and trained."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from adc.interfaces import Prunable, Student
from adc.ops.clip import per_frame
from adc.ops.modes import evaluating
from adc.ops.padding import pad_to_multiple
from adc_spandrel import networks

SMALLEST = 16
"""The sides of LR that every restorer takes."""


class SpandrelStudent(Student):
    """A feed-forward network of the spandrel library as a student: Real-ESRGAN, SPAN, SwinIR, HAT, DAT and others.

    It restores pixels and knows no latents: its features, between the two halves, are its pixels, those of one LR
    pixel as channels ``(B, T, 3 * scale ** 2, h, w)``. Frames are enlarged one by one; sides are padded as the
    architecture asks, and cropped again. ``plugins/adc_spandrel/README.md`` says of which architectures what is pruned.
    """

    extras = {"spandrel": "spandrel"}

    def __init__(
        self,
        weights: str | None = None,
        architecture: str | None = None,
        arguments: dict[str, Any] | None = None,
        sizes: dict[str, int] | None = None,
    ) -> None:
        """
        Args:
            weights: A ``.safetensors``, ``.pth``, ``.pt`` or ``.ckpt`` file to start from, which is read as data; it
                says the architecture.
            architecture: Without weights: spandrel's name of an architecture, such as ESRGAN; weights are random.
            arguments: Those of the architecture's network that differ from spandrel's.
            sizes: What a student folder keeps of the network: its scale, and the multiple and minimum of LR's sides.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If spandrel is not installed.
            ValueError: If the file cannot be read, spandrel has no such network, it takes no RGB image alone,
                or both weights and an architecture are given, or neither.
        """
        super().__init__()
        if (weights is None) == (architecture is None):
            raise ValueError("weights: give either a file of weights or an architecture.")
        if weights is not None:
            if arguments:
                raise ValueError("arguments: the file of weights says them; give them with an architecture alone.")
            descriptor = networks.describe(weights, "SpandrelStudent")
            architecture, network = networks.name_of(descriptor.model), descriptor.model
            sizes = _sizes(descriptor, f"weights: {weights}")
        else:
            network = networks.build(str(architecture), arguments or {})
            sizes = sizes or _sizes(networks.described(str(architecture), network), "architecture")
        self.network = networks.trainable(network)
        self.scale, self.multiple, self._minimum = sizes["scale"], sizes["multiple"], sizes["minimum"]
        self.init_args = {
            "weights": None,
            "architecture": architecture,
            "arguments": networks.plain_arguments(network),
            "sizes": sizes,
        }

    def train(self, mode: bool = True) -> SpandrelStudent:
        """Training mode, or evaluation, for which merged convolutions are computed."""
        super().train(mode)
        if not mode:
            networks.merge(self.network)
        return self

    def summary(self) -> str:
        """Spandrel's name of the architecture."""
        return str(self.init_args["architecture"])

    def encode(self, lr: Tensor) -> Tensor:
        """``(B, T, 3, h, w)`` to the pixels of its result as channels, ``(B, T, 3 * scale ** 2, h, w)``."""
        return per_frame(lambda image: F.pixel_unshuffle(self._upscale(image), self.scale), lr)

    def decode(self, feature: Tensor) -> Tensor:
        """``(B, T, 3 * scale ** 2, h, w)`` to ``(B, T, 3, scale * h, scale * w)``."""
        return per_frame(lambda image: F.pixel_shuffle(image, self.scale), feature)

    def restore(self, lr: Tensor, generator: Any = None) -> Tensor:
        """Super-resolve a clip of any size."""
        return per_frame(self._upscale, lr)

    def _upscale(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        with networks.exportable(self.network):
            large = networks.result(self.network(self._padded(image)[:, 0] * 0.5 + 0.5))
        return large[..., : height * self.scale, : width * self.scale] * 2 - 1

    def _padded(self, image: Tensor) -> Tensor:
        """``(B, 1, 3, h', w')`` with sides that the network takes; exports pad in the same way."""
        clip = image[:, None]
        if self._minimum > SMALLEST:
            below, right = (max(self._minimum - side, 0) for side in clip.shape[-2:])
            clip = F.pad(clip, (0, right, 0, below, 0, 0), mode="replicate") if below or right else clip
        return pad_to_multiple(clip, self.multiple) if self.multiple > 1 else clip

    def prunable(self) -> Prunable:
        """The whole network as one part, ``network``; what cannot lose channels alone is found out and stays whole."""
        side = max(self._minimum, self.multiple, 16)
        example = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        network = _Image(self.network, _trains_more(self.network, example))
        return Prunable(network, (example,), {"network": self.network}, after=network.settle, tried=True)


class _Image(nn.Module):
    """A network as it is traced: its image alone, on the path of training where that one has more parameters.

    Evaluation runs other layers than training where convolutions are merged, or where a gate picks among experts.
    """

    def __init__(self, network: nn.Module, training: bool) -> None:
        super().__init__()
        self.network, self._as_in_training = network, training

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, h, w)`` in ``[0, 1]`` to the same, enlarged."""
        if self._as_in_training:
            _train_steadily(self.network)
        return networks.result(self.network(image.clone()))  # some change what they are given

    @torch.no_grad()
    def settle(self) -> None:
        """Run the path of evaluation, on which merged convolutions take their widths from those they are made of."""
        if self._as_in_training:
            with evaluating(self.network):
                self.network.eval()(next(self.parameters()).new_zeros(1, 3, SMALLEST, SMALLEST))


@torch.enable_grad()
def _trains_more(network: nn.Module, example: Tensor) -> bool:
    """Whether training reaches more parameters than evaluation."""
    reached = []
    for prepare in (nn.Module.eval, _train_steadily):
        copied = copy.deepcopy(network).requires_grad_(True)
        prepare(copied)
        try:
            networks.result(copied(example.to(next(copied.parameters())))).sum().backward()
        except RuntimeError:  # evaluation may write over what a backward pass needs
            return False
        reached.append(sum(parameter.grad is not None for parameter in copied.parameters()))
    return reached[1] > reached[0]


def _train_steadily(network: nn.Module) -> None:
    """Training mode without its chance, and without statistics that move."""
    network.train()
    for module in network.modules():
        if isinstance(module, _NormBase) or "drop" in type(module).__name__.lower():
            module.eval()


def _sizes(descriptor: Any, place: str) -> dict[str, int]:
    name, needs = descriptor.architecture.name, descriptor.size_requirements
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise ValueError(f"{place}: {name} maps {channels[0]} channels to {channels[1]}; expected RGB.")
    if descriptor.purpose not in ("SR", "Restoration") or needs.square:
        kind = "for square images" if needs.square else f"for {descriptor.purpose.lower()}"
        raise ValueError(f"{place}: {name} is {kind}, not super-resolution of any image.")
    if not networks.is_called_plainly(descriptor):
        raise ValueError(f"{place}: {name} takes or gives more than an image, which a student does not.")
    multiple = math.lcm(needs.multiple_of, *networks.windows(descriptor.model))
    return {"scale": int(descriptor.scale), "multiple": multiple, "minimum": needs.minimum}
