"""Perceptual distances of deep features, in float32; their libraries are imported when a recipe names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from adc.errors import missing_extra
from adc.files import one_at_a_time
from adc.interfaces import Loss
from adc.ops.clip import to_unit
from adc.ops.precision import computing_in


class LPIPS(Loss):
    """Learned perceptual image patch similarity (Zhang et al., 2018), of the lpips library, frame by frame.

    Only in the pixel domain. The backbone's weights come from torchvision's cache
    (``$TORCH_HOME/hub/checkpoints``); put the file there on a machine without a network.
    """

    def __init__(
        self,
        network: Literal["vgg", "alex", "squeeze"] = "vgg",
        against: Literal["teacher", "real"] = "real",
        weight: float = 1.0,
    ) -> None:
        """
        Args:
            network: The backbone.
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.

        Raises:
            FileNotFoundError: If the backbone's weights are not there and cannot be fetched.
        """
        super().__init__("pixel", against, weight)
        import lpips

        self.distance = _fetched(
            f"LPIPS: torchvision's weights of {network}", lambda: lpips.LPIPS(net=network, verbose=False)
        )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean distance of frames; 0 for equal ones."""
        return _in_float32(self.distance, prediction, target)


class DISTS(Loss):
    """Deep image structure and texture similarity (Ding et al., 2020), of the pyiqa library, frame by frame.

    Only in the pixel domain; needs ``adc[metrics]``. Its weights and VGG's are kept in torch's cache
    (``$TORCH_HOME/hub``); put the files there on a machine without a network.
    """

    extras = {"pyiqa": "metrics"}

    def __init__(self, against: Literal["teacher", "real"] = "real", weight: float = 1.0) -> None:
        """
        Args:
            against: What the student is compared with: the teacher's result or the real clip.
            weight: Multiplier in the total.

        Raises:
            FileNotFoundError: If weights are not there and cannot be fetched.
            ImportError: If pyiqa is not installed.
        """
        super().__init__("pixel", against, weight)
        if (missing := missing_extra(type(self))) is not None:
            raise ImportError(missing)
        import pyiqa

        self.distance = _fetched(
            "DISTS: its weights, and torchvision's of vgg16,", lambda: pyiqa.create_metric("dists", as_loss=True)
        )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean distance of frames; 0 for equal ones."""
        return _in_float32(self.distance, to_unit(prediction.float()), to_unit(target.float()))


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
