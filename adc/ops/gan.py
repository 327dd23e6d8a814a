"""Adversarial losses."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["non_saturating", "hinge"]


def discriminator_loss(logits: Tensor, label: int, form: Form) -> Tensor:
    """How far logits are from saying a label, averaged.

    ``non_saturating``: ``log(1 + exp(-label * logits))`` (Goodfellow et al., 2014, non-saturating);
    ``hinge``: ``max(0, 1 - label * logits)`` (Lim and Ye, 2017).

    Args:
        logits: Any shape; larger is more real.
        label: 1 for real, -1 for fake.
        form: Which of the two.
    """
    if form == "non_saturating":
        return F.softplus(-label * logits.float()).mean()
    return F.relu(1 - label * logits.float()).mean()


def generator_loss(logits: Tensor, form: Form) -> Tensor:
    """What a generator minimises: ``softplus(-logits)``, or ``-logits`` beside a hinge discriminator."""
    return discriminator_loss(logits, 1, "non_saturating") if form == "non_saturating" else -logits.float().mean()


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, average: Callable[[Tensor], Tensor] = lambda x: x
) -> Tensor:
    """How much the adversarial gradient must be enlarged to match the other one (Esser et al., 2021).

    ``|d reconstruction / d last| / (|d adversarial / d last| + 1e-4)``, at most 1e4, without a gradient.

    Args:
        reconstruction: A scalar.
        adversarial: A scalar.
        last: The weight of the last layer; both scalars depend on it.
        average: Applied to both gradients: their mean over processes, so that all of them get one weight.
    """
    (a,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (b,) = torch.autograd.grad(adversarial, last, retain_graph=True)
    return (average(a.float()).norm() / (average(b.float()).norm() + 1e-4)).clamp(0, 1e4).detach()
