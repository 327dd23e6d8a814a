"""A stage trained on one batch again and again, by this process or by new ones."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from adc.ops.sharded import full
from adc.training.checkpoint import AtomicCheckpointIO
from adc.training.sharded_strategy import ShardedStrategy
from adc.training.stage import Stage

STRATEGIES = {"ddp": lambda: DDPStrategy(find_unused_parameters=True), "sharded": ShardedStrategy}


def fit(
    stage: Stage,
    batch: dict[str, Any],
    batches: int,
    callbacks: Sequence[pl.Callback] = (),
    resume: Path | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Train a stage on the CPU without output; its tensors at the end, those of sharded networks put together.

    Args:
        stage: It is trained.
        batch: What it sees each time.
        batches: How many it has seen at the end, those before a checkpoint included.
        callbacks: Callbacks of the trainer.
        resume: The checkpoint to begin with.
        options: More arguments of the trainer.
    """
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    data: Any = [batch] * batches

    def stop(trainer: pl.Trainer, stage: Stage, *_: Any) -> None:
        trainer.should_stop = stage.batches_seen >= batches

    with _silence(), tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            **{**quiet, "devices": 1, "default_root_dir": folder, **options},
            accelerator="cpu",
            max_epochs=-1,
            enable_checkpointing=False,
            use_distributed_sampler=False,
            callbacks=[*callbacks, LambdaCallback(on_train_batch_end=stop)],
            plugins=[AtomicCheckpointIO()],
        )
        trainer.fit(stage, DataLoader(data, batch_size=None), ckpt_path=resume, weights_only=True)
    return {key: full(tensor.detach()).clone() for key, tensor in stage.state_dict().items()}


def fit_in_processes(
    stage: Stage, batch: dict[str, Any], batches: int, processes: int, strategy: str, folder: str
) -> dict[str, Tensor]:
    """Train a stage in new processes that share each batch; its tensors at the end.

    Args:
        stage: Picklable; it stays as it is.
        batch: Divided among the processes along its first dimension.
        batches: How many are seen.
        processes: How many there are.
        strategy: ``ddp`` or ``sharded``.
        folder: Where the first process leaves its tensors.

    Raises:
        ValueError: If the batch cannot be divided.
    """
    clips = len(batch["lr"])
    if clips % processes:
        raise ValueError(f"batch: {clips} clips cannot be divided among {processes} processes.")
    content, path = io.BytesIO(), Path(folder, f"{strategy}.pt")
    torch.save(stage, content)
    work = (processes, find_free_network_port(), content.getvalue(), batch, batches, strategy, path)
    torch.multiprocessing.spawn(_work, work, nprocs=processes)
    return torch.load(path, weights_only=True)


def _work(
    rank: int, processes: int, port: int, content: bytes, batch: Any, batches: int, strategy: str, path: Path
) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": processes, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in places.items()})
    os.environ.update(MASTER_ADDR="localhost", TORCHELASTIC_RUN_ID="check")
    torch.set_num_threads(1)
    own = {key: value[rank::processes] for key, value in batch.items()}
    stage = torch.load(io.BytesIO(content), weights_only=False)  # what this process's parent has just written
    tensors = fit(stage, own, batches, devices=processes, strategy=STRATEGIES[strategy]())
    if rank == 0:
        torch.save(tensors, path)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of a group that DTensor's caches still hold would run into the interpreter's end and abort


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
