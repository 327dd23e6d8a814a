"""Contracts of `Discriminator` and `ScoreDiscriminator`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Discriminator, ScoreDiscriminator
from adc.testing import probe
from adc.testing.probe import require

DOMAINS = ("pixel", "feature")


def check_discriminator(discriminator: Discriminator, channels: int | None = None, size: int = 64) -> None:
    """Verify the text of `Discriminator`.

    Args:
        discriminator: What is checked.
        channels: Channels of a view that is not pixels; null reads them off its first layer.
        size: Side of the square example views.

    Raises:
        AssertionError: Names the first clause that is broken.
        ValueError: If the channels are not given and cannot be told.
    """
    name = probe.require_kind(discriminator, Discriminator)
    domain = getattr(discriminator, "domain", None)
    require(domain in DOMAINS, f"{name}.domain", f"must be one of {', '.join(DOMAINS)}; got {domain!r}")
    _check_heads(name, discriminator)
    width = 3 if domain == "pixel" else channels if channels is not None else probe.first_width(discriminator)
    device = probe.device_of(discriminator)
    with probe.evaluating(discriminator):
        for clips, frames in probe.SIZES:
            _check_logits(name, discriminator, probe.example(clips, frames, width, size, size, device=device))


def _check_logits(name: str, discriminator: Discriminator, clip: Tensor) -> None:
    subject = f"{name}.forward"
    with torch.no_grad():
        logits = discriminator(clip)
    _check_table(subject, discriminator, logits)
    trainable = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    require(bool(trainable), name, "must have parameters to train; none requires gradients")
    for head in discriminator.heads:

        def logits_of(view: Tensor, head: str = head) -> Tensor:
            return discriminator(view)[head]

        own = f"{subject} (head {head!r})"
        probe.check_clip(own, logits[head], (None,) * logits[head].ndim, clip)
        probe.check_steady(own, logits_of, clip)
        probe.check_input_gradient(own, logits_of, clip, "the view")
        probe.check_gradient(own, lambda logits_of=logits_of: logits_of(clip), trainable, "the parameters")


def check_score_discriminator(discriminator: ScoreDiscriminator, size: int = 16) -> None:
    """Verify the text of `ScoreDiscriminator`.

    Args:
        discriminator: What is checked.
        size: Side of the example features.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(discriminator, ScoreDiscriminator)
    _check_heads(name, discriminator)
    widths, taps = getattr(discriminator, "widths", None), getattr(discriminator, "taps", None)
    keys = set(widths) if isinstance(widths, dict) else None
    require(keys == {"real", "fake"}, f"{name}.widths", f"must name the channels of real and fake; got {widths!r}")
    require(isinstance(taps, int) and taps >= 1, f"{name}.taps", f"must be at least 1; got {taps!r}")
    device = probe.device_of(discriminator)
    trainable = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    require(bool(trainable), name, "must have parameters to train; none requires gradients")
    with probe.evaluating(discriminator):
        for clips, frames in probe.SIZES:
            views = {
                network: [
                    probe.example(clips, frames, width, size, size, seed=tap, device=device)
                    for tap in range(discriminator.taps)
                ]
                for network, width in discriminator.widths.items()
            }
            times = torch.linspace(0, 1, clips, device=device)
            _check_score_logits(f"{name}.forward", discriminator, views, times, trainable)


def _check_score_logits(
    subject: str, discriminator: ScoreDiscriminator, views: dict[str, list[Tensor]], t: Tensor, trainable: list[Any]
) -> None:
    with torch.no_grad():
        logits = discriminator(views, t)
    _check_table(subject, discriminator, logits)
    for head in discriminator.heads:
        own = f"{subject} (head {head!r})"
        for network, features in views.items():
            for tap, feature in enumerate(features):

                def logits_of(view: Tensor, network: str = network, tap: int = tap, head: str = head) -> Tensor:
                    taps = [*views[network][:tap], view, *views[network][tap + 1 :]]
                    return discriminator({**views, network: taps}, t)[head]

                shape = (len(t), *(None,) * (logits[head].ndim - 1))
                probe.check_clip(own, logits[head], shape, feature)
                probe.check_steady(own, logits_of, feature)
                probe.check_input_gradient(own, logits_of, feature, f"feature {tap} of the network {network!r}")
        probe.check_gradient(own, lambda head=head: discriminator(views, t)[head], trainable, "the parameters")


def _check_heads(name: str, discriminator: Discriminator | ScoreDiscriminator) -> None:
    heads = getattr(discriminator, "heads", None)
    named = isinstance(heads, tuple) and bool(heads) and all(isinstance(head, str) for head in heads)
    require(
        named and len(set(heads or ())) == len(heads or ()), f"{name}.heads", f"must be a tuple of names; got {heads!r}"
    )


def _check_table(subject: str, discriminator: Discriminator | ScoreDiscriminator, logits: Any) -> None:
    require(isinstance(logits, dict), subject, f"must return logits by head; got {type(logits).__name__}")
    require(
        set(logits) == set(discriminator.heads),
        subject,
        f"must give logits of every head, {', '.join(discriminator.heads)}; got {', '.join(map(str, logits))}",
    )
