"""Flow matching with LR conditioning: how the multi-step base of DUO-VSR is made."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

from adc.interfaces import Batch, DiffusionRestorer
from adc.ops.clip import soften
from adc.ops.flow import TimeLaw, add_noise, velocity_of
from adc.ops.targets import clip_mean
from adc.training import Losses, Role
from adc.training.denoising import DenoiserStage, Latents


class FlowMatching(DenoiserStage):
    """Flow matching of a denoiser that sees LR (Lipman et al., 2023; stage 0 of DUO-VSR, Lv et al., 2026).

    ``L = E |v_S(z_t, t, z_LR, c) - (eps - z_0)|^2`` with ``z_t = (1 - t) z_0 + t eps``.

    A share of clips has an empty text, for guidance; another has the conditioner's negative text, and as its target
    HR through a smaller size, so that the text comes to mean what it says.
    """

    def __init__(
        self,
        student: DiffusionRestorer,
        roles: dict[str, Role],
        times: TimeLaw | None = None,
        pure_noise_share: float = 0.0,
        text_dropout: float = 0.1,
        negative_share: float = 0.0,
        negative_factor: int = 4,
        lr_noise: tuple[float, float] | None = None,
        gradient_checkpointing: bool = False,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The restorer whose denoiser is trained.
            roles: The optimizer of ``student``.
            times: The law of ``t``; null is logit-normal with a shift of 5, as SD3 and Wan 2.1 have them.
            pure_noise_share: Share of clips with ``t = 1``, where sampling begins and a law seldom goes.
            text_dropout: Share of clips with an empty text.
            negative_share: Share of clips with the conditioner's negative text.
            negative_factor: Their target is HR through a size so many times smaller.
            lr_noise: Smallest and largest share of noise in ``z_LR``, drawn for each clip (SimpleGVR); null is none.
            gradient_checkpointing: Recompute activations of the denoiser in the backward pass instead of keeping them.
            accumulate: Batches whose gradients are averaged in one update.

        Raises:
            ValueError: If shares are no shares, or the negative factor is less than 2.
        """
        super().__init__(student, roles, gradient_checkpointing, accumulate=accumulate)
        self.times = times or TimeLaw("logit_normal", shift=5.0)
        self.pure_noise_share, self.text_dropout = pure_noise_share, text_dropout
        self.negative_share, self.negative_factor, self.lr_noise = negative_share, negative_factor, lr_noise
        if not (text_dropout >= 0 and negative_share >= 0 and text_dropout + negative_share <= 1):
            total = f"{text_dropout} + {negative_share}"
            raise ValueError(f"text_dropout, negative_share: {total}; shares of 0 to 1, together at most 1.")
        if not 0 <= pure_noise_share <= 1:
            raise ValueError(f"pure_noise_share: {pure_noise_share}; a share of 0 to 1.")
        if negative_factor < 2:
            raise ValueError(f"negative_factor: {negative_factor}; at least 2.")
        if lr_noise is not None and not 0 <= lr_noise[0] <= lr_noise[1] <= 1:
            raise ValueError(f"lr_noise: {list(lr_noise)}; two shares, 0 <= low <= high <= 1.")

    def prepare(self, batch: Batch) -> Latents:
        """Latents, with texts dropped or negative, and noise in those of LR."""
        random = self.random_of(batch)
        drawn = random.uniform()
        dropped, negative = drawn < self.text_dropout, drawn >= 1 - self.negative_share
        clean = self.conditioner.clean(batch)
        if negative.any():
            clean = torch.where(negative.view(-1, 1, 1, 1, 1), self._negative(batch), clean)
        texts = batch.get("text", [self.conditioner.text] * len(drawn))
        texts = ["" if drop else text for text, drop in zip(texts, dropped.tolist(), strict=True)]
        texts = [self.conditioner.negative if no else text for text, no in zip(texts, negative.tolist(), strict=True)]
        condition = self.conditioner.condition({**batch, "text": texts})
        if self.lr_noise is not None:
            low, high = self.lr_noise
            share = low + (high - low) * random.uniform()
            condition["lr"] = add_noise(condition["lr"], random.normal(condition["lr"]), share)
        return Latents(clean, condition, random)

    def _negative(self, batch: Batch) -> Tensor:
        cached = batch.get("negative_latents")
        autoencoder = self.conditioner.autoencoder
        return autoencoder.encode(soften(batch["hr"], self.negative_factor)) if cached is None else cached

    def student_loss(self, latents: Latents) -> Losses:
        """``L`` above."""
        clean, noise = latents.clean, latents.random.normal(latents.clean)
        t, pure = self.times.draw(latents.random), latents.random.uniform() < self.pure_noise_share
        t = torch.where(pure, torch.ones_like(t), t)
        velocity = self.denoise(add_noise(clean, noise, t), t, latents.condition)
        return {"flow": clip_mean((velocity - velocity_of(clean, noise)).square()).mean()}
