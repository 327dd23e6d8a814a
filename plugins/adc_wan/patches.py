"""Patches of latents."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def unpatchify(patches: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Patches ``(B, N, P)`` of a grid of frames, rows and columns to latents ``(B, T', Z, h, w)``."""
    split = patches.unflatten(1, grid).unflatten(-1, (*patch, -1))
    _, frames, rows, columns, p, q, r, channels = split.shape  # a patch is p frames of q x r positions
    return split.permute(0, 1, 4, 7, 2, 5, 3, 6).reshape(-1, frames * p, channels, rows * q, columns * r)
