"""What a video transformer is given and predicts, and the velocity that follows."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from adc.ops.diffusion import straight_times, straight_velocity, to_preserved_variance
from adc_video import cogvideox

STEPS = 1000.0


class Process(Protocol):
    """How ``z_t = (1 - t) z_0 + t eps`` and ``v = eps - z_0`` are said to a network, and read off it."""

    def inputs(self, z_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is given: latents shaped like ``z_t``, and its time ``(B,)``."""
        ...

    def velocity(self, output: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        """``eps - z_0`` of what it predicts, all shaped like ``z_t``."""
        ...


class StraightPath:
    """A network that predicts the velocity itself: it is given ``1000 t`` in float32, never rounded."""

    def __init__(self, backwards: bool = False) -> None:
        """
        Args:
            backwards: Whether its time runs from noise, ``1000 (1 - t)``, and its velocity is ``z_0 - eps``.
        """
        self.backwards = backwards

    def inputs(self, z_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The latents as they are."""
        t = t.float()
        return z_t, STEPS * (1 - t if self.backwards else t)

    def velocity(self, output: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        """The prediction, or its opposite."""
        return -output if self.backwards else output


class PreservedVariance:
    """A network that predicts ``a eps - s z_0`` from ``a z_0 + s eps`` with ``a^2 + s^2 = 1``, by integer steps.

    It is given the latents of the time that is asked for, and the step whose share of noise is nearest to theirs.
    """

    def __init__(self, schedule: dict[str, Any]) -> None:
        """
        Args:
            schedule: The configuration of its noise schedule, as CogVideoX's ``scheduler_config.json``.
        """
        self.times = straight_times(cogvideox.alphas(schedule))

    def inputs(self, z_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of preserved variance, and steps ``(B,)`` from 0; time 1 is the last, which holds noise alone."""
        t = t.float()
        steps = (t[:, None] - self.times.to(t)).abs().argmin(dim=1)
        return to_preserved_variance(z_t, t), steps

    def velocity(self, output: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        """``eps - z_0``, exact for a network that predicts exactly."""
        return straight_velocity(z_t, output, t.float())
