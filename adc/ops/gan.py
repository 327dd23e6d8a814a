"""Adversarial losses."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def separation(logits: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """How far logits separate real from fake: their margin and their accuracy, without gradients.

    The margin is the mean logit of real clips less that of fake ones; the accuracy is the share of logits on the right
    side of 0, the mean of that of real and that of fake clips, so that one answer for all is right in half.

    Args:
        logits: Logits of any shape with their label, 1 for real and -1 for fake; at least one of each.
    """
    means: dict[int, Tensor] = {}
    shares: list[Tensor] = []
    for label in (1, -1):
        own = torch.cat([found.detach().float().flatten() for found, given in logits if given == label])
        means[label] = own.mean()
        shares.append((label * own > 0).float().mean())
    return means[1] - means[-1], torch.stack(shares).mean()


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


def feature_matching(
    fake: Sequence[Tensor], real: Sequence[Tensor], norm: Literal["l2", "l1"] = "l2", normalize: bool = False
) -> list[Tensor]:
    """The distance of each pair of taps, a mean of squares or of absolute values; their mean is the loss.

    Args:
        fake: Features of samples; gradients reach them.
        real: Those of real clips, of the same shapes; detached.
        norm: Squares, or absolute values (Larsen et al., 2016; Kong et al., 2020).
        normalize: Whether both are divided by the deviation of the real ones: those of deep blocks are larger.

    Raises:
        ValueError: If the numbers differ.
    """
    distance = F.mse_loss if norm == "l2" else F.l1_loss
    losses: list[Tensor] = []
    for ours, theirs in zip(fake, real, strict=True):
        theirs = theirs.detach().float()
        scale = theirs.std().clamp(min=1e-6) if normalize else 1.0
        losses.append(distance(ours.float() / scale, theirs / scale))
    return losses


def approximate_r1(logits: Tensor, perturbed: Tensor, sigma: float) -> Tensor:
    """``mean ((D(x + sigma n) - D(x)) / sigma)^2``: R1 (Mescheder et al., 2018) without second derivatives.

    Args:
        logits: Of real noisy latents.
        perturbed: Of the same with normal noise times ``sigma`` added to them, at the same times.
        sigma: Deviation of that noise, above 0.
    """
    return ((perturbed.float() - logits.float()) / sigma).square().mean()
