"""Scorers of restored candidates: any metric without reference, and sharpness as natural images have it."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import FileMetric, Scorer
from adc.metrics.registry import build, find_metric
from adc.metrics.temporal import sharpness
from adc.ops.clip import to_unit


class MetricScorer(Scorer):
    """A metric without reference by its name: NIQE, MUSIQ, CLIP-IQA, DOVER; negated where lower is better."""

    def __init__(self, metric: str = "niqe", weights_dir: str | None = None, rate: int = 24) -> None:
        """
        Args:
            metric: Its name, as ``adc evaluate`` takes it; DUO-VSR ranks by ``dover``.
            weights_dir: A folder with its weights; the caches of the libraries are looked into after it.
            rate: Frames per second of the files that a metric of files reads.

        Raises:
            ValueError: If the metric needs a reference, or what it needs is not there.
        """
        super().__init__()
        if (kind := find_metric(metric)).needs_reference:
            raise ValueError(f"metric: {metric} compares with a reference; a scorer takes one that does not.")
        built, skipped = build([metric], weights_dir)
        if metric not in built:
            raise ValueError(f"metric: {metric} cannot be measured: {skipped[metric]}.")
        self.metric, self.sign, self.frames_per_second = built[metric], 1 if kind.higher_is_better else -1, rate

    def forward(self, clip: Tensor) -> Tensor:
        """``(B,)``, higher is better."""
        if isinstance(self.metric, FileMetric):
            values = torch.tensor([self._rate_file(self.metric, one) for one in clip])
        else:
            values = self.metric(clip, clip)
        return self.sign * values.to(clip)

    def _rate_file(self, metric: FileMetric, clip: Tensor) -> float:
        import av

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "candidate.mkv")
            with av.open(str(path), "w") as file:
                stream = file.add_stream("ffv1", rate=Fraction(self.frames_per_second))
                stream.height, stream.width, stream.pix_fmt = clip.shape[-2], clip.shape[-1], "bgr0"
                for frame in to_unit(clip).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                file.mux(stream.encode())
            return metric.rate_file(path)


class NaturalSharpness(Scorer):
    """Nearness of the sharpness to that of natural images, and agreement with LR: a score with an optimum.

    ``-|log s - log s_0| - w mean (average over blocks - LR)^2`` with the variance ``s`` of the Laplacian. A score that
    only ever rewards more sharpness is run away with.
    """

    def __init__(self, target: float = 500.0, lr_weight: float = 20.0) -> None:
        """
        Args:
            target: ``s_0``, in squared bytes of luminance.
            lr_weight: ``w``; squares of differences in ``[-1, 1]``.
        """
        super().__init__()
        self.target, self.lr_weight = target, lr_weight

    def forward(self, clip: Tensor) -> Tensor:
        """The first term, ``(B,)``."""
        return -(sharpness(clip).clamp(min=1e-3) / self.target).log().abs().to(clip)

    def rate(self, clip: Tensor, lr: Tensor) -> Tensor:
        """Both terms, ``(B,)``."""
        averaged = F.adaptive_avg_pool2d(clip.flatten(0, 1), (lr.shape[-2], lr.shape[-1])).unflatten(0, lr.shape[:2])
        return self(clip) - self.lr_weight * (averaged - lr).square().flatten(1).mean(dim=1)
