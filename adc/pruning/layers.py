"""Where layers keep their channels, and how they lose some."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from adc.pruning.structure import fit, is_attention

GROUP_COUNTS = (32, 24, 16, 12, 8, 6, 4, 2, 1)


def is_channelwise(layer: nn.Module) -> bool:
    """Whether all that a layer of another class holds is numbers for each channel, as a norm of a network's own does.

    It has parameters; each of its tensors is as long as one of its axes, and all are of one length. A scalar is none.
    """
    if isinstance(layer, nn.LayerNorm | nn.Embedding) or _attribute(layer, True) or [*layer.children()]:
        return False
    held = [*layer.parameters(), *layer.buffers()] if [*layer.parameters()] else []
    one_axis = all(max(tensor.shape, default=0) == tensor.numel() for tensor in held)
    return one_axis and len({tensor.numel() for tensor in held}) == 1 and (held[0].numel() > 1 or held[0].ndim > 1)


def width(layer: nn.Module, output: bool) -> int | None:
    """How many channels come out of a layer, or go in; None if the layer is not supported.

    Layers that treat each channel for itself (norms, depthwise convolutions) have one width.
    """
    if isinstance(layer, nn.LayerNorm):
        return layer.normalized_shape[0] if len(layer.normalized_shape) == 1 else None
    if isinstance(layer, _ConvNd) and layer.groups != 1 and not is_depthwise(layer):
        return None
    if attribute := _attribute(layer, output):
        return getattr(layer, attribute)
    return next(layer.parameters()).numel() if is_channelwise(layer) else None


def _attribute(layer: nn.Module, output: bool) -> str | None:
    """Name of a layer's number of channels."""
    side = "out" if output else "in"
    names: dict[type, str] = {
        nn.Linear: f"{side}_features",
        _ConvNd: f"{side}_channels",
        nn.GroupNorm: "num_channels",
        _NormBase: "num_features",
        nn.PReLU: "num_parameters",
    }
    return next((name for kind, name in names.items() if isinstance(layer, kind)), None)


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a convolution has a filter for each channel."""
    return isinstance(layer, _ConvNd) and 1 < layer.groups == layer.in_channels == layer.out_channels


def weights(layer: nn.Module, output: bool) -> dict[str, int]:
    """The tensors of a layer that hold something for each channel, with the axis of the channels."""
    if isinstance(layer, nn.Linear | _ConvNd) and not is_depthwise(layer):
        transposed = isinstance(layer, _ConvNd) and layer.transposed
        found = {"weight": int(output is transposed)}
        if output:
            found["bias"] = 0
    elif is_channelwise(layer):
        held = {**layer._parameters, **layer._buffers}
        found = {name: tensor.shape.index(tensor.numel()) for name, tensor in held.items() if tensor is not None}
    else:
        found = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), 0)
    return {name: axis for name, axis in found.items() if getattr(layer, name, None) is not None}


def keep(layer: nn.Module, output: bool, channels: Tensor) -> None:
    """Drop all channels of a layer but some.

    Args:
        layer: One whose `width` is known; its tensors are replaced.
        output: Whether the channels that come out are meant.
        channels: Indices that stay, ascending.
    """
    for name, axis in weights(layer, output).items():
        old = getattr(layer, name)
        new = old.detach().index_select(axis, channels.to(old.device)).contiguous()
        setattr(layer, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
    count = len(channels)
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        layer.normalized_shape = (count,)
    elif isinstance(layer, _ConvNd) and is_depthwise(layer):
        layer.in_channels = layer.out_channels = layer.groups = count
    elif attribute := _attribute(layer, output):
        setattr(layer, attribute, count)
    if isinstance(layer, nn.GroupNorm):
        layer.num_groups = norm_groups(count, layer.num_groups)


def norm_groups(channels: int, most: int) -> int:
    """How many groups a pruned GroupNorm has (AdcSR): the first of a list that divides its channels.

    Args:
        channels: Channels that are left.
        most: Groups that it had.
    """
    return next(groups for groups in GROUP_COUNTS if groups <= most and channels % groups == 0)


@contextmanager
def as_products(layers: Iterable[Any]) -> Generator[None, None, None]:
    """Layers that multiply by one; what norms do inside (to expand, to divide) has no place in a graph of channels."""
    layers = list(layers)
    try:
        for layer in layers:
            layer.forward = lambda x, *_, **__: x * 1
        yield
    finally:
        for layer in layers:
            del layer.forward


def drop(
    network: nn.Module,
    kept: Mapping[tuple[nn.Module, bool], Tensor],
    aligned: bool = True,
    noted: Collection[nn.Module] = (),
) -> None:
    """Cut a network, in place.

    Args:
        network: What is cut.
        kept: By layer and side (its output, or its input) a mask over the channels that stay.
        aligned: Whether those stay; otherwise as many of the first ones.
        noted: Layers whose widths the modules around them remember as numbers, which follow.
    """
    _follow(network, {side: mask for side, mask in kept.items() if side[0] in noted})
    attentions: list[Any] = [module for module in network.modules() if is_attention(module)]
    widths = [attention.to_q.out_features for attention in attentions]
    for (layer, output), mask in kept.items():
        channels = mask.nonzero().flatten()
        keep(layer, output, channels if aligned else torch.arange(len(channels)))
    fit(network)
    if aligned:
        for attention, before in zip(attentions, widths, strict=True):
            _keep_temperature(attention, before)


def _follow(network: nn.Module, kept: Mapping[tuple[nn.Module, bool], Tensor]) -> None:
    """Put right whole numbers of the two modules around a layer that are its width, unless two layers disagree."""
    names = {module: name for name, module in network.named_modules()}
    found: dict[tuple[nn.Module, int], set[int]] = {}
    for (layer, output), mask in kept.items():
        path = names[layer].split(".")
        for depth in range(1, min(3, len(path)) + 1):
            around = network.get_submodule(".".join(path[:-depth]))
            if not type(around).__module__.startswith("torch."):
                found.setdefault((around, width(layer, output) or 0), set()).add(int(mask.sum()))
    for (around, before), after in found.items():
        for key, value in vars(around).items():
            if type(value) is int and value == before and len(after) == 1:
                setattr(around, key, next(iter(after)))


def _keep_temperature(attention: Any, before: int) -> None:
    """Narrower heads divide by a smaller root: put the difference into the queries."""
    factor = (attention.to_q.out_features / before) ** 0.5
    if factor != 1 and getattr(attention, "norm_q", None) is None:
        with torch.no_grad():
            for parameter in attention.to_q.parameters():
                parameter.mul_(factor)
