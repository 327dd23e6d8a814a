"""Pretraining of a pruned decoder: AdcSR's first stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from adc.interfaces import Codec, Discriminator, Loss, Restorer, Student
from adc.ops import gan
from adc.training import Losses, Phase, Role, Stage, named


class DecoderPretraining(Stage):
    """Teach a student's pruned decoder to decode a frozen encoder's latents (Chen et al., 2025, algorithm 1).

    With latents ``z`` of real pictures ``x`` and ``y = decoder(z)``, as in latent diffusion
    (Rombach et al., 2022):

    - decoder: ``n * sum of losses(y, x) + d * w * lambda * -mean D(y)``, where ``n`` is the number of
      elements of a clip (the published loss sums over a picture) and ``lambda`` balances the
      gradients of both terms at the last layer (`adc.ops.gan.adaptive_weight`);
    - discriminators: ``d * (hinge(D(x), 1) + hinge(D(y), -1)) / 2``.

    ``d`` is 0 until the decoder has had ``adversarial_start`` updates, then 1; until then the
    discriminator rests.
    """

    not_saved = ("codec", "losses")

    def __init__(
        self,
        student: Student,
        codec: Codec,
        losses: list[Loss],
        roles: dict[str, Role],
        discriminator: Discriminator | None = None,
        last_layer: str = "conv_out",
        adversarial_weight: float = 0.5,
        adversarial_start: int = 50001,
        adaptive: bool = True,
        summed: bool = False,
        frozen: list[str] | None = None,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The pruned student whose decoder is trained; the rest of it stays.
            codec: The frozen autoencoder whose encoder makes the latents.
            losses: Reconstruction losses, pixels against the truth.
            roles: The optimizers of ``decoder`` and, if there is one, ``discriminator``.
            discriminator: A critic of pixels with one head, or null.
            last_layer: The decoder's last layer, as a path below the decoder, for the adaptive weight.
            adversarial_weight: ``w`` above.
            adversarial_start: Updates of the decoder before the discriminator counts.
            adaptive: Whether ``lambda`` follows the gradients; otherwise it is 1.
            summed: Whether reconstruction losses are summed over each clip, as published, or averaged.
            frozen: Parts of the decoder that keep their weights, as paths below it (``conv_in``).
            accumulate: Batches whose gradients are averaged in one update.
        """
        self._has_critic = discriminator is not None
        super().__init__(roles, [["decoder", "discriminator"] if self._has_critic else ["decoder"]], accumulate)
        for loss in losses:
            if (loss.domain, loss.against) != ("pixel", "real"):
                raise ValueError(f"losses: {type(loss).__name__} must compare pixels with the truth here.")
        if discriminator is not None and (discriminator.domain, len(discriminator.heads)) != ("pixel", 1):
            heads = ", ".join(discriminator.heads)
            raise ValueError(
                f"discriminator: it must judge pixels with one head, not {discriminator.domain}s with {heads}."
            )
        if adaptive and discriminator is not None and last_layer not in dict(student.decoder.named_modules()):
            kind = type(student.decoder).__name__
            raise ValueError(f"last_layer: {kind} has no layer {last_layer!r}; name its last one, or adaptive: false.")
        self.student, self.codec, self.discriminator = student, codec, discriminator
        self.losses = cast(list[Loss], nn.ModuleList(losses))
        self.last_layer = last_layer
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start
        self.adaptive, self.summed = adaptive, summed
        self.keep("student", [f"decoder.{path}" for path in frozen or ()])

    def phases(self) -> Mapping[str, Phase]:
        """The decoder's, and the discriminator's if there is one."""
        phases = {"decoder": Phase(self.decoder_loss, ("decoder",))}
        if self._has_critic:
            phases["discriminator"] = Phase(self.discriminator_loss, ("discriminator",))
        return phases

    def module_of(self, role: str) -> nn.Module:
        """The decoder is the student's."""
        return self.student.decoder if role == "decoder" else super().module_of(role)

    @property
    def restorer(self) -> Restorer:
        """The student with what its decoder has learned; its decoder is better than the rest of it as yet."""
        self.student.adopt_decoder()
        return self.student

    @property
    def judged(self) -> bool:
        """Whether the discriminator counts by now."""
        return self._has_critic and self.updates["decoder"] >= self.adversarial_start

    def active(self, phase: str) -> bool:
        """The discriminator rests until it counts."""
        return phase == "decoder" or self.judged

    def prepare(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The truth, and what the frozen encoder makes of it."""
        with torch.no_grad():
            projected = self.codec.project(self.codec.encode(batch["hr"]))
        return {"real": batch["hr"], "projected": projected}

    def decoder_loss(self, views: dict[str, Tensor]) -> Losses:
        """Reconstruction and persuasion."""
        real = views["real"]
        restored = self.student.reconstruct(views["projected"])
        views["restored"] = restored.detach()
        size = real[0].numel() if self.summed else 1
        losses = named((type(loss).__name__, size * loss.weight * loss(restored, real)) for loss in self.losses)
        if self.judged:
            logits = self._judge(restored)
            persuade = gan.persuade(logits, "hinge")
            balance = 1.0
            if self.adaptive:
                last = self.student.decoder.get_parameter(f"{self.last_layer}.weight")
                reconstruction = torch.stack(list(losses.values())).sum()
                balance = gan.adaptive_weight(reconstruction, persuade, last, self.over_processes)
            losses["persuade"] = self.adversarial_weight * balance * persuade
        return losses

    def discriminator_loss(self, views: dict[str, Tensor]) -> Losses:
        """Half of both hinges."""
        return {
            "real": 0.5 * gan.margin(self._judge(views["real"]), 1, "hinge"),
            "fake": 0.5 * gan.margin(self._judge(views["restored"]), -1, "hinge"),
        }

    def _judge(self, pixels: Tensor) -> Tensor:
        assert self.discriminator is not None
        (logits,) = self.discriminator(pixels).values()
        return logits
