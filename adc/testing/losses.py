"""Contracts of `Loss` and `Scorer`."""

from __future__ import annotations

import torch
from torch import Tensor

from adc.interfaces import Loss, Scorer
from adc.testing import probe
from adc.testing.probe import require


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
