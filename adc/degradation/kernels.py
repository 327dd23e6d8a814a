"""Blur kernels of the second-order degradation (Real-ESRGAN, arXiv:2107.10833): formulas, and how they are drawn.

A kernel is a float32 tensor ``(size, size)``, ``size`` odd, that sums to one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from adc.degradation.draws import bernoulli, categorical, randint, uniform
from adc.degradation.presets import SecondOrderValues

KINDS = ("isotropic", "anisotropic", "generalised_isotropic", "generalised_anisotropic", "plateau_isotropic",
         "plateau_anisotropic")  # fmt: skip
"""The kinds of Gaussian that `draw_blur` knows, in the order of their probabilities."""


def _grid(size: int) -> tuple[Tensor, Tensor]:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"A blur kernel needs an odd size, not {size}.")
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    return offsets[None, :], offsets[:, None]


def _unit_sum(kernel: Tensor) -> Tensor:
    return (kernel / kernel.sum()).float()


def distance(size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0) -> Tensor:
    """Squared Mahalanobis distance from the centre: ``p' C^-1 p`` with ``C = R diag(sigma_x^2, sigma_y^2) R'``.

    Args:
        size: Height and width in pixels, odd.
        sigma_x: Standard deviation along the first axis, in pixels.
        sigma_y: Standard deviation along the second axis, in pixels.
        rotation: Angle of the first axis against the rows, in radians.

    Returns:
        float64 ``(size, size)``.
    """
    x, y = _grid(size)
    along = math.cos(rotation) * x + math.sin(rotation) * y
    across = math.cos(rotation) * y - math.sin(rotation) * x
    return (along / sigma_x) ** 2 + (across / sigma_y) ** 2


def gaussian(size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0, beta: float = 1.0) -> Tensor:
    """``exp(-d^beta / 2)``, `distance` being ``d``: a Gaussian for ``beta`` 1, a generalised one otherwise."""
    return _unit_sum(torch.exp(-0.5 * distance(size, sigma_x, sigma_y, rotation) ** beta))


def plateau(size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0, beta: float = 1.0) -> Tensor:
    """``1 / (1 + d^beta)``, `distance` being ``d``: flat in the middle."""
    return _unit_sum(1 / (1 + distance(size, sigma_x, sigma_y, rotation) ** beta))


def of_kind(kind: str, size: int, sigma_x: float, sigma_y: float, rotation: float, beta: float) -> Tensor:
    """The kernel of one of `KINDS`: a `plateau` or a `gaussian`, whose ``beta`` is 1 unless it is generalised."""
    formula = plateau if kind.startswith("plateau") else gaussian
    return formula(size, sigma_x, sigma_y, rotation, beta)


def sinc(size: int, cutoff: float) -> Tensor:
    """Circular low-pass filter ``w J1(w r) / (2 pi r)``: it rings as sharpened and compressed images do.

    Args:
        size: Height and width in pixels, odd.
        cutoff: Angular frequency ``w`` in ``(0, pi]`` above which nothing passes.
    """
    x, y = _grid(size)
    radius = torch.hypot(x, y)
    centre = size // 2
    radius[centre, centre] = 1
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[centre, centre] = cutoff**2 / (4 * math.pi)
    return _unit_sum(kernel)


def draw_size(generator: Generator, sizes: Sequence[int] = (7, 21)) -> int:
    """An odd size from a range, both ends included."""
    return 2 * randint(generator, sizes[0] // 2, sizes[1] // 2) + 1


def draw_blur(
    generator: Generator, values: SecondOrderValues, sinc_probability: float, sigma: Sequence[float]
) -> Tensor:
    """A sinc filter or one of `KINDS`, with drawn parameters.

    Exponents come from below 1 and from above 1 with equal probability.

    Args:
        generator: The only source of randomness.
        values: Sizes, probabilities of kinds, and ranges of exponents, which hold 1.
        sinc_probability: Chance that it is a sinc filter.
        sigma: Range of the standard deviations.
    """
    size = draw_size(generator, values.kernel_sizes)
    if bernoulli(generator, sinc_probability):
        return draw_sinc(generator, size)
    kind = KINDS[categorical(generator, values.kernel_probabilities)]
    sigma_x = sigma_y = uniform(generator, *sigma)
    rotation = 0.0
    if kind.endswith("anisotropic"):
        sigma_y = uniform(generator, *sigma)
        rotation = uniform(generator, -math.pi, math.pi)
    beta = 1.0
    if kind.startswith("generalised"):
        beta = _draw_beta(generator, values.beta_gaussian)
    elif kind.startswith("plateau"):
        beta = _draw_beta(generator, values.beta_plateau)
    return of_kind(kind, size, sigma_x, sigma_y, rotation, beta)


def _draw_beta(generator: Generator, limits: Sequence[float]) -> float:
    below, above = (limits[0], 1.0), (1.0, limits[1])
    return uniform(generator, *(below if categorical(generator, (0.5, 0.5)) == 0 else above))


def draw_sinc(generator: Generator, size: int, lowest: float | None = None) -> Tensor:
    """A `sinc` with a cut-off drawn from ``[lowest, pi)``.

    Args:
        generator: The only source of randomness.
        size: Height and width in pixels, odd.
        lowest: Lowest cut-off; by default `lowest_cutoff`.
    """
    return sinc(size, uniform(generator, lowest_cutoff(size) if lowest is None else lowest, math.pi))


def lowest_cutoff(size: int) -> float:
    """The lowest cut-off of a sinc filter that blurs: ``pi / 3`` for sizes below 13, ``pi / 5`` from there on."""
    return math.pi / 3 if size < 13 else math.pi / 5
