"""One-step restorers of videos: the student of DUO-VSR."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Conditioner, Decoder, Denoiser, DiffusionRestorer, LatentStudent, Prunable
from adc.ops.flow import clean_from_velocity
from adc.ops.padding import pad_frames, pad_to_multiple
from adc.ops.sampling import draw_noise
from adc_wan.folded import FoldedWan


class OneStepVideo(DiffusionRestorer, LatentStudent):
    """A diffusion restorer of one step, ``z_0 = eps - v(eps, 1, z_LR, c)`` (Lv et al., 2026, DUO-VSR).

    Of any denoiser and its conditioner. The noise is drawn: a generator gives one of many restorations, null always
    the same. Features are the latents; a clip that does not fit is padded with copies of its last frame, column and
    row, and the result is cut.

    Attributes:
        decoder: Its own decoder; None where the conditioner's autoencoder decodes.
    """

    decoder: Decoder | None

    def __init__(self, denoiser: Denoiser, conditioner: Conditioner, decoder: Decoder | None = None) -> None:
        """
        Args:
            denoiser: Predicts the velocity.
            conditioner: Its conditioning, of LR and of the text.
            decoder: Makes pixels of latents; null is the conditioner's autoencoder.
        """
        super().__init__(denoiser, conditioner)
        self.decoder = decoder
        self.decoder_sees_lr = decoder is not None and decoder.sees_lr

    @property
    def init_args(self) -> dict[str, Any]:
        """Its components, which a student folder describes by their own arguments."""
        parts = {"denoiser": self.denoiser, "conditioner": self.conditioner}
        return parts if self.decoder is None else {**parts, "decoder": self.decoder}

    def sample(self, condition: dict[str, Tensor], noise: Tensor) -> Tensor:
        """``z_0`` from noise: one forward of the denoiser at ``t = 1``."""
        t = torch.ones(len(noise), device=noise.device)
        velocity, _ = self.denoiser(noise, t, condition)
        assert velocity is not None
        return clean_from_velocity(noise, velocity, t)

    def encode(self, lr: Tensor) -> Tensor:
        """The latents of the padded clip, of the noise that does not change."""
        return self.restored_latents(lr)

    def decode(self, feature: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels of latents, padding included.

        Args:
            feature: Latents ``(B, T', Z, h, w)``.
            lr: The clip that was encoded; a decoder that sees it needs it.
        """
        if self.decoder is None:
            return super().decode(feature)
        return self.decode_latents(self.conditioner.autoencoder.to_decoder_input(feature), lr)

    def decode_latents(self, projected: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels of decoder inputs by its own decoder.

        Args:
            projected: ``autoencoder.to_decoder_input(latents)``.
            lr: The LR clip of these pixels; a decoder that sees it needs it.

        Raises:
            ValueError: If it has no decoder, or that needs an LR clip and there is none.
        """
        if self.decoder is None:
            raise ValueError("student: this OneStepVideo has no decoder of its own; give it one as `decoder`.")
        if not self.decoder.sees_lr:
            return self.decoder(projected)
        if lr is None:
            raise ValueError(f"lr: {type(self.decoder).__name__} sees the LR clip; give the one that was encoded.")
        return self.decoder(projected, pad_frames(pad_to_multiple(lr, self.multiple), self.temporal_stride))

    def prunable(self) -> Prunable:
        """The denoiser, and its own decoder if it can be cut.

        Of a transformer the widths of its feed-forward layers are cut; of a folded one heads too, as a whole, because
        their positions rotate. The residual stream is tied to modulations and stays.
        """
        side = -(-16 // self.multiple) * self.multiple
        image = torch.zeros(1, 3, side, side, device=next(self.parameters()).device)
        plan = Prunable(_OneForward(self), (image,), {"denoiser": self.denoiser})
        if isinstance(self.denoiser, FoldedWan):
            plan.blocks, plan.after = self.denoiser.heads()
        else:
            projections = (".to_q", ".to_k", ".to_v")
            plan.ignored = [layer for name, layer in self.denoiser.named_modules() if name.endswith(projections)]
        try:
            return plan if self.decoder is None else _together(plan, self.decoder.prunable())
        except NotImplementedError:
            return plan


class _OneForward(nn.Module):
    """Latents of images, as a network that can be traced: the autoencoder is no part of it."""

    def __init__(self, student: OneStepVideo) -> None:
        super().__init__()
        self.denoiser, self._students = student.denoiser, [student]  # in a list it is no submodule

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, h, w)`` to ``(B, 1, Z, h', w')``; with gradients, which is how it is traced, heads are connected."""
        (student,) = self._students
        with torch.no_grad():
            condition = student.conditioner.condition({"lr": image[:, None]})  # pyright: ignore[reportArgumentType]
        folded = isinstance(student.denoiser, FoldedWan) and student.denoiser
        with folded.connected() if folded and torch.is_grad_enabled() else nullcontext():
            return student.sample(condition, draw_noise(condition["lr"]))


class _Both(nn.Module):
    """Two networks of one argument each; nothing flows from one to the other."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """What each returns."""
        return self.first(one), self.second(other)


def _together(one: Prunable, other: Prunable) -> Prunable:
    def after() -> None:
        one.after()
        other.after()

    network = _Both(one.network, other.network)
    parts, ignored, blocks = (
        {**one.parts, **other.parts},
        [*one.ignored, *other.ignored],
        {**one.blocks, **other.blocks},
    )
    return Prunable(network, (*one.example, *other.example), parts, ignored, blocks, after)
