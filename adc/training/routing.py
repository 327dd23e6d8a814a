"""What a phase may move: gradients of its own roles, and buffers of their networks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


@contextmanager
def without_gradients(others: Sequence[nn.Parameter]) -> Generator[None, None, None]:
    """Parameters of other roles get no gradients; their networks only pass them on to their inputs.

    A sharded network notes once which of its parameters need gradients; there those of other roles are dropped.
    """
    if any(isinstance(parameter, DTensor) for parameter in others):
        pending = [parameter.grad for parameter in others]
        for parameter in others:
            parameter.grad = None
        try:
            yield
        finally:
            for parameter, gradient in zip(others, pending, strict=True):
                parameter.grad = gradient
        return
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


class Buffers:
    """The buffers of modules in training mode, such as running statistics of normalisation, as they are now."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """
        Args:
            modules: Those of `buffered`.
        """
        self._saved: list[tuple[nn.Module, str, Tensor, Tensor]] = [
            (module, name, buffer, buffer.detach().clone())
            for module in modules
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back; graphs that are still to be differentiated do not notice."""
        for module, name, buffer, saved in self._saved:
            buffer.data.copy_(saved)
            setattr(module, name, buffer)


def buffered(network: nn.Module) -> list[nn.Module]:
    """The modules of a network that hold buffers themselves."""
    return [module for module in network.modules() if any(True for _ in module.buffers(recurse=False))]


@contextmanager
def unmoved(modules: Mapping[str, Sequence[nn.Module]], roles: Sequence[str]) -> Generator[None, None, None]:
    """Only the networks of these roles may change their buffers; those of others compute as ever, and stay.

    Args:
        modules: What `buffered` returns for the network of each role.
        roles: Those that are updated.
    """
    moving = {id(module) for role in roles for module in modules[role]}
    others = (own for role, held in modules.items() if role not in roles for own in held if id(own) not in moving)
    buffers = Buffers(others)
    try:
        yield
    finally:
        buffers.restore()
