"""DOVER (Wu et al., 2023), quality of videos, by its authors' package, which reads video files itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.interfaces import FileMetric, WeightFile
from adc.metrics.flow import load_network

MODEL = {
    "backbone": {
        "technical": {"type": "swin_tiny_grpb", "checkpoint": True, "pretrained": None},
        "aesthetic": {"type": "conv_tiny"},
    },
    "backbone_preserve_keys": "technical,aesthetic",
    "divide_head": True,
    "vqa_head": {"in_channels": 768, "hidden_channels": 64},
}
VIEWS: dict[str, dict[str, int]] = {
    "technical": {"fragments_h": 7, "fragments_w": 7, "fsize_h": 32, "fsize_w": 32, "aligned": 32}
    | {"clip_len": 32, "frame_interval": 2, "num_clips": 3},
    "aesthetic": {"size_h": 224, "size_w": 224, "clip_len": 32, "frame_interval": 2, "t_frag": 32, "num_clips": 1},
}
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Dover(FileMetric):
    """The fused score of ``evaluate_one_video.py``, with the options of ``dover.yml``, in ``[0, 1]``."""

    name, title = "dover", "DOVER"
    options = (
        "fused score of evaluate_one_video.py, options of dover.yml; of video files"
        " (evaluate_a_set_of_videos.py exchanges the two heads, so tables made by it are not comparable)"
    )
    higher_is_better = True
    weights = (WeightFile(("DOVER.pth",), "checkpoints"),)
    packages = ("dover",)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build the authors' network and read its weights."""
        self.device = device
        self.network = load_network(import_module("dover.models").DOVER(**MODEL), files[self.weights[0]], device)

    def rate_file(self, video: Path) -> float:
        """Rate a video file."""
        with torch.no_grad():
            rates = [rate.mean().item() for rate in self.network(self._views(video))]
        return fused(rates[0], rates[1])

    def _views(self, video: Path) -> dict[str, Tensor]:
        datasets = import_module("dover.datasets")
        samplers: dict[str, Any] = {}
        for name, view in VIEWS.items():
            parts = view.get("t_frag")
            length = (view["clip_len"],) if parts is None else (view["clip_len"] // parts, parts)
            rest = (view["num_clips"], view["frame_interval"]) if parts is None else (view["frame_interval"], 1)
            samplers[name] = datasets.UnifiedFrameSampler(*length, *rest)
        views, _ = datasets.spatial_temporal_view_decomposition(str(video), VIEWS, samplers)
        return {name: self._prepared(view, VIEWS[name]["num_clips"]) for name, view in views.items()}

    def _prepared(self, view: Tensor, clips: int) -> Tensor:
        mean, deviation = (torch.tensor(values).view(3, 1, 1, 1) for values in (MEAN, DEVIATION))
        scaled = (view - mean) / deviation
        return scaled.reshape(len(view), clips, -1, *view.shape[2:]).transpose(0, 1).to(self.device)


def fused(technical: float, aesthetic: float) -> float:
    """Weighted sum of the two scores, as ``evaluate_one_video.py`` computes it.

    ``sigmoid(.6104 (t - .1107) / .07355 + .3896 (a + .08285) / .03774)``: each score less its mean, by its standard
    deviation; the mean of the aesthetic score is negative. Only versions before 0.2.0 have the other sign.

    Args:
        technical: Mean answer of the technical head, the network's first one.
        aesthetic: Mean answer of the aesthetic head, its second one.
    """
    together = (technical - 0.1107) / 0.07355 * 0.6104 + (aesthetic + 0.08285) / 0.03774 * 0.3896
    return 1 / (1 + math.exp(-together))
