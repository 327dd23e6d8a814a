"""How a pruner ranks channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from adc.interfaces import Student
from adc.ops.modes import differentiable
from adc.pruning.groups import Group, Side
from adc.pruning.layers import weights


class Importance(ABC):
    """Scores the units of a group.

    Attributes:
        aligned: Whether channels that belong together stay together: the halves of a gated layer,
            the heads of attention, the parts of a concatenation. If not, every layer keeps its
            first channels, whatever they were connected to.
    """

    aligned: bool = True

    def prepare(self, student: Student, calibration: Iterable[Tensor]) -> None:  # noqa: B027
        """Look at the student before it is cut.

        Args:
            student: The unpruned student.
            calibration: Small clips ``(B, T, 3, h, w)`` in ``[-1, 1]``.
        """

    @abstractmethod
    def score(self, group: Group) -> Tensor:
        """A score for each unit, ``(size,)`` on the CPU; the higher ones are kept."""


class Prefix(Importance):
    """Keeps the first channels, whatever they do: the published rule of AdcSR."""

    def __init__(self, aligned: bool = False) -> None:
        """
        Args:
            aligned: Whether heads, gates and concatenations stay connected as they were. The
                published rule cuts each layer for itself.
        """
        self.aligned = aligned

    def score(self, group: Group) -> Tensor:
        """Earlier is better."""
        return -torch.arange(group.size, dtype=torch.float64)


class Magnitude(Importance):
    """Keeps the channels with large weights: the L2 norm over all layers that lose something with a unit."""

    def score(self, group: Group) -> Tensor:
        """Norms' own weights do not count."""
        total = torch.zeros(group.size, dtype=torch.float64)
        for side, name, axis in _linear_weights(group):
            squares = getattr(side.layer, name).detach().float().square()
            total += _by_unit(_per_channel(squares, axis), side, group.size)
        return total.sqrt()


class Taylor(Importance):
    """Keeps the channels whose removal would move the output most.

    To first order, removing weights ``w`` moves the output along a direction ``v`` by the sum of
    ``w * d<v, output>/dw`` (Molchanov et al., 2019). Directions are drawn at random, one for each
    calibration batch, so that the unpruned student is its own reference and no truth is needed.
    Layers that `restore` does not run are ranked as `Magnitude` ranks them.
    """

    def __init__(self, batches: int = 8, seed: int = 0) -> None:
        """
        Args:
            batches: How many calibration batches are looked at.
            seed: Of the directions.
        """
        if batches < 1:
            raise ValueError(f"Taylor: batches must be at least 1; got {batches}.")
        self.batches = batches
        self.seed = seed
        self._moved: dict[tuple[int, int], Tensor] = {}

    def prepare(self, student: Student, calibration: Iterable[Tensor]) -> None:
        """Run forward and backward passes.

        Raises:
            ValueError: If there is no calibration data.
        """
        self._moved = {}
        generator = torch.Generator().manual_seed(self.seed)
        parameters = list(student.parameters())
        with differentiable(student):
            for clip in islice(calibration, self.batches):
                student.zero_grad(set_to_none=True)
                output = student(clip.to(parameters[0]))
                direction = torch.randn(output.shape, generator=generator).to(output)
                (output * direction).mean().backward()
                self._note(parameters)
        if not self._moved:
            raise ValueError("Taylor needs calibration data and got none: give `data`, or use Magnitude.")

    def _note(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter.grad is None:
                continue
            product = parameter.detach().float() * parameter.grad.float()
            for axis in range(min(2, product.ndim)):
                moved = _per_channel(product, axis).abs()
                key = (id(parameter), axis)
                self._moved[key] = self._moved[key] + moved if key in self._moved else moved

    def score(self, group: Group) -> Tensor:
        """The sum over the layers that the calibration data passed through; by magnitude if it passed none of them."""
        if not self._moved:
            raise ValueError("Taylor needs calibration data and got none: give `data`, or use Magnitude.")
        total = torch.zeros(group.size, dtype=torch.float64)
        reached = False
        for side, name, axis in _linear_weights(group):
            moved = self._moved.get((id(getattr(side.layer, name)), axis))
            if moved is not None:
                reached = True
                total += _by_unit(moved, side, group.size)
        return total if reached else Magnitude().score(group)


def _linear_weights(group: Group) -> Iterator[tuple[Side, str, int]]:
    """Weights of convolutions and linear layers: those of more than one axis."""
    for side in group.sides:
        for name, axis in weights(side.layer, side.output).items():
            if name == "weight" and getattr(side.layer, name).ndim > 1:
                yield side, name, axis


def _per_channel(values: Tensor, axis: int) -> Tensor:
    values = values.movedim(axis, 0).flatten(1).sum(dim=1) if values.ndim > 1 else values
    return values.cpu().double()


def _by_unit(values: Tensor, side: Side, size: int) -> Tensor:
    inside = side.units >= 0
    return torch.zeros(size, dtype=torch.float64).index_add_(0, side.units[inside], values[inside])
