"""A running average of the student."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from adc.ops.sharded import full
from adc.training.callbacks.schedule import count
from adc.training.sharding import divided_like, local


class StudentEMA(pl.Callback):
    """Exponential moving average of what a role trains, in float32.

    Validation, samples and export see the average; training goes on with the raw weights. The
    decay ramps up as ``min(decay, (1 + n) / (10 + n))``, so that short runs average too.
    """

    def __init__(self, role: str = "student", decay: float = 0.999) -> None:
        """
        Args:
            role: The role whose parameters are averaged.
            decay: Share of the average that stays at each update.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"StudentEMA.decay: {decay}; from 0 to below 1.")
        self.role, self.decay = role, decay
        self.average: list[Tensor] = []
        self.count = 0
        self._raw: list[Tensor] | None = None
        self._loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin with the weights as they are, or go on with the checkpoint's average."""
        self._adopt(pl_module)
        if not self.average:
            self.count = count(pl_module, self.role)
            self.average = [p.detach().float().clone() for p in pl_module.parameters_of(self.role)]

    def _adopt(self, stage: Any) -> None:
        """Take over what a checkpoint holds, once the parameters are known."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        parameters = stage.parameters_of(self.role)
        if [p.shape for p in parameters] != [tensor.shape for tensor in loaded["average"]]:
            raise ValueError(f"StudentEMA: the checkpoint averages another network than role {self.role!r}.")
        self.average = [divided_like(own, p) for own, p in zip(loaded["average"], parameters, strict=True)]
        self.count = loaded["count"]

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Follow each update of the role."""
        if pl_module.updates[self.role] == self.count:
            return
        self.count = pl_module.updates[self.role]
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        raw = [local(p.detach()).float() for p in pl_module.parameters_of(self.role)]
        get_ema_multi_avg_fn(decay)([local(average) for average in self.average], raw, self.count)

    @torch.no_grad()
    def swap_in(self, stage: Any) -> None:
        """Put the average in the network; a second call does nothing."""
        self._adopt(stage)
        if self._raw is None and self.average:
            parameters = stage.parameters_of(self.role)
            self._raw = [p.detach().clone() for p in parameters]
            for parameter, average in zip(parameters, self.average, strict=True):
                parameter.copy_(average)

    @torch.no_grad()
    def swap_out(self, stage: Any) -> None:
        """Put the raw weights back."""
        if self._raw is not None:
            for parameter, raw in zip(stage.parameters_of(self.role), self._raw, strict=True):
                parameter.copy_(raw)
            self._raw = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Validate, test and predict with the average."""
        self.swap_in(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException | None = None) -> None:
        """Train the raw weights, and leave them behind after an error."""
        self.swap_out(pl_module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_exception = on_validation_end

    def state_dict(self) -> dict[str, Any]:
        """The average and its count."""
        return {"average": [full(average) for average in self.average], "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until the parameters are known."""
        self._loaded = state_dict if state_dict["average"] else None
