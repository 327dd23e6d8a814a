"""Lightning on a cluster, without its own way of stopping and starting jobs again."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.trainer.connectors import checkpoint_connector

from adc.errors import UsageError


def slurm_environment(plugins: list[Any], strategy: Any) -> list[Any]:
    """SLURM's environment for the trainer's plugins; empty outside SLURM or where the recipe names an environment.

    Lightning would take the same one, but with a handler of SIGUSR1 that writes a checkpoint in the middle of a step.
    Processes that torchrun started inside SLURM follow torchrun.

    Raises:
        UsageError: If SLURM's variables contradict each other.
    """
    named = any(isinstance(plugin, ClusterEnvironment) for plugin in plugins)
    if named or getattr(strategy, "cluster_environment", None) is not None:
        return []
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError as error:
        raise UsageError(f"SLURM: {' '.join(str(error).split())}") from None


class _GivenCheckpoints(checkpoint_connector._CheckpointConnector):  # pyright: ignore[reportPrivateUsage]
    """Checkpoints that were asked for; never one of Lightning's requeue, which may be of the middle of a step."""

    _hpc_resume_path = None  # type: ignore[assignment]


def ignore_requeue_checkpoints(trainer: pl.Trainer) -> None:
    """Keep a trainer inside SLURM from looking for ``hpc_ckpt_*.ckpt`` in its run folder."""
    trainer._checkpoint_connector.__class__ = _GivenCheckpoints  # pyright: ignore[reportPrivateUsage]
