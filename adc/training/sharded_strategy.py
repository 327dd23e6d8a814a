"""FSDP2 under Lightning, with checkpoints that a run of any number of processes resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from adc.ops.sharded import full
from adc.training.sharding import divided_like


class ShardedStrategy(ModelParallelStrategy):
    """Trained networks divided among all processes (FSDP2), checkpoints in one file of plain tensors.

    The file is that of a run without sharding: each resumes the other's. Beside what `ModelParallelStrategy` does,
    optimizers without state (SGD, or one that has not stepped yet) are saved and resumed too.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        """
        Args:
            process_group_backend: ``nccl`` or ``gloo``; null is the device's usual one.
        """
        super().__init__("auto", 1, save_distributed_checkpoint=False, process_group_backend=process_group_backend)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Optimizers are read by `load_optimizer_state_dict`."""
        return True

    def _setup_distributed(self) -> None:
        super()._setup_distributed()
        self._data_parallel_size = self.world_size

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """The content of a checkpoint, on every process."""
        return Strategy.load_checkpoint(self, self.broadcast(checkpoint_path), weights_only)

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each process's part of the weights; the stage has checked that they fit."""
        assert self.lightning_module is not None
        for name, own in self.lightning_module.state_dict().items():
            own.copy_(divided_like(checkpoint["state_dict"][name], own))

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of an optimizer in plain tensors; all processes must ask for it."""
        state = getattr(optimizer, "optimizer", optimizer).state_dict()

        def plain(value: Any) -> Any:
            return full(value) if isinstance(value, torch.Tensor) else value

        return tree_map(plain, state)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Each process's part of the states; tensors of a parameter's shape are divided as it is."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                index: {
                    key: divided_like(value, parameters[index])
                    if isinstance(value, torch.Tensor) and value.shape == parameters[index].shape
                    else value
                    for key, value in own.items()
                }
                for index, own in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})
