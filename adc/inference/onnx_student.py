"""Students in ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Generator, Tensor

from adc.interfaces import Restorer
from adc.interfaces.restorer import color_matching
from adc.ops.clip import per_frame

NOTE = "adc"
"""The key of the metadata that ``adc export`` writes into an ONNX file."""


class OnnxStudent(Restorer):
    """A student in an ONNX file, run by ONNX Runtime without gradients; one of images restores frames one by one.

    Attributes:
        facts: Metadata of ``adc export`` in the file: scale, precision, parameters, opset, color_matching; empty for
            other files.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        """
        Args:
            path: A file that ``adc export`` wrote, or one that takes ``(N, 3, h, w)`` or ``(N, T, 3, h, w)`` in [-1, 1]
                to the same, enlarged.
            threads: Of ONNX Runtime on a CPU; null for as many as torch has.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If onnxruntime is not installed.
            ValueError: If the file is damaged or takes something else than images or clips.
        """
        super().__init__()
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; `adc export` writes ONNX files.")
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        available = runtime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            self._session: Any = runtime.InferenceSession(str(self.path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors share no class
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path}: not an ONNX file that ONNX Runtime can run ({reason}); export it again."
            ) from None
        self._input, self._of_clips = self._only_input()
        self._check_free_size()
        noted = self._session.get_modelmeta().custom_metadata_map.get(NOTE)
        self.facts: dict[str, Any] = json.loads(noted) if noted else {}
        self.color_matching = color_matching(self.facts.get("color_matching", "none"), f"{path}: its metadata")
        self.scale = int(self.facts.get("scale") or self.restore(torch.zeros(1, 1, 3, 64, 64)).shape[-1] // 64)

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Super-resolve a clip of any size that the file takes; float32."""
        clips = lr.detach().float().cpu()
        if self._of_clips:
            large = torch.cat([self._run(clip[None]) for clip in clips])
        else:
            large = per_frame(lambda frames: torch.cat([self._run(frame[None]) for frame in frames]), clips)
        return large.to(lr.device)

    def _run(self, frames: Tensor) -> Tensor:
        try:
            (large,) = self._session.run(None, {self._input: frames.contiguous().numpy()})
        except Exception as error:  # ONNX Runtime's errors share no class
            reason = " ".join(str(error).split())[:200]
            memory = "allocat" in reason.lower() or "memory" in reason.lower()
            kind = MemoryError if memory else ValueError  # for less memory tiles become smaller
            raise kind(f"{self.path}: ONNX Runtime fails ({reason}).") from None
        return torch.from_numpy(large)

    def _check_free_size(self) -> None:
        """Refuse a file that takes images of one size only."""
        shape = self._session.get_inputs()[0].shape
        if fixed := [side for side in shape[-2:] if isinstance(side, int)]:
            raise ValueError(
                f"{self.path}: takes images of a fixed size only ({' x '.join(map(str, shape[-2:]))}, {len(fixed)} of "
                "its sides); export it with free height and width, as `adc export` does."
            )

    def _only_input(self) -> tuple[str, bool]:
        """Its name, and whether it takes clips."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        fits = len(inputs) == len(outputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) in (4, 5)
        if not fits:
            found = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
            raise ValueError(
                f"{self.path}: takes {found}; a student takes one float tensor of images (N, 3, h, w) or clips "
                "(N, T, 3, h, w)."
            )
        return inputs[0].name, len(inputs[0].shape) == 5


def library(name: str) -> ModuleType:
    """A library of the extra ``onnx``; its absence is an ImportError with the way to install it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"ONNX files need the {name} library: pip install 'adc[onnx]'.") from None
