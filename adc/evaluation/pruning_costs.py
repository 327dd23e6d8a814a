"""What pruning saves: multiply-accumulates, parameters, and seconds on this device."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from adc.interfaces import Student
from adc.metrics.efficiency import Efficiency, count, meta_copy
from adc.ops.modes import evaluating

REPEATS = 5


def count_parts(student: Student, parts: Mapping[str, nn.Module], size: int) -> Efficiency:
    """Count without computing where the student allows it."""
    clip = torch.zeros(1, 1, 3, size, size)
    try:
        copied, *copies = meta_copy(student, *parts.values())
        return count(copied, clip.to("meta"), parts=dict(zip(parts, copies, strict=True)))
    except (RuntimeError, NotImplementedError):
        return count(student, clip.to(next(student.parameters()).device), parts=parts)


class Counted:
    """Multiply-accumulates or parameters of one image."""

    def __init__(self, kind: Literal["macs", "parameters"], size: int) -> None:
        """
        Args:
            kind: What is counted.
            size: Height and width of the LR image.
        """
        self.kind, self.size = kind, size

    def total(self, student: Student) -> float:
        """Those of a student."""
        return float(getattr(count_parts(student, {}, self.size), self.kind))

    def layers(self, student: Student) -> dict[nn.Module, float]:
        """Those of its modules themselves, without those inside."""
        modules: dict[str, nn.Module] = dict(student.named_modules())
        counts = count_parts(student, modules, self.size).parts
        whole = {modules[name]: float(getattr(cost, self.kind)) for name, cost in counts.items()}
        return {one: cost - sum(whole[child] for child in {*one.children()}) for one, cost in whole.items()}


class Timed:
    """Seconds of one image, each timed in turn with the full student, so that drift of the machine is shared."""

    def __init__(self, student: Student, size: int) -> None:
        """
        Args:
            student: The full student, which is timed where it is.
            size: Height and width of the LR image.
        """
        place = next(student.parameters())
        self.clip = (torch.rand(1, 1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(place)
        self.student = copy.deepcopy(student).eval()
        self.full = min(_seconds(self.student, self.clip) for _ in range(REPEATS + 1))

    def total(self, student: Student) -> float:
        """The seconds of the full one, times the median of the ratios."""
        with evaluating(student):
            _seconds(student, self.clip)
            ratios = [_seconds(student, self.clip) / _seconds(self.student, self.clip) for _ in range(REPEATS)]
        return self.full * statistics.median(ratios)

    def layers(self, student: Student) -> dict[nn.Module, float]:
        """The least seconds of each layer; what is computed between layers is left out."""
        leaves, least = [*_leaves(student).values()], dict[nn.Module, float]()
        for _ in range(REPEATS):
            for layer, spent in _layer_seconds(student, leaves, self.clip).items():
                least[layer] = min(spent, least.get(layer, spent))
        return least


def _leaves(student: Student) -> dict[str, nn.Module]:
    return {name: module for name, module in student.named_modules() if not [*module.children()]}


def _now(clip: Tensor) -> float:
    if clip.is_cuda:
        torch.cuda.synchronize(clip.device)
    return time.perf_counter()


def _seconds(student: Student, clip: Tensor) -> float:
    with torch.no_grad():
        start = _now(clip)
        student.restore(clip)
        return _now(clip) - start


def _layer_seconds(student: Student, layers: list[nn.Module], clip: Tensor) -> dict[nn.Module, float]:
    """Of one pass."""
    started, spent = dict[nn.Module, float](), dict[nn.Module, float]()

    def enter(layer: nn.Module, _: object) -> None:
        started[layer] = _now(clip)

    def leave(layer: nn.Module, *_: object) -> None:
        spent[layer] = spent.get(layer, 0.0) + _now(clip) - started[layer]

    handles = [layer.register_forward_pre_hook(enter) for layer in layers]
    handles += [layer.register_forward_hook(leave) for layer in layers]
    try:
        with evaluating(student):
            _seconds(student, clip)
    finally:
        for handle in handles:
            handle.remove()
    return spent
