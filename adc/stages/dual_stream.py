"""Dual-stream distillation: stage II of DUO-VSR, DMD and RFS-GAN on one noisy sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from adc.interfaces import Denoiser, DiffusionRestorer, ScoreDiscriminator
from adc.ops import gan
from adc.ops.dmd import dmd_direction, dmd_loss
from adc.ops.flow import TimeLaw, add_noise, clean_from_velocity, velocity_of
from adc.ops.targets import clip_mean, guided_velocity
from adc.stages.views import head_logits
from adc.training import Losses, Phase, Role, enable_gradient_checkpointing
from adc.training.denoising import DenoiserStage, Latents, predict_velocity
from adc.training.heads import log_heads

Features = dict[str, list[Tensor]]
"""The taps of both scores, ``real`` and ``fake``."""


@dataclass
class StreamWeights:
    """Weights of the student's losses; a stream of weight 0 is left out, its forwards too.

    Args:
        dmd: Of the distribution matching loss.
        adversarial: Of the adversarial loss.
        matching: Of the feature matching loss.
    """

    dmd: float = 1.0
    adversarial: float = 0.1
    matching: float = 0.05


@dataclass
class Sample:
    """The student's sample of a batch and what both streams share: one noise, one time, the noisy latents.

    Attributes:
        clean: ``z0_S = S(eps_s, 1)``, ``(B, T', Z, h, w)``.
        t: ``(B,)``.
        noise: ``eps`` of both noisy latents.
        fake: ``zt_S = (1 - t) z0_S + t eps``.
        real: ``zt_HR = (1 - t) z_HR + t eps``.
    """

    clean: Tensor
    t: Tensor
    noise: Tensor
    fake: Tensor
    real: Tensor


class DualStreamDistillation(DenoiserStage):
    """Distribution matching (DMD) and an adversarial loss on both scores' features (RFS-GAN; Lv et al., 2026).

    With the student's sample ``z0_S = eps_s - v_S(eps_s, 1)``, one ``(t, eps)`` and ``zt_S = (1 - t) z0_S + t eps``,
    real score ``R`` (frozen), fake score ``F``, head ``D`` on the taps of both, ``x = zt_S - t v``:

    - ``auxiliary``: ``L_Diff = |v_F(zt_S, t) - (eps - z0_S)|^2`` for ``F``, and
      ``L_D = E max(0, 1 - D(zt_HR)) + E max(0, 1 + D(zt_S))`` for ``D``, taps and sample detached;
    - ``student``: ``L_DMD + 0.1 L_G + 0.05 L_FM`` with
      ``L_DMD = |z0_S - stop(z0_S - (x_F - x_R) / mean |z0_S - x_R|)|^2`` (DMD2; Yin et al., 2024),
      ``L_G = -E D(zt_S)``, and ``L_FM`` the distance of the taps of ``zt_S`` from those of ``zt_HR``; ``R``, ``F`` and
      ``D`` pass gradients on to the sample only.
    """

    frozen = excluded_from_checkpoint = ("student.conditioner", "real_score")

    def __init__(
        self,
        student: DiffusionRestorer,
        real_score: Denoiser,
        fake_score: Denoiser,
        roles: dict[str, Role],
        head: ScoreDiscriminator | None = None,
        taps: Sequence[int] = (15, 22, 29),
        weights: StreamWeights | None = None,
        adversarial: gan.Form = "hinge",
        matching_norm: Literal["l2", "l1"] = "l2",
        matching_normalize: bool = False,
        times: TimeLaw | None = None,
        real_guidance: float | None = None,
        r1_weight: float = 0.0,
        r1_sigma: float = 0.01,
        gradient_norms_every: int = 1,
        gradient_checkpointing: bool = False,
        cycle: list[list[str]] | None = None,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The one-step restorer whose denoiser is trained.
            real_score: The frozen multi-step denoiser whose distribution is the goal.
            fake_score: The denoiser that follows the student's samples; it begins as the real score.
            roles: The optimizers of ``student``, ``fake_score`` and, if there is one, ``head``.
            head: The discriminator on the taps of both scores; null for DMD alone.
            taps: Blocks of both scores whose features it takes: half, three quarters and the last of Wan's 30, as in
                FastGen; the paper does not say.
            weights: Weights of the student's losses; null is the paper's 1, 0.1 and 0.05.
            adversarial: The form of the adversarial loss; ``hinge`` is the paper's.
            matching_norm: Squares or absolute values in the feature matching loss; the paper does not say.
            matching_normalize: Whether taps are matched in deviations of the real ones; deep blocks have larger ones.
            times: The law of ``t``; null is uniform with a shift of 5 in .02 to .98, as peers on Wan have it.
            real_guidance: Guidance scale of the real score, for one more forward; null is none.
            r1_weight: Weight of the approximate R1 penalty of the head; the paper has none.
            r1_sigma: Deviation of the noise that it adds to the noisy latents.
            gradient_norms_every: Updates of the student between two logs of each loss' gradient norm at the sample,
                which cost a backward pass through both scores each; 0 logs none.
            gradient_checkpointing: Recompute activations of all three denoisers in the backward pass.
            cycle: The phases of each successive batch; null is three times ``auxiliary``, then ``student``.
            accumulate: Batches whose gradients are averaged in one update.
        """
        usual = [["auxiliary"], ["auxiliary"], ["auxiliary"], ["student"]]
        super().__init__(student, roles, gradient_checkpointing, usual if cycle is None else cycle, accumulate)
        if gradient_checkpointing:
            enable_gradient_checkpointing(real_score, fake_score)
        self.real_score, self.fake_score, self.head, self.taps = real_score, fake_score, head, tuple(taps)
        self.weights = weights or StreamWeights()
        self.adversarial: gan.Form = adversarial
        self.matching_norm: Literal["l2", "l1"] = matching_norm
        self.matching_normalize, self.times = matching_normalize, times or TimeLaw(shift=5.0, low=0.02, high=0.98)
        self.real_guidance, self.r1_weight, self.r1_sigma = real_guidance, r1_weight, r1_sigma
        self.gradient_norms_every = gradient_norms_every
        self._check_streams()

    def _check_streams(self) -> None:
        weights = self.weights
        given = weights.dmd, weights.adversarial, weights.matching
        if not all(0 <= weight < math.inf for weight in given) or not (weights.dmd or weights.adversarial):
            raise ValueError(f"weights: {weights}; none below 0, and dmd or adversarial above it.")
        if self.real_guidance is not None and not math.isfinite(self.real_guidance):
            raise ValueError(f"real_guidance: {self.real_guidance}; a finite number, or null for none.")
        if not 0 <= self.r1_weight < math.inf or not 0 < self.r1_sigma < math.inf:
            raise ValueError(f"r1_weight, r1_sigma: {self.r1_weight} and {self.r1_sigma}; at least 0, and above 0.")
        if self.gradient_norms_every < 0:
            raise ValueError(f"gradient_norms_every: {self.gradient_norms_every} updates; at least 0, which logs none.")
        if (self.head is None) != (weights.adversarial == weights.matching == 0):
            raise ValueError("head: adversarial and matching need one; without, both their weights are 0.")
        for name, score in (("real_score", self.real_score), ("fake_score", self.fake_score)):
            if self.head is not None and not all(0 <= tap < score.depth for tap in self.taps):
                raise ValueError(f"taps: {list(self.taps)}; {name} has blocks 0 to {score.depth - 1}.")
        if len(set(self.taps)) < len(self.taps):
            raise ValueError(f"taps: {list(self.taps)}; name each block once.")
        if self.head is not None and self.head.taps != len(self.taps):
            raise ValueError(f"taps: {len(self.taps)} of them, but the head takes {self.head.taps}.")

    def check(self) -> None:
        """Refuse a cycle that leaves a network as it is, too."""
        super().check()
        named = {phase for phases in self.cycle for phase in phases}
        if missing := [phase for phase in self.phases() if phase not in named]:
            raise ValueError(f"cycle: {self.cycle} never comes to {missing[0]!r}; name both phases.")

    def phases(self) -> Mapping[str, Phase]:
        """``auxiliary`` trains the fake score and the head, ``student`` the student."""
        auxiliary = ("fake_score",) if self.head is None else ("fake_score", "head")
        return {"auxiliary": Phase(self.auxiliary_loss, auxiliary), **super().phases()}

    def sample(self, latents: Latents) -> Sample:
        """The student's sample, and both noisy latents of one time and one noise."""
        start, noise = (latents.random.normal(latents.clean) for _ in range(2))
        ones = torch.ones(len(start), device=start.device)
        clean = clean_from_velocity(start, self.denoise(start, ones, latents.condition), ones)
        t = self.times.draw(latents.random)
        return Sample(clean, t, noise, add_noise(clean, noise, t), add_noise(latents.clean, noise, t))

    def auxiliary_loss(self, latents: Latents) -> Losses:
        """``L_Diff`` of the fake score and ``L_D`` of the head."""
        with torch.no_grad():
            sample = self.sample(latents)
        taps = self.taps if self.head is not None else ()
        velocity, fake_of_fake = self.fake_score(sample.fake, sample.t, latents.condition, taps)
        assert velocity is not None
        error = clip_mean((velocity - velocity_of(sample.clean, sample.noise)).square())
        losses = {"fake_score": error.mean()}
        if self.head is not None:
            with torch.no_grad():
                real = self._taps(sample.real, sample, latents)
                fake = {"real": self._tap(self.real_score, sample.fake, sample, latents), "fake": fake_of_fake}
            losses |= self._head_losses(self.head, real, _detached(fake), sample, latents)
        return losses

    def _head_losses(
        self, head: ScoreDiscriminator, real: Features, fake: Features, sample: Sample, latents: Latents
    ) -> Losses:
        self._check_widths(head, fake)
        logits_real, logits_fake = (head_logits(head, features, sample.t) for features in (real, fake))
        losses: Losses = {}
        for name in head.heads:
            losses[f"{name}_real"] = gan.discriminator_loss(logits_real[name], 1, self.adversarial)
            losses[f"{name}_fake"] = gan.discriminator_loss(logits_fake[name], -1, self.adversarial)
        log_heads(self, {name: [(logits_real[name], 1), (logits_fake[name], -1)] for name in head.heads})
        if self.r1_weight:
            moved = sample.real + self.r1_sigma * latents.random.normal(sample.real)
            with torch.no_grad():
                perturbed = self._taps(moved, sample, latents)
            again = head(perturbed, sample.t)
            for name in head.heads:
                penalty = gan.approximate_r1(logits_real[name], again[name], self.r1_sigma)
                losses[f"{name}_r1"] = self.r1_weight * penalty
        return losses

    def student_loss(self, latents: Latents) -> Losses:
        """``L_DMD``, ``L_G`` and ``L_FM``, weighted."""
        sample, weights = self.sample(latents), self.weights
        taps = self.taps if self.head is not None else ()
        given, early = (sample.fake, sample.t, latents.condition, taps), not weights.dmd
        with torch.set_grad_enabled(self.head is not None):
            v_real, real_of_fake = self.real_score(*given, stop_early=early)
            v_fake, fake_of_fake = self.fake_score(*given, stop_early=early)
        losses: Losses = {}
        if v_real is not None and v_fake is not None:
            with torch.no_grad():
                direction = self._direction(v_real, v_fake, sample, latents)
            losses["dmd"] = weights.dmd * dmd_loss(sample.clean, direction)
        if self.head is not None:
            fake = {"real": real_of_fake, "fake": fake_of_fake}
            if weights.adversarial:
                self._check_widths(self.head, fake)
                logits = head_logits(self.head, fake, sample.t)
                terms = [gan.generator_loss(logits[name], self.adversarial) for name in self.head.heads]
                losses["adversarial"] = weights.adversarial * torch.stack(terms).mean()
            if weights.matching:
                with torch.no_grad():
                    real = self._taps(sample.real, sample, latents)
                losses["matching"] = weights.matching * self._matching(fake, real)
        self._log_sample(sample, latents, losses)
        return losses

    def _check_widths(self, head: ScoreDiscriminator, features: Features) -> None:
        for name, width in head.widths.items():
            found = [tap.shape[2] for tap in features[name]]
            if any(one != width for one in found):
                raise ValueError(
                    f"head: takes {width} channels of the {name} score, but its taps {list(self.taps)} have {found}; "
                    f"give {type(head).__name__} as many."
                )

    def _direction(self, v_real: Tensor, v_fake: Tensor, sample: Sample, latents: Latents) -> Tensor:
        if self.real_guidance is not None:
            null = self.conditioner.unconditional(latents.condition)
            v_null = predict_velocity(self.real_score, sample.fake, sample.t, null)
            v_real = guided_velocity(v_real, v_null, self.real_guidance)
        x_real, x_fake = (clean_from_velocity(sample.fake, v, sample.t) for v in (v_real, v_fake))
        self.log("dmd/difference", (x_fake - x_real).abs().float().mean())
        return dmd_direction(sample.clean, x_real, x_fake)

    def _matching(self, fake: Features, real: Features) -> Tensor:
        terms: list[Tensor] = []
        for score in ("real", "fake"):
            found = gan.feature_matching(fake[score], real[score], self.matching_norm, self.matching_normalize)
            for tap, value in zip(self.taps, found, strict=True):
                self.log(f"matching/{score}_{tap}", value.detach())
            terms += found
        return torch.stack(terms).mean()

    def _taps(self, z_t: Tensor, sample: Sample, latents: Latents) -> Features:
        scores = {"real": self.real_score, "fake": self.fake_score}
        return {name: self._tap(score, z_t, sample, latents) for name, score in scores.items()}

    def _tap(self, score: Denoiser, z_t: Tensor, sample: Sample, latents: Latents) -> list[Tensor]:
        return score(z_t, sample.t, latents.condition, self.taps, stop_early=True)[1]

    def _log_sample(self, sample: Sample, latents: Latents, losses: Losses) -> None:
        every = self.gradient_norms_every
        if every and self.updates["student"] % every == 0:
            norms: dict[str, Tensor] = {}
            for name, loss in losses.items():
                (gradient,) = torch.autograd.grad(loss, sample.clean, retain_graph=True)
                norms[name] = gradient.float().square().sum().sqrt()
                self.log(f"gradient_at_sample/{name}", norms[name])
            if (adversarial := norms.pop("adversarial", None)) is not None and norms:
                self.log("gan/gradient_ratio", adversarial / torch.stack(list(norms.values())).sum())
        for name, latent in (("student", sample.clean.detach()), ("real", latents.clean)):
            self.log_dict({f"latents/{name}_mean": latent.float().mean(), f"latents/{name}_std": latent.float().std()})


def _detached(features: Features) -> Features:
    return {name: [tap.detach() for tap in taps] for name, taps in features.items()}
