"""One-step restorers of videos: the student of DUO-VSR."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Conditioner, Denoiser, DiffusionRestorer, Prunable, Student
from adc.ops.flow import clean_from_velocity
from adc.ops.sampling import draw_noise


class OneStepVideo(DiffusionRestorer, Student):
    """A diffusion restorer of one step, ``z_0 = eps - v(eps, 1, z_LR, c)`` (Lv et al., 2026, DUO-VSR).

    Of any denoiser and its conditioner. The noise is drawn: a generator gives one of many restorations, null always
    the same. Features are the latents; a clip that does not fit is padded with copies of its last frame, column and
    row, and the result is cut.
    """

    def __init__(self, denoiser: Denoiser, conditioner: Conditioner) -> None:
        """
        Args:
            denoiser: Predicts the velocity.
            conditioner: Its conditioning, of LR and of the text; its autoencoder decodes.
        """
        super().__init__(denoiser, conditioner)

    @property
    def init_args(self) -> dict[str, Any]:
        """Both components, which a student folder describes by their own arguments."""
        return {"denoiser": self.denoiser, "conditioner": self.conditioner}

    def sample(self, condition: dict[str, Tensor], noise: Tensor) -> Tensor:
        """``z_0`` from noise: one forward of the denoiser at ``t = 1``."""
        t = torch.ones(len(noise), device=noise.device)
        velocity, _ = self.denoiser(noise, t, condition)
        assert velocity is not None
        return clean_from_velocity(noise, velocity, t)

    def encode(self, lr: Tensor) -> Tensor:
        """The latents of the padded clip, of the noise that does not change."""
        return self.restored_latents(lr)

    def prunable(self) -> Prunable:
        """The denoiser; of a transformer the widths of its feed-forward layers can be cut.

        The residual stream is tied to modulations, and a norm over all heads ties these together: both stay whole.
        """
        side = -(-16 // self.multiple) * self.multiple
        image = torch.zeros(1, 3, side, side, device=next(self.parameters()).device)
        return Prunable(_OneForward(self), (image,), {"denoiser": self.denoiser})

    def decode(self, feature: Tensor) -> Tensor:
        """Pixels of latents, padding included."""
        return self.conditioner.autoencoder.decode(feature)


class _OneForward(nn.Module):
    """Latents of images, as a network that can be traced: the autoencoder is no part of it."""

    def __init__(self, student: OneStepVideo) -> None:
        super().__init__()
        self.denoiser, self._students = student.denoiser, [student]  # in a list it is no submodule

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, h, w)`` to ``(B, 1, Z, h', w')``."""
        (student,) = self._students
        with torch.no_grad():
            condition = student.conditioner.condition({"lr": image[:, None]})  # pyright: ignore[reportArgumentType]
        return student.sample(condition, draw_noise(condition["lr"]))
