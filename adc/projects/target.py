"""A share of a network's multiply-accumulates, and the ratio of channels that must go for it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from adc.errors import UsageError
from adc.interfaces import Student
from adc.metrics.efficiency import Cost, count, meta_copy
from adc.pruning import Magnitude, prune

SIDE = 64
"""Height and width of the LR image for which multiply-accumulates are counted here."""
TRIALS = 6
"""Cuts that are tried at most; the first is right where costs go with the square of the width."""
ABOVE, BELOW = 1.03, 0.9
"""A cut is near enough if it leaves this much of the target."""
HIGHEST = 0.9
"""The largest ratio: a tenth of the channels stays."""


@dataclass(frozen=True)
class Cut:
    """A pruned network.

    Attributes:
        student: It.
        ratios: What of its channels went, by part.
        before: The cost of the whole network.
        after: The cost of what is left.
    """

    student: Student
    ratios: dict[str, float]
    before: Cost
    after: Cost

    @property
    def share(self) -> float:
        """The multiply-accumulates that are left, of all."""
        return self.after.macs / self.before.macs


def share_of(target: str) -> float:
    """The share that ``macs=25%`` asks for.

    Raises:
        UsageError: If it is written otherwise, or no share above 0% and below 100%.
    """
    found = re.fullmatch(r"macs=(\d+(?:\.\d+)?)%", target.strip())
    if found is None:
        raise UsageError(f"--target {target}: expected the share of multiply-accumulates that stays, such as macs=25%.")
    if not 0 < float(found[1]) < 100:
        raise UsageError(f"--target {target}: the student must keep something and lose something, such as macs=25%.")
    return float(found[1]) / 100


def cut_to(student: Student, share: float) -> Cut:
    """A copy of a network with one ratio of channels cut everywhere, so that a share of its cost is left.

    Raises:
        UsageError: If no ratio leaves as little.
    """
    before = cost(student)
    found = find_ratio(lambda ratio: _cut(student, ratio, before), share)
    if found.share > ABOVE * share:
        least = -(-100 * found.share // 1)
        raise UsageError(
            f"--target macs={100 * share:g}%: cannot be met; with {HIGHEST:.0%} of the channels cut, {found.share:.0%} "
            "of the multiply-accumulates stay, since parts of this network stay whole; ask for "
            f"macs={least:.0f}% or more."
        )
    return found


def find_ratio(cut: Callable[[float], Cut], share: float) -> Cut:
    """The cut that comes nearest to a share from below, found by halving the interval of ratios.

    Args:
        cut: Cuts a copy by a ratio; what is left falls as the ratio rises.
        share: What may be left.
    """
    low, high = 0.0, HIGHEST
    ratio = min(1 - share**0.5, HIGHEST)
    best: Cut | None = None
    for _ in range(TRIALS):
        found = cut(round(ratio, 3))
        if found.share <= ABOVE * share:
            best = found if best is None or found.share > best.share else best
            if found.share >= BELOW * share:
                break
            high = ratio
        elif ratio >= HIGHEST:
            return found
        else:
            low = ratio
        ratio = (low + high) / 2
    return best or cut(HIGHEST)


def _cut(student: Student, ratio: float, before: Cost) -> Cut:
    smaller = copy.deepcopy(student)
    ratios = dict.fromkeys(smaller.prunable().parts, ratio)
    prune(smaller, ratios, Magnitude())
    return Cut(smaller, ratios, before, cost(smaller))


def cost(student: Student, side: int = SIDE) -> Cost:
    """Parameters and multiply-accumulates of an LR image, without computing where the network allows it."""
    clip = torch.zeros(1, 1, 3, side, side)
    try:
        (copied,) = meta_copy(student)
        return count(copied, clip.to("meta"))
    except (RuntimeError, NotImplementedError):
        return count(student, clip)
