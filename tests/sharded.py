"""Trains small stages with sharded networks: ``torchrun --nproc-per-node 2 sharded.py FOLDER``; alone, without.

Four updates with a checkpoint on the way, then again what came after it, from that checkpoint.
"""

import os
import sys
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.tensor import DTensor
from training import AfterBatch, decoding, distillation, trainer

from adc.data import DegradedClips
from adc.degradation import SecondOrder
from adc.ops.sharded import full
from adc.training import Role
from adc.training.callbacks import Export, StopAfter, StudentEMA
from adc.training.checkpoint import checkpoint_path
from adc.training.sharded_strategy import ShardedStrategy

Adam = partial(torch.optim.Adam, lr=1e-3, eps=1e-4)  # its usual epsilon enlarges the rounding of tiny gradients


def roles(*names):
    return {name: Role(Adam, clip=0.05) for name in names}


def ours(processes):
    return ShardedStrategy()


def plain(processes):
    return ModelParallelStrategy(processes, 1, save_distributed_checkpoint=False)


CASES = {  # how the stage is made, the role that is counted, batches before the checkpoint, the strategy
    "distillation": (partial(distillation, roles=roles("student", "discriminators"), accumulate=2), "student", 3, ours),
    "first window": (partial(distillation, roles=roles("student", "discriminators"), accumulate=2), "student", 1, ours),
    "decoding": (partial(decoding, adversarial_start=2, roles=roles("decoder", "discriminator")), "decoder", 2, ours),
    "plain": (partial(decoding, adversarial_start=2, roles=roles("decoder", "discriminator")), "decoder", 2, plain),
}


class Report(Callback):
    """Begins with weights of its own in the second process; writes the weights at the end, put together."""

    def __init__(self, path):
        self.path = path

    def setup(self, trainer, pl_module, stage):
        if trainer.global_rank:
            for parameter in pl_module.parameters():
                parameter.data += 1.0

    def on_train_end(self, trainer, pl_module):
        report = {
            "weights": {name: full(tensor) for name, tensor in pl_module.state_dict().items()},
            "trained": [name for name, tensor in pl_module.named_parameters() if tensor.requires_grad],
            "sharded": [name for name, tensor in pl_module.named_parameters() if isinstance(tensor, DTensor)],
            "updates": pl_module.updates,
        }
        torch.save(report, f"{self.path}-{trainer.global_rank}.pt")


def train(folder, name, resume=None):
    make, role, batches, strategy = CASES[name]
    processes = int(os.environ.get("WORLD_SIZE", 1))
    data: LightningDataModule = DegradedClips(SecondOrder("adcsr"), 4 // processes, size=64, workers=0)
    run = folder / name / ("resumed" if resume else "whole")
    saved = checkpoint_path(run, batches)
    save = AfterBatch(lambda trainer, stage: stage.batches_seen == batches and trainer.save_checkpoint(saved))
    callbacks = [save, StudentEMA(role), Export(), Report(run), StopAfter(role, 4)]
    fit = trainer(run, callbacks, devices=processes, strategy=strategy(processes) if processes > 1 else "auto")
    fit.fit(make(), datamodule=data, ckpt_path=resume, weights_only=True)
    return saved


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in CASES:
        train(Path(sys.argv[1]), name, train(Path(sys.argv[1]), name))
    torch.save({name: make().state_dict() for name, (make, *_) in CASES.items()}, Path(sys.argv[1]).parent / "begin.pt")
