"""A long or large clip as overlapping windows that fade into each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Windows of one length along an axis.

    Attributes:
        length: Of the axis.
        window: Of every window.
        starts: Where they begin, in order; the first at 0, the last one ends with the axis.
    """

    length: int
    window: int
    starts: tuple[int, ...]

    def blend_weights(self, scale: int = 1) -> list[Tensor]:
        """What each window counts for, ``(scale * window,)``; the shares of every place add up to one.

        A window rises over what it has in common with the one before it, and falls over what it has
        in common with the next.
        """
        total, found = torch.zeros(self.length * scale), []
        for index, start in enumerate(self.starts):
            place = torch.arange(self.window * scale) + 0.5
            share = torch.ones(self.window * scale)
            if index > 0:
                share = share.minimum(place / ((self.starts[index - 1] + self.window - start) * scale))
            if index + 1 < len(self.starts):
                share = share.minimum(place.flip(0) / ((start + self.window - self.starts[index + 1]) * scale))
            total[start * scale : (start + self.window) * scale] += share
            found.append(share)
        return [share / total[at * scale :][: len(share)] for share, at in zip(found, self.starts, strict=True)]


def cover(length: int, window: int | None, overlap: int, step: int) -> Windows:
    """As few windows as cover an axis, evenly spread.

    Args:
        length: Of the axis; differs from `window` by a multiple of `step`.
        window: Their length; None, or one not shorter than the axis, takes it whole.
        overlap: What neighbours share, at least; at most ``window - step``.
        step: They begin at multiples of this.
    """
    if window is None or window >= length:
        return Windows(length, length, (0,))
    free, stride = length - window, (window - overlap) // step * step
    last = -(-free // stride)
    return Windows(length, window, tuple(free * index // last // step * step for index in range(last + 1)))


def blended(function: Callable[[Tensor], Tensor], clip: Tensor, axes: Sequence[Windows], scale: int) -> Tensor:
    """Upscale a clip window by window; a single window is handed on as it is.

    Args:
        function: Enlarges ``(B, t, 3, h, w)`` by `scale`.
        clip: ``(B, T, 3, H, W)``.
        axes: Windows along ``T``, ``H`` and ``W``.
        scale: How many times larger the result is, in height and in width.

    Returns:
        ``(B, T, 3, scale * H, scale * W)``.
    """
    if all(len(axis.starts) == 1 for axis in axes):
        return function(clip)
    weights = [axis.blend_weights(factor) for axis, factor in zip(axes, (1, scale, scale), strict=True)]
    size = [axis.length * factor for axis, factor in zip(axes, (1, scale, scale), strict=True)]
    canvas = None
    for place in product(*(range(len(axis.starts)) for axis in axes)):
        parts = [slice(axis.starts[i], axis.starts[i] + axis.window) for axis, i in zip(axes, place, strict=True)]
        piece = function(clip[:, parts[0], :, parts[1], parts[2]])
        if canvas is None:
            canvas = piece.new_zeros(len(clip), size[0], piece.shape[2], *size[1:])
        time, rows, columns = (blend_weights[i].to(piece) for blend_weights, i in zip(weights, place, strict=True))
        share = time[:, None, None, None] * rows[:, None] * columns
        large = [slice(part.start * scale, part.stop * scale) for part in parts[1:]]
        canvas[:, parts[0], :, large[0], large[1]] += share * piece
    assert canvas is not None
    return canvas
