"""ColorVideoVDP (Mantiuk et al., 2024), differences that people see, by its authors' package; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from adc.interfaces import Metric, WeightFile
from adc.ops.clip import to_unit
from adc.ops.precision import computing_in

DISPLAY = "standard_fhd"
"""A display of the package's list: 24 inches, 1920x1080, 200 cd/m2, seen from 0.6 m."""


class ColorVideoVdp(Metric):
    """Quality of frames as still images in just-objectionable differences (JOD): 10 for equal ones."""

    name, title, decimals = "cvvdp", "ColorVideoVDP [JOD]", 2
    options = f"cvvdp: display {DISPLAY}, frames as still images"
    higher_is_better = True
    packages = ("pycvvdp",)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build the authors' model of vision."""
        model = import_module("pycvvdp").cvvdp(display_name=DISPLAY, device=torch.device(device), quiet=True)
        self.options = f"cvvdp {model.version}: display {DISPLAY}, frames as still images"
        self._predict = model.predict

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """The mean over frames: ``(B,)`` in JOD, at most 10."""
        pairs = zip(restored, reference, strict=True)
        with torch.no_grad(), computing_in("float32", restored.device):
            return torch.stack([self._mean(*pair) for pair in pairs])

    def _mean(self, restored: Tensor, reference: Tensor) -> Tensor:
        frames = zip(to_unit(restored.float()), to_unit(reference.float()), strict=True)
        rates = [self._predict(*pair, dim_order="CHW", frames_per_second=0)[0] for pair in frames]
        return torch.stack([rate.reshape(()) for rate in rates]).mean()
