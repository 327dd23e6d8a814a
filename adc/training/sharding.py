"""Sharded training (FSDP2): the parameters of trained networks divided among processes, and put together again."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from adc.metrics.efficiency import meta_copy
from adc.ops.sharded import full


def shard(network: nn.Module, mesh: Any) -> None:
    """Divide the parameters of a network among processes (Zhao et al., 2023; torch's ``fully_shard``).

    Every module that holds parameters itself is a unit: gathered before its forward and its backward, freed
    after them. Stages call ``encode``, ``decode`` and other methods beside ``forward``, which larger units, gathered
    by their ``forward``, do not cover.

    Args:
        network: It is changed in place; one that is sharded already is left alone.
        mesh: A one-dimensional ``DeviceMesh`` of the processes.
    """
    from torch.distributed.fsdp import fully_shard

    if is_sharded(network):
        return
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # fully_shard takes no other memory format
    for module in reversed(list(network.modules())):
        if any(True for _ in module.parameters(recurse=False)):
            fully_shard(module, mesh=mesh, reshard_after_forward=True)


@torch.no_grad()
def broadcast_weights(network: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers, as DDP does; those that are sharded stay."""
    for tensor in (*network.parameters(), *network.buffers()):
        if not isinstance(tensor, DTensor):
            value = tensor.contiguous()
            dist.broadcast(value, 0)
            tensor.copy_(value)


def refuse_unsupported(strategy: Any) -> None:
    """Refuse a ``ModelParallelStrategy`` that stages cannot train under.

    Raises:
        ValueError: If it splits tensors (tensor parallelism), or writes checkpoints as folders.
    """
    if strategy.device_mesh["tensor_parallel"].size() > 1:
        raise ValueError("trainer.strategy: tensor_parallel_size is above 1; stages divide data and parameters only.")
    if getattr(strategy, "_save_distributed_checkpoint", False):
        raise ValueError("trainer.strategy: save_distributed_checkpoint must be false, or use ShardedStrategy.")


def is_sharded(network: nn.Module) -> bool:
    """Whether a network's parameters are divided among processes."""
    return any(isinstance(parameter, DTensor) for parameter in network.parameters())


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that may be divided; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor on the device of a parameter, and divided among processes as that is."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


class Whole:
    """A network as it was before it was sharded, to be filled with its weights when they are wanted."""

    def __init__(self, network: nn.Module) -> None:
        """
        Args:
            network: Not sharded yet; only its structure is kept.
        """
        (self._structure,) = meta_copy(network)

    @torch.no_grad()
    def gather(self, network: nn.Module) -> nn.Module:
        """The network with the weights that the sharded one has now, on the CPU; all processes must ask for it."""
        state = {name: full(tensor.detach()).cpu() for name, tensor in network.state_dict().items()}
        self._structure.load_state_dict(state, assign=True)
        for name, buffer in network.named_buffers():
            owner, _, own = name.rpartition(".")
            setattr(self._structure.get_submodule(owner), own, buffer.detach().cpu())
        return self._structure
