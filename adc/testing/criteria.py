"""Contracts of `Discriminator`, `Loss` and `Scorer`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adc.interfaces import Discriminator, Loss, Scorer
from adc.testing import probe
from adc.testing.probe import require

DOMAINS = ("pixel", "feature", "score")
TAPS = 2


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
    domain, heads = getattr(discriminator, "domain", None), getattr(discriminator, "heads", None)
    require(domain in DOMAINS, f"{name}.domain", f"must be one of {', '.join(DOMAINS)}; got {domain!r}")
    named = isinstance(heads, tuple) and bool(heads) and all(isinstance(head, str) for head in heads)
    require(
        named and len(set(heads or ())) == len(heads or ()), f"{name}.heads", f"must be a tuple of names; got {heads!r}"
    )
    width = 3 if domain == "pixel" else channels if channels is not None else probe.first_width(discriminator)
    device = probe.device_of(discriminator)
    with probe.evaluating(discriminator):
        for clips, frames in probe.SIZES:
            _check_logits(name, discriminator, probe.example(clips, frames, width, size, size, device=device))


def _check_logits(name: str, discriminator: Discriminator, clip: Tensor) -> None:
    subject = f"{name}.forward"
    with torch.no_grad():
        logits = discriminator(_view(discriminator, clip))
    require(isinstance(logits, dict), subject, f"must return logits by head; got {type(logits).__name__}")
    require(
        set(logits) == set(discriminator.heads),
        subject,
        f"must give logits for every head, {', '.join(discriminator.heads)}; got {', '.join(map(str, logits))}",
    )
    trainable = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    require(bool(trainable), name, "must have parameters to train; none requires gradients")
    for head in discriminator.heads:

        def logits_of(view: Tensor, head: str = head) -> Tensor:
            return discriminator(_view(discriminator, view))[head]

        own = f"{subject} (head {head!r})"
        probe.check_clip(own, logits[head], (None,) * logits[head].ndim, clip)
        probe.check_steady(own, logits_of, clip)
        probe.check_input_gradient(own, logits_of, clip, "the view")
        probe.check_parameter_gradient(own, lambda logits_of=logits_of: logits_of(clip), trainable, "the parameters")


def _view(discriminator: Discriminator, clip: Tensor) -> Tensor | Sequence[Tensor]:
    return [clip] * TAPS if discriminator.domain == "score" else clip


def check_loss(loss: Loss, channels: int = 8, size: int = 64) -> None:
    """Verify the text of `Loss`.

    Args:
        loss: What is checked.
        channels: Channels of the example features, for a loss of that domain; pixels have 3.
        size: Side of the square example views.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(loss, Loss)
    domain, against, weight = (getattr(loss, key, None) for key in ("domain", "against", "weight"))
    require(domain in ("feature", "pixel"), f"{name}.domain", f"must be feature or pixel; got {domain!r}")
    require(against in ("teacher", "real"), f"{name}.against", f"must be teacher or real; got {against!r}")
    require(isinstance(weight, int | float), f"{name}.weight", f"must be a number; got {weight!r}")
    subject, width, device = f"{name}.forward", 3 if domain == "pixel" else channels, probe.device_of(loss)
    with probe.evaluating(loss):
        for clips, frames in probe.SIZES:
            shape = (clips, frames, width, size, size)
            prediction, target = probe.example(*shape, device=device), probe.example(*shape, seed=1, device=device)
            with torch.no_grad():
                value = loss(prediction, target)
                probe.check_clip(subject, value, (), prediction)
                twice = loss(torch.cat([prediction] * 2), torch.cat([target] * 2))
                require(probe.close(value, twice), subject, "must be a mean: a batch repeated has the same loss")
                each = loss.per_sample(prediction, target)
                probe.check_clip(f"{name}.per_sample", each, (clips,), prediction)
                require(probe.close(value, each.mean()), f"{name}.per_sample", "its mean must be the loss of the batch")
            probe.check_steady(subject, lambda x, target=target: loss(x, target), prediction)
            probe.check_input_gradient(subject, lambda x, target=target: loss(x, target), prediction, "the prediction")
        _check_unweighted(subject, loss, prediction, target)


def _check_unweighted(subject: str, loss: Loss, prediction: Tensor, target: Tensor) -> None:
    weight = loss.weight
    with torch.no_grad():
        before = loss(prediction, target)
        try:
            loss.weight = 3 * weight + 1
            after = loss(prediction, target)
        finally:
            loss.weight = weight
    require(probe.close(before, after), subject, "must not be weighted: the stage multiplies by weight")


def check_scorer(scorer: Scorer, size: int = 64) -> None:
    """Verify the text of `Scorer`.

    Args:
        scorer: What is checked.
        size: Side of the square example clips.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    subject = f"{probe.require_kind(scorer, Scorer)}.forward"
    with probe.evaluating(scorer):
        for clips, frames in ((2, 1), (2, 3)):
            clip = probe.example(clips, frames, 3, size, size, device=probe.device_of(scorer))
            with torch.no_grad():
                probe.check_clip(subject, scorer(clip), (clips,), clip)
            probe.check_steady(subject, scorer, clip)
            probe.check_separate(subject, scorer, clip)
