"""How sure a mean is, and how far two sets are apart."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

ROOM = 2**22
"""Numbers that a resampling holds at once."""


def bootstrap_interval(
    values: Tensor, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean (Efron, 1979).

    Args:
        values: ``(N,)``, N at least 1.
        level: The share of resampled means that lie inside.
        resamples: How often N values are drawn with replacement.
        seed: Of the draws; equal seeds and sizes draw equal positions.

    Raises:
        ValueError: If there is no value or the level is not between 0 and 1.
    """
    if values.numel() == 0:
        raise ValueError("an interval needs at least one value.")
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1; got {level}.")
    values = values.double().reshape(-1)
    generator = torch.Generator().manual_seed(seed)
    means: list[Tensor] = []
    rows = max(1, ROOM // len(values))
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), len(values))
        means.append(values[torch.randint(len(values), shape, generator=generator)].mean(dim=1))
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(ends)
    return low.item(), high.item()


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The distance of two normal distributions that were fitted to two sets (Heusel et al., 2017).

    ``|m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2))``. The last trace is the sum of the
    singular values of ``A B^T``, the centred sets over the roots of their degrees of freedom: exact also
    for fewer samples than dimensions, where the root of the product, as it is computed elsewhere, is not. Of more
    samples than dimensions the triangular factors of A and B have the same singular values.

    Args:
        a: ``(N, D)``, N at least 2.
        b: ``(M, D)``, M at least 2.

    Raises:
        ValueError: If a set is smaller.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"two distributions need at least 2 samples each; got {len(a)} and {len(b)}.")
    a, b = a.double(), b.double()
    spread_a = (a - a.mean(dim=0)) / (len(a) - 1) ** 0.5
    spread_b = (b - b.mean(dim=0)) / (len(b) - 1) ** 0.5
    root_a, root_b = (torch.linalg.qr(spread, mode="r").R if len(spread) > spread.shape[1] else spread
                      for spread in (spread_a, spread_b))  # fmt: skip
    shared: Tensor = torch.linalg.svdvals(root_a @ root_b.T).sum()
    apart = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    return (apart + spread_a.square().sum() + spread_b.square().sum() - 2 * shared).item()
