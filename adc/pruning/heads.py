"""Attention heads of a network that is pruned: those that are known, and those that are not."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from adc.interfaces import Prunable
from adc.pruning.structure import is_attention


def heads_of(plan: Prunable) -> dict[nn.Module, int]:
    """The number of heads by projection: attention in diffusers' names, and `Prunable.heads`.

    Raises:
        ValueError: If a number does not divide the output channels of its layer; names the layer.
    """
    found: dict[nn.Module, int] = {}
    for module in plan.network.modules():
        if is_attention(module):
            found |= dict.fromkeys((module.to_q, module.to_k, module.to_v), module.heads)  # type: ignore[arg-type]
    names = {layer: name for name, layer in plan.network.named_modules()}
    for layer, count in plan.heads.items():
        channels = getattr(layer, "out_features", getattr(layer, "out_channels", 0))
        if layer not in names or count < 1 or channels % count:
            raise ValueError(
                f"heads of prunable(): {names.get(layer, type(layer).__name__)} has {channels} output channels, "
                f"which {count} heads do not share; give the number of its heads."
            )
    return found | plan.heads


class AttentionWatch(TorchFunctionMode):
    """Notes which modules compute ``scaled_dot_product_attention`` of several heads.

    Attributes:
        seen: The number of heads by the innermost module that ran.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.seen: dict[nn.Module, int] = {}
        self._network, self._running = network, list[nn.Module]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; of attention, note ``(B, heads, tokens, width)``."""
        if func is F.scaled_dot_product_attention:
            query: Tensor = args[0] if args else kwargs["query"]
            if query.ndim == 4 and query.shape[1] > 1:
                self.seen[self._running[-1] if self._running else self._network] = query.shape[1]
        return func(*args, **(kwargs or {}))

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Note while the network runs."""
        hooks = []
        for module in self._network.modules():
            hooks.append(module.register_forward_pre_hook(lambda module, _: self._running.append(module)))
            hooks.append(module.register_forward_hook(lambda *_: self._running.pop() and None, always_call=True))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()


def check_heads(
    plan: Prunable, seen: Mapping[nn.Module, int], known: Mapping[nn.Module, int], cut: set[nn.Module]
) -> None:
    """Refuse to cut across heads that nobody named.

    Args:
        plan: What is pruned.
        seen: Modules that compute attention, and their heads.
        known: Heads by projection.
        cut: Layers that lose output channels.

    Raises:
        ValueError: If a module computes attention, loses channels, and none of its layers is in ``known``,
            ``blocks`` or ``ignored``; names it.
    """
    named = {*known, *plan.blocks, *plan.ignored}
    names = {module: name for name, module in plan.network.named_modules()}
    for module, count in seen.items():
        layers = set(module.modules())
        if layers & cut and not layers & named:
            inside = next(names[layer] for layer in module.modules() if layer in cut)
            place = names[module] or type(module).__name__
            raise ValueError(
                f"{place}: attention with {count} heads, whose projections are not known; "
                f"name them in `heads` of prunable() (`{{{inside}: {count}}}`), or in `ignored`."
            )
