"""A transformer seen through its blocks: their outputs, an early end, activations that are computed again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def watched(
    network: nn.Module, lists: Sequence[str], taps: Collection[int], end: int | None, again: bool
) -> tuple[Any, dict[int, Tensor]]:
    """A network that shares all its weights with another, and keeps the outputs of some of its blocks.

    The other is not changed. Outputs are kept when the forward reaches them, not when the backward pass computes a
    block again.

    Args:
        network: The transformer.
        lists: Names of its lists of blocks, in the order in which it runs them; blocks are counted through.
        taps: Blocks whose outputs are kept.
        end: How many blocks there are; later ones are left out. Null keeps all.
        again: Whether activations of blocks are computed again in the backward pass, instead of kept.

    Returns:
        The network, and what will hold the outputs ``(B, N, C)`` by block once it has run.
    """
    found: dict[int, Tensor] = {}
    modules, number = dict(network._modules), 0
    for name in lists:
        blocks: list[nn.Module] = []
        for block in getattr(network, name):
            if end is None or number < end:
                blocks.append(_Watched(block, number, found if number in taps else None, again))
            number += 1
        modules[name] = nn.ModuleList(blocks)
    view = object.__new__(type(network))  # a copy would run the constructor of a sharded network
    view.__dict__.update(network.__dict__, _modules=modules)
    return view, found


class _Watched(nn.Module):
    """A block; of a pair of outputs the first, which is that of the video's tokens, is kept."""

    def __init__(self, block: nn.Module, number: int, found: dict[int, Tensor] | None, again: bool) -> None:
        super().__init__()
        self.block, self.number, self.found, self.again = block, number, found, again

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the block returns."""
        if self.again and torch.is_grad_enabled():
            output = checkpoint(self.block, *inputs, use_reentrant=False, **options)
        else:
            output = self.block(*inputs, **options)
        if self.found is not None:
            self.found[self.number] = output[0] if isinstance(output, tuple) else output  # pyright: ignore
        return output
