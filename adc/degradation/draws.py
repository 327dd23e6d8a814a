"""Single random numbers from a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator


def uniform(generator: Generator, low: float, high: float) -> float:
    """A number from ``[low, high)``."""
    drawn = torch.rand((), generator=generator, device=generator.device, dtype=torch.float64)
    return low + (high - low) * float(drawn)


def bernoulli(generator: Generator, probability: float) -> bool:
    """True with a probability."""
    return uniform(generator, 0.0, 1.0) < probability


def randint(generator: Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return min(int(uniform(generator, low, high + 1)), high)


def categorical(generator: Generator, weights: Sequence[float]) -> int:
    """An index, drawn in proportion to weights."""
    drawn = uniform(generator, 0.0, sum(weights))
    for index, weight in enumerate(weights):
        drawn -= weight
        if drawn < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


def draw_factor(generator: Generator, probabilities: Sequence[float], limits: Sequence[float]) -> float:
    """A factor of a resize: above 1, below 1 or 1, in proportion to three probabilities, within limits."""
    kind = categorical(generator, probabilities)
    if kind == 0:
        return uniform(generator, 1, limits[1])
    return uniform(generator, limits[0], 1) if kind == 1 else 1.0
