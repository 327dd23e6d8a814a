"""Contracts of `Degradation` and `Source`."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch
from torch import Generator, Tensor

from adc.interfaces import Degradation, Source
from adc.ops.clip import quantize
from adc.testing import probe
from adc.testing.probe import require

BYTE = 1e-5
TENSORS = ("lr", "hr", "stills")


def check_degradation(degradation: Degradation, size: int = 64) -> None:
    """Verify the text of `Degradation`.

    Args:
        degradation: What is checked.
        size: Height of the example clips, a multiple of twice the scale; the width differs.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(degradation, Degradation)
    subject, scale = f"{name}.forward", degradation.scale
    require(
        isinstance(scale, int) and scale >= 1, f"{name}.scale", f"must be a whole number of at least 1; got {scale!r}"
    )
    for frames in (1, 3):
        for seed in range(4):
            hr = probe.example(frames, 3, size, size + 2 * scale, seed=seed, device=probe.device_of(degradation))
            lr = _degrade(degradation, hr, seed, world=1)
            probe.check_clip(subject, lr, (frames, 3, size // scale, size // scale + 2), hr)
            inside = lr.min().item() >= -1 and lr.max().item() <= 1
            require(inside, subject, f"must stay in [-1, 1]; got {lr.min().item():.4g} to {lr.max().item():.4g}")
            on_grid = (lr - quantize(lr)).abs().max().item() <= BYTE
            require(on_grid, subject, "must lie on the grid of 8-bit values (adc.ops.clip.quantize)")
            again = _degrade(degradation, hr, seed, world=2)
            require(
                torch.equal(lr, again),
                subject,
                "the same generator state must give the same clip (does something draw from a global generator?)",
            )


def _degrade(degradation: Degradation, hr: Tensor, seed: int, world: int) -> Tensor:
    """Degrade under some global random state, which is put back."""
    python, before = random.getstate(), hr.clone()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            random.seed(world)
            lr = degradation(hr, Generator().manual_seed(seed))
    finally:
        random.setstate(python)
    require(torch.equal(hr, before), f"{type(degradation).__name__}.forward", "must leave its input unchanged")
    return lr


def check_source(source: Source, size: int = 16, scale: int = 4) -> None:
    """Verify the text of `Source`.

    Args:
        source: What is checked.
        size: Side of the example batch's small clips.
        scale: How many times larger its large clips are.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    subject = f"{probe.require_kind(source, Source)}.__call__"
    for clips, frames in probe.SIZES:
        batch = probe.example_batch(clips, frames, size, scale, torch.device("cpu"))
        before: dict[str, Any] = copy.deepcopy(dict(batch))
        with torch.no_grad():
            clip = source(batch)
        probe.check_clip(subject, clip, (clips, None, 3, None, None), batch["hr"])
        inside = clip.min().item() >= -1 and clip.max().item() <= 1
        require(inside, subject, f"must stay in [-1, 1]; got {clip.min().item():.4g} to {clip.max().item():.4g}")
        now: dict[str, Any] = dict(batch)
        same = now.keys() == before.keys() and all(torch.equal(now[key], before[key]) for key in TENSORS)
        require(same, subject, "must leave the batch unchanged")
