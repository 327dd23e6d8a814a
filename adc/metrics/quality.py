"""NIQE of pyiqa, with parameters from a file; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adc.interfaces import WeightFile
from adc.metrics.fidelity import FrameMetric

NIQE_BLOCK = 96
NIQE_FILE = WeightFile(("niqe_modelparameters.mat", "niqe_pris_params.npz"))
NIQE_NAMES = (("mu_pris_param", "cov_pris_param"), ("mu_prisparam", "cov_prisparam"))


class Niqe(FrameMetric):
    """The natural image quality evaluator (Mittal et al., 2013); sides of at least 96 pixels."""

    name, title = "niqe", "NIQE"
    options = "pyiqa niqe: Y of YIQ, no border cut"
    needs_reference = False
    weights = (NIQE_FILE,)
    packages = ("pyiqa",)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Read mean and covariance of the features of pristine images."""
        mean, covariance = _read(files[NIQE_FILE])
        self.mean, self.covariance = mean.reshape(1, 36), covariance.reshape(1, 36, 36)

    def _rate(self, *frames: Tensor) -> Tensor:
        from pyiqa.archs.niqe_arch import calculate_niqe

        if min(frames[0].shape[-2:]) < NIQE_BLOCK:
            raise ValueError(f"NIQE needs sides of at least {NIQE_BLOCK} pixels; got {tuple(frames[0].shape[-2:])}.")
        rate = partial(calculate_niqe, mu_pris_param=self.mean, cov_pris_param=self.covariance)
        return torch.stack([rate(frame).reshape(()) for frame in frames[0].split(1)])


def find_niqe(file: str | None = None) -> tuple[Niqe | None, str]:
    """NIQE and the file of its parameters; None and a reason if pyiqa or the parameters are not there.

    Args:
        file: Parameters as BasicSR's ``niqe_pris_params.npz`` or the authors' ``.mat``; null is
            pyiqa's copy in torch's cache.

    Raises:
        FileNotFoundError: If the file was named and is not there.
        ValueError: If the file holds something else.
    """
    path = Path(torch.hub.get_dir(), "pyiqa", NIQE_FILE.names[0]) if file is None else Path(file)
    if file is not None and not path.is_file():
        raise FileNotFoundError(f"{file}: no such file; expected the parameters of NIQE (.npz or .mat).")
    if importlib.util.find_spec("pyiqa") is None:
        return None, "pyiqa is not installed; pip install 'adc[metrics]'"
    if not path.is_file():
        return None, f"the parameters of NIQE are not there: {path} (nothing is downloaded)"
    metric = Niqe()
    metric.load({NIQE_FILE: path})
    return metric, str(path)


def _read(path: Path) -> tuple[Tensor, Tensor]:
    try:
        if path.suffix == ".mat":
            from scipy.io import loadmat

            held = loadmat(str(path))
        else:
            held = dict(np.load(path, allow_pickle=False))
    except Exception as error:
        raise ValueError(f"{path}: not a file of NIQE parameters ({type(error).__name__}).") from None
    for names in NIQE_NAMES:
        if all(name in held for name in names) and [held[name].size for name in names] == [36, 36 * 36]:
            mean, covariance = (torch.from_numpy(np.asarray(held[name], dtype="float64")) for name in names)
            return mean, covariance
    raise ValueError(f"{path}: holds {', '.join(sorted(held)) or 'nothing'}; expected {' and '.join(NIQE_NAMES[0])}.")
