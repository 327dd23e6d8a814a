"""Networks in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Generator[None, None, None]:
    """Evaluation mode; each module's own mode is put back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def differentiable(network: nn.Module) -> Generator[None, None, None]:
    """Evaluation mode in which every parameter gets gradients; both are put back as they were."""
    state = [(parameter, parameter.requires_grad, parameter.grad) for parameter in network.parameters()]
    with evaluating(network), torch.enable_grad():
        try:
            for parameter, *_ in state:
                parameter.requires_grad_(True)
            yield
        finally:
            for parameter, wanted, gradient in state:
                parameter.requires_grad_(wanted).grad = gradient
