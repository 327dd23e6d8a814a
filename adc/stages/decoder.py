"""Pretraining of a pruned decoder: AdcSR's first stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from adc.interfaces import Autoencoder, Batch, Discriminator, LatentStudent, Loss, Restorer, Student
from adc.ops import gan
from adc.ops.sharded import gathered
from adc.stages.views import head_logits, weighted
from adc.training import Losses, Phase, Role, Stage, unique_names
from adc.training.heads import log_heads


class DecoderPretraining(Stage):
    """Pretraining of a pruned decoder on a frozen encoder's latents (AdcSR stage 1; Chen et al., 2025, algorithm 1).

    With latents ``z`` of real images or clips ``x`` and ``y = decoder(z)``, as in latent diffusion
    (Rombach et al., 2022); a decoder that sees the LR clip (`adc.interfaces.Student.decoder_sees_lr`) is given it:

    - decoder: ``n * sum of losses(y, x) + d * w * lambda * -mean D(y)``, where ``n`` is the number of
      elements of a clip (the published loss sums over an image) and ``lambda`` balances the
      gradients of both terms at the last layer (`adc.ops.gan.adaptive_weight`);
    - discriminators: ``d * (hinge(D(x), 1) + hinge(D(y), -1)) / 2``.

    ``d`` is 0 until the decoder has had ``adversarial_start`` updates, then 1; until then the
    discriminator is not trained.
    """

    frozen = excluded_from_checkpoint = ("autoencoder", "losses")

    def __init__(
        self,
        student: Student,
        autoencoder: Autoencoder,
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
            student: The pruned student, a `LatentStudent`, whose decoder is trained; the rest of it stays.
            autoencoder: The frozen autoencoder whose encoder makes the latents.
            losses: Reconstruction losses, pixels against the truth.
            roles: The optimizers of ``decoder`` and, if there is one, ``discriminator``.
            discriminator: A discriminator of the domain ``pixel`` with one head, or null.
            last_layer: The decoder's last layer, as a path below the decoder, for the adaptive weight.
            adversarial_weight: ``w`` above.
            adversarial_start: Updates of the decoder before the adversarial terms are on.
            adaptive: Whether ``lambda`` follows the gradients; otherwise it is 1.
            summed: Whether reconstruction losses are summed over each clip, as published, or averaged.
            frozen: Parts of the decoder that keep their weights, as paths below it (``conv_in``).
            accumulate: Batches whose gradients are averaged in one update.
        """
        super().__init__(roles, [["decoder", "discriminator"] if discriminator else ["decoder"]], accumulate)
        if not isinstance(student, LatentStudent):
            raise ValueError(f"student: {type(student).__name__} is no LatentStudent: it has no decoder to pretrain.")
        for loss in losses:
            if (loss.domain, loss.against) != ("pixel", "real"):
                raise ValueError(f"losses: {type(loss).__name__} must compare pixels with the truth here.")
        if discriminator is not None and (discriminator.domain, len(discriminator.heads)) != ("pixel", 1):
            heads = ", ".join(discriminator.heads)
            raise ValueError(
                f"discriminator: it must be of the domain pixel with one head, not {discriminator.domain} with {heads}."
            )
        decoder: Any = student.decoder
        if decoder is None:
            raise ValueError(f"student: this {type(student).__name__} has no decoder of its own; give it one first.")
        if adaptive and discriminator is not None and last_layer not in dict(decoder.named_modules()):
            kind = type(decoder).__name__
            raise ValueError(f"last_layer: {kind} has no layer {last_layer!r}; name its last one, or adaptive: false.")
        self.student, self.autoencoder, self.discriminator = student, autoencoder, discriminator
        self.losses = cast(list[Loss], nn.ModuleList(losses))
        self.last_layer = last_layer
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start
        self.adaptive, self.summed = adaptive, summed
        self.freeze_parts("student", [f"decoder.{path}" for path in frozen or ()])

    def phases(self) -> Mapping[str, Phase]:
        """The decoder's, and the discriminator's if there is one."""
        phases = {"decoder": Phase(self.decoder_loss, ("decoder",))}
        if self.discriminator is not None:
            phases["discriminator"] = Phase(self.discriminator_loss, ("discriminator",))
        return phases

    def module_of(self, role: str) -> nn.Module:
        """The decoder is the student's."""
        return cast(nn.Module, self.student.decoder) if role == "decoder" else super().module_of(role)

    @property
    def restorer(self) -> Restorer:
        """The student, synchronised with its decoder."""
        self.student.sync_from_decoder()
        return self.student

    @property
    def adversarial_active(self) -> bool:
        """Whether the adversarial terms are on."""
        return self.discriminator is not None and self.updates["decoder"] >= self.adversarial_start

    def should_run(self, phase: str) -> bool:
        """The discriminator's phase runs once the adversarial terms are on."""
        return phase == "decoder" or self.adversarial_active

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """The ground truth and its latents from the frozen encoder."""
        projected = self.autoencoder.to_decoder_input(self.autoencoder.encode(batch["hr"]))
        return {"real": batch["hr"], "projected": projected, "lr": batch["lr"]}

    def decoder_loss(self, views: dict[str, Tensor]) -> Losses:
        """Reconstruction and adversarial terms."""
        real, lr = views["real"], {"lr": views["lr"]} if self.student.decoder_sees_lr else {}
        restored = self.student.decode_latents(views["projected"], **lr)
        views["restored"] = restored.detach()
        size = real[0].numel() if self.summed else 1
        losses = unique_names((type(loss).__name__, size * weighted(loss, restored, real)) for loss in self.losses)
        if self.adversarial_active:
            logits = self._logits(restored)
            generator_loss = gan.generator_loss(logits, "hinge")
            balance = 1.0
            if self.adaptive:
                reconstruction = torch.stack(list(losses.values())).sum()
                with gathered(self.module_of("decoder").get_submodule(self.last_layer)) as last:
                    weight = last.get_parameter("weight")
                    balance = gan.adaptive_weight(reconstruction, generator_loss, weight, self.all_reduce_mean)
                self.log("gan/gradient_ratio", 1 / balance)
            losses["adv"] = self.adversarial_weight * balance * generator_loss
        return losses

    def discriminator_loss(self, views: dict[str, Tensor]) -> Losses:
        """Half of both hinges."""
        assert self.discriminator is not None
        real, fake = self._logits(views["real"]), self._logits(views["restored"])
        log_heads(self, {f"pixel_{self.discriminator.heads[0]}": [(real, 1), (fake, -1)]})
        return {
            "real": 0.5 * gan.discriminator_loss(real, 1, "hinge"),
            "fake": 0.5 * gan.discriminator_loss(fake, -1, "hinge"),
        }

    def _logits(self, pixels: Tensor) -> Tensor:
        assert self.discriminator is not None
        (logits,) = head_logits(self.discriminator, pixels).values()
        return logits
