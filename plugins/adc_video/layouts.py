"""The shapes in which video transformers take latents and return predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Sizes = tuple[int, int, int]
"""Frames, rows, columns."""


@dataclass(frozen=True)
class Layout:
    """One shape, both ways.

    Attributes:
        pack: Latents ``(B, T', C, h, w)`` and the sizes of a patch to what the network takes.
        unpack: What it returns, the grid of patches and the sizes of a patch to ``(B, T', C, h, w)``.
    """

    pack: Callable[[Tensor, Sizes], Tensor]
    unpack: Callable[[Tensor, Sizes, Sizes], Tensor]


def _packed(latents: Tensor, patch: Sizes) -> Tensor:
    p, q, r = patch
    split = latents.unflatten(1, (-1, p)).unflatten(4, (-1, q)).unflatten(6, (-1, r))  # B, T, p, C, h, q, w, r
    return split.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(4).flatten(1, 3)


def _unpacked(tokens: Tensor, grid: Sizes, patch: Sizes) -> Tensor:
    split = tokens.unflatten(2, (-1, *patch)).unflatten(1, grid)  # B, T, h, w, C, p, q, r
    return split.permute(0, 1, 5, 4, 2, 6, 3, 7).flatten(6).flatten(4, 5).flatten(1, 2)


FRAMES_FIRST = Layout(lambda latents, _: latents, lambda output, *_: output)
"""``(B, T', C, h, w)``."""
CHANNELS_FIRST = Layout(lambda latents, _: latents.transpose(1, 2), lambda output, *_: output.transpose(1, 2))
"""``(B, C, T', h, w)``."""
TOKENS = Layout(_packed, _unpacked)
"""``(B, N, C p q r)``: a token for each patch of p frames, q rows and r columns, its channels slowest."""
