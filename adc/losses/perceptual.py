"""Perceptual distances of deep features, in float32; their libraries are imported when a recipe names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adc.errors import missing_extra, suggest
from adc.files import one_at_a_time
from adc.interfaces import Loss
from adc.ops.clip import to_unit
from adc.ops.precision import computing_in
from adc.vgg16 import DISTS as CALIBRATION
from adc.vgg16 import as_torchvisions, convolutions, load_vgg16, normalize

LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_3": 1.0, "conv4_3": 1.0, "conv5_3": 1.0}
"""Weights of features: those of Real-ESRGAN in VGG19, at the same places of VGG16."""


class LPIPS(Loss):
    """Learned perceptual image patch similarity (Zhang et al., 2018), of the lpips library, frame by frame.

    Only in the pixel domain. The backbone's weights come from torchvision's cache
    (``$TORCH_HOME/hub/checkpoints``), or VGG16's from a file; put one there on a machine without a network.
    """

    def __init__(
        self,
        network: Literal["vgg", "alex", "squeeze"] = "vgg",
        against: Literal["teacher", "real"] = "real",
        weight: float = 1.0,
        vgg16: str | None = None,
    ) -> None:
        """
        Args:
            network: The backbone.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.
            vgg16: File of VGG16's weights in torchvision's names, also of another training; null is torchvision's.

        Raises:
            FileNotFoundError: If the backbone's weights are not there and cannot be fetched.
            ValueError: If the file does not hold VGG16, or another network is asked for.
        """
        super().__init__("pixel", against, weight)
        if vgg16 is not None and network != "vgg":
            raise ValueError(f"vgg16: {vgg16}: the network is {network}; take vgg, or leave vgg16 out.")
        import lpips

        def build() -> nn.Module:
            return lpips.LPIPS(net=network, verbose=False)

        self.distance = _on_file(vgg16, build) or _fetched(f"LPIPS: torchvision's weights of {network}", build)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean distance of frames; 0 for equal ones."""
        return _in_float32(self.distance, prediction, target)


class DISTS(Loss):
    """Deep image structure and texture similarity (Ding et al., 2020), of the pyiqa library, frame by frame.

    Only in the pixel domain; needs ``adc[metrics]``, which brings its own weights. VGG16's come from torchvision's
    cache (``$TORCH_HOME/hub/checkpoints``) or from a file; put one there on a machine without a network.
    """

    extras = {"pyiqa": "metrics"}

    def __init__(
        self, against: Literal["teacher", "real"] = "real", weight: float = 1.0, vgg16: str | None = None
    ) -> None:
        """
        Args:
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.
            vgg16: File of VGG16's weights in torchvision's names, also of another training; null is torchvision's.

        Raises:
            FileNotFoundError: If weights are not there and cannot be fetched.
            ImportError: If pyiqa is not installed.
            ValueError: If the file does not hold VGG16.
        """
        super().__init__("pixel", against, weight)
        if (missing := missing_extra(type(self))) is not None:
            raise ImportError(missing)
        import pyiqa

        calibrated = CALIBRATION.find(None)
        own: dict[str, Any] = {} if calibrated is None else {"pretrained_model_path": str(calibrated)}

        def build() -> nn.Module:
            return pyiqa.create_metric("dists", as_loss=True, **own)

        self.distance = _on_file(vgg16, build) or _fetched("DISTS: its weights, and torchvision's of vgg16,", build)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean distance of frames; 0 for equal ones."""
        return _in_float32(self.distance, to_unit(prediction.float()), to_unit(target.float()))


class VGGFeatures(Loss):
    """Mean absolute differences of VGG16's features before their activations, as in ESRGAN (Wang et al., 2018).

    Only in the pixel domain, frame by frame. Frames in ``[-1, 1]`` are normalized as ImageNet's are.
    """

    def __init__(
        self,
        vgg16: str,
        layers: dict[str, float] | None = None,
        against: Literal["teacher", "real"] = "real",
        weight: float = 1.0,
    ) -> None:
        """
        Args:
            vgg16: File of VGG16's weights in torchvision's names, also of another training.
            layers: Weights of convolutions by the paper's names; null is Real-ESRGAN's choice (Wang et al., 2021),
                ``{conv1_2: 0.1, conv2_2: 0.1, conv3_3: 1, conv4_3: 1, conv5_3: 1}`` in VGG16.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file does not hold VGG16, or has no such layer.
        """
        super().__init__("pixel", against, weight)
        self.layers = dict(LAYERS if layers is None else layers)
        features = load_vgg16(vgg16, "vgg16")
        places = convolutions(features)
        for name in self.layers:
            if name not in places:
                raise ValueError(f"layers: VGG16 has no {name!r}; {suggest(name, places)}")
        if not self.layers:
            raise ValueError("layers: none; name at least one, for one {conv3_3: 1}.")
        self.names = {places[name]: name for name in self.layers}
        self.features = features[: max(self.names) + 1]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Weighted sum of the layers' mean absolute differences; 0 for equal clips."""
        return _in_float32(self.distance, prediction, target)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of frames ``(N, 3, H, W)`` in ``[-1, 1]``: a scalar."""
        first, second, total = normalize(to_unit(first)), normalize(to_unit(second)), first.new_zeros(())
        for place, layer in enumerate(self.features):
            first, second = layer(first), layer(second)
            if place in self.names:
                total = total + self.layers[self.names[place]] * (first - second).abs().mean()
        return total


def _on_file(vgg16: str | None, build: Callable[[], nn.Module]) -> nn.Module | None:
    """A frozen network on the VGG16 of a file; None if there is no file."""
    if vgg16 is None:
        return None
    with as_torchvisions(load_vgg16(vgg16, "vgg16")):
        return build().requires_grad_(False).eval()


def _fetched(what: str, build: Callable[[], nn.Module]) -> nn.Module:
    """A frozen network whose weights are fetched into torch's cache by one process of a machine, while others wait."""
    place = Path(torch.hub.get_dir(), "checkpoints")
    try:
        with one_at_a_time(place / ".adc-fetching"):
            return build().requires_grad_(False).eval()
    except OSError as error:
        raise FileNotFoundError(f"{what} are not in {place} ({error}).") from error


def _in_float32(distance: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the frames of two clips, in float32 whatever the autocast says.

    In bfloat16 the distance of clips that are nearly equal is wrong by more than itself, and so is its gradient.
    """
    with computing_in("float32", prediction.device):
        return distance(prediction.float().flatten(0, 1), target.float().flatten(0, 1)).mean()
