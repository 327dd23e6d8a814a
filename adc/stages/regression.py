"""Supervised training of a restorer: how small teachers are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import nn

from adc.interfaces import Batch, Loss, Restorer
from adc.stages.views import weighted
from adc.training import Losses, Phase, Role, Stage, unique_names


class Regression(Stage):
    """Make a restorer reproduce the truth: minimise the losses between ``restore(lr)`` and ``hr``."""

    frozen = excluded_from_checkpoint = ("losses",)

    def __init__(
        self,
        network: Restorer,
        losses: list[Loss],
        roles: dict[str, Role],
        frozen: list[str] | None = None,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            network: The restorer to train.
            losses: What is minimised; pixels against the truth.
            roles: The optimizer of ``network``.
            frozen: Parts of the network that keep their weights, as attribute paths (``autoencoder``, ``vae.decoder``).
            accumulate: Batches whose gradients are averaged in one update.
        """
        super().__init__(roles, [["network"]], accumulate)
        for loss in losses:
            if (loss.domain, loss.against) != ("pixel", "real"):
                seen = f"{loss.domain}s with the {loss.against}"
                raise ValueError(
                    f"losses: {type(loss).__name__} compares {seen}; Regression knows pixels and the truth."
                )
        self.network, self.losses = network, cast(list[Loss], nn.ModuleList(losses))
        self.freeze_parts("network", frozen or ())

    def phases(self) -> Mapping[str, Phase]:
        """One phase."""
        return {"network": Phase(self.network_loss, ("network",))}

    @property
    def restorer(self) -> Restorer:
        """The network."""
        return self.network

    def network_loss(self, batch: Batch) -> Losses:
        """The weighted losses."""
        restored = self.network.restore(batch["lr"])
        return unique_names((type(loss).__name__, weighted(loss, restored, batch["hr"])) for loss in self.losses)
