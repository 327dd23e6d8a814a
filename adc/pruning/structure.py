"""The widths of a pruned network as plain data, and the way back to them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import nn

FOLLOWERS = (
    ("channels", "conv", "in_channels"),
    ("out_channels", "conv", "out_channels"),
    ("in_channels", "conv1", "in_channels"),
    ("out_channels", "conv2", "out_channels"),
    ("query_dim", "to_q", "in_features"),
    ("cross_attention_dim", "to_k", "in_features"),
    ("inner_dim", "to_q", "out_features"),
    ("inner_kv_dim", "to_k", "out_features"),
    ("out_dim", "to_out.0", "out_features"),
    ("in_channels", "proj_in", "in_features"),
    ("in_channels", "proj_in", "in_channels"),
    ("inner_dim", "proj_in", "out_features"),
    ("inner_dim", "proj_in", "out_channels"),
    ("out_channels", "proj_out", "out_features"),
    ("out_channels", "proj_out", "out_channels"),
    ("dim", "attn1.to_q", "in_features"),
)


def is_attention(module: nn.Module) -> bool:
    """Whether a module has heads and separate projections, in diffusers' names."""
    return isinstance(getattr(module, "heads", None), int) and all(
        isinstance(getattr(module, name, None), nn.Linear) for name in ("to_q", "to_k", "to_v")
    )


def fit(network: nn.Module) -> None:
    """Put right the numbers that blocks remember of the widths of their layers.

    An attribute follows a layer in the same block (`FOLLOWERS`); the softmax scale of attention follows the
    width of a head, unless it was something else before.
    """
    for module in network.modules():
        before = getattr(module, "inner_dim", None)
        for attribute, path, source in FOLLOWERS:
            if type(vars(module).get(attribute)) is not int:
                continue
            with suppress(AttributeError):  # no such layer in this block
                if isinstance(value := getattr(module.get_submodule(path), source), int):
                    setattr(module, attribute, value)
        if is_attention(module) and isinstance(before, int):
            _fit_scale(module, before)


def _fit_scale(attention: Any, inner_before: int) -> None:
    usual = (inner_before // attention.heads) ** -0.5
    if isinstance(getattr(attention, "scale", None), float) and abs(attention.scale - usual) < 1e-9:
        attention.scale = (attention.to_q.out_features // attention.heads) ** -0.5


def record(network: nn.Module, full: nn.Module) -> dict[str, Any]:
    """What `replay` needs to turn a freshly built network into the shape of a pruned one.

    Args:
        network: The pruned network.
        full: The same network, freshly built; the ``meta`` device is enough.

    Returns:
        Plain JSON: ``tensors``, the shape of every parameter and buffer; ``attributes``, by
        module, the numbers that differ from those of the full network.

    Raises:
        ValueError: If the two are not built of the same modules.
    """
    own, other = dict(network.named_modules()), dict(full.named_modules())
    strange = sorted(set(own) ^ set(other))
    if strange:
        raise ValueError(f"{type(network).__name__}: a fresh one is built of other modules: {_some(strange)}.")
    attributes = {}
    for name, module in own.items():
        fresh = _numbers(other[name])
        known = vars(other[name])  # a network may note more while it runs
        changed = {key: value for key, value in _numbers(module).items() if key in known and fresh.get(key) != value}
        if changed:
            attributes[name] = changed
    tensors = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    return {"tensors": tensors, "attributes": attributes}


def replay(network: nn.Module, structure: dict[str, Any]) -> nn.Module:
    """Give a freshly built network the widths that were recorded.

    Its tensors keep their first entries; weights are loaded afterwards.

    Args:
        network: The full network; changed in place.
        structure: What `record` returned.

    Returns:
        The network.

    Raises:
        ValueError: If the structure is not one of this network.
    """
    if not isinstance(structure, dict) or set(structure) != {"tensors", "attributes"}:
        raise ValueError("a structure holds `tensors` and `attributes`, and nothing else.")
    tensors, attributes = structure["tensors"], structure["attributes"]
    kind = type(network).__name__
    own = network.state_dict(keep_vars=True)
    strange = sorted(set(own) ^ set(tensors))
    if strange:
        raise ValueError(f"the structure is not one of {kind}: {_some(strange)} is in only one of them.")
    for name, shape in tensors.items():
        old = own[name]
        if len(shape) != old.ndim or any(new > now for new, now in zip(shape, old.shape, strict=False)):
            raise ValueError(f"the structure is not one of {kind}: {name} is {list(old.shape)} and would be {shape}.")
    modules = dict(network.named_modules())
    strange = sorted(set(attributes) - set(modules))
    if strange:
        raise ValueError(f"the structure is not one of {kind}: it has no module {_some(strange)}.")
    for name, shape in tensors.items():
        owner, _, key = name.rpartition(".")
        if list(own[name].shape) != shape:
            _cut(modules[owner], key, shape)
    for name, changed in attributes.items():
        for key, value in changed.items():
            if not hasattr(modules[name], key):
                raise ValueError(f"the structure is not one of {kind}: {name or kind} has no attribute {key!r}.")
            setattr(modules[name], key, tuple(value) if isinstance(value, list) else value)
    return network


def _cut(module: nn.Module, key: str, shape: list[int]) -> None:
    old = getattr(module, key)
    new = old.detach()[tuple(slice(size) for size in shape)].clone()
    setattr(module, key, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)


def _numbers(module: nn.Module) -> dict[str, Any]:
    """The plain numbers, and tuples of integers, that a module remembers."""
    found: dict[str, Any] = {}
    for key, value in vars(module).items():
        if key.startswith("_") or isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[key] = value
        elif isinstance(value, tuple) and value and all(type(entry) is int for entry in value):
            found[key] = list(value)
    return found


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
