"""Low-rank adapters as plain tensors: read off peft's names, and merged into the layers they belong to."""

from __future__ import annotations

import re
from collections.abc import Collection

import torch
from torch import Tensor, nn

PUBLISHED_ALPHA = 8
"""peft's default, with which OSEDiff, PiSA-SR and AdcSR's discriminator were trained; the scale is alpha / rank."""

_FACTOR = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])(\.(?P<adapter>[^.]+))?\.weight")


def delta(a: Tensor, b: Tensor, alpha: float = PUBLISHED_ALPHA) -> Tensor:
    """What an adapter adds to the weight of its layer: ``alpha / r * B A`` (Hu et al., 2022).

    Args:
        a: ``(r, I)``, or ``(r, I, k, k)`` of a convolution.
        b: ``(O, r)``, or ``(O, r, 1, 1)``.
        alpha: peft's ``lora_alpha``.

    Returns:
        ``(O, I)`` or ``(O, I, k, k)``.
    """
    return alpha / a.shape[0] * torch.einsum("or,ri...->oi...", b.flatten(1), a)


def factors(weights: dict[str, Tensor], adapters: Collection[str] | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """The pairs (A, B) of adapters by layer; names with an adapter outside ``adapters`` are left out.

    Raises:
        ValueError: If one half of a pair is missing, or a layer has several; names it.
    """
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        found = _FACTOR.fullmatch(name)
        if found and (adapters is None or found["adapter"] in adapters):
            pair = halves.setdefault(found["layer"], {})
            if found["side"] in pair:
                raise ValueError(f"{name}: its layer has several adapters here; say which of them are meant.")
            pair[found["side"]] = tensor
    for layer, pair in halves.items():
        for side in {"A", "B"} - set(pair):
            raise ValueError(f"{layer}: its adapter has no lora_{side}; the file is not complete.")
    return {layer: (pair["A"], pair["B"]) for layer, pair in halves.items()}


def as_tensors(pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Pairs by layer as tensors by name, the inverse of `factors`."""
    return {
        f"{layer}.lora_{side}.weight": half
        for layer, pair in pairs.items()
        for side, half in zip("AB", pair, strict=True)
    }


@torch.no_grad()
def merge(network: nn.Module, weights: dict[str, Tensor], adapters: Collection[str] | None = None) -> None:
    """Add adapters to the layers of a network, in place.

    Whole tensors of the network, ``<layer>.base_layer.*`` among them, are copied first.

    Raises:
        ValueError: If the network has no such layer, or one of another shape, or a tensor is neither the network's own
            nor a factor by peft's names (another library's names, DoRA's magnitudes, biases of adapters); names it.
    """
    own = network.state_dict()
    whole = {name: name.replace(".base_layer.", ".") for name in weights if not _FACTOR.fullmatch(name)}
    for name, place in whole.items():
        if place not in own and "lora" in name:
            raise ValueError(
                f"{name}: only lora_A.weight and lora_B.weight can be merged; merge it with the library that wrote it."
            )
        _place(network, place, weights[name]).copy_(weights[name])
    for layer, (a, b) in factors(weights, adapters).items():
        change = delta(a.float(), b.float())
        _place(network, f"{layer}.weight", change).add_(change)


def _place(network: nn.Module, name: str, tensor: Tensor) -> Tensor:
    layer, _, kind = name.rpartition(".")
    try:
        own = getattr(network.get_submodule(layer), kind)
    except AttributeError:
        raise ValueError(
            f"{name}: {type(network).__name__} has no such layer; the adapter is another network's."
        ) from None
    if own.shape != tensor.shape:
        expected = f"{type(network).__name__} has {list(own.shape)}"
        raise ValueError(f"{name}: the adapter's is {list(tensor.shape)}, but {expected}.")
    return own
