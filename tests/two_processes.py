"""Trains small stages in two processes and in one, and writes what became of them: ``python two_processes.py FOLDER``.

The two are forked, so this is a program of its own: a process that has computed before cannot be forked safely.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.strategies import DDPStrategy
from training import decoding, distillation, trainer

from adc.data import DegradedClips
from adc.degradation import SecondOrder
from adc.training import Role
from adc.training.callbacks import StopAfter, StudentEMA

LONG = [["discriminators"], ["discriminators"], ["student"]]
SGD = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)
Adam = partial(torch.optim.Adam, lr=1e-3, eps=1e-4)  # its usual epsilon enlarges the rounding of tiny gradients


def roles(*names, optimizer=SGD, clips=(None, None)):
    return {name: Role(optimizer, clip=clip) for name, clip in zip(names, clips, strict=True)}


CLIPPED = roles("student", "discriminators", optimizer=Adam, clips=(0.05, 0.01))
CASES = {
    "distillation": (
        partial(distillation, critics=("feature", "pixel"), roles=roles("student", "discriminators")),
        "student",
        4,
    ),
    "long cycle": (
        partial(distillation, cycle=LONG, accumulate=2, roles=CLIPPED),
        "student",
        4,
    ),
    "decoding": (partial(decoding, adversarial_start=2, roles=roles("decoder", "discriminator")), "decoder", 6),
}


class Seen(Callback):
    """Begins with weights of its own in the second process; writes weights and names of photos at the end."""

    def __init__(self, path, average):
        self.path, self.average, self.names = path, average, []

    def setup(self, trainer, pl_module, stage):
        if trainer.global_rank:
            for parameter in pl_module.parameters():
                parameter.data += 1.0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.names.append(list(batch["name"]))

    def on_train_end(self, trainer, pl_module):
        told = {
            "weights": {name: p.detach().clone() for name, p in pl_module.named_parameters()},
            "trained": [name for name, p in pl_module.named_parameters() if p.requires_grad],
            "average": self.average.average,
            "names": self.names,
            "updates": pl_module.updates,
        }
        torch.save(told, f"{self.path}-{trainer.global_rank}-of-{trainer.world_size}.pt")


def train(folder, name, processes):
    make, role, updates = CASES[name]
    data: LightningDataModule = DegradedClips(SecondOrder("adcsr"), 4 // processes, size=64, workers=0)
    average = StudentEMA(role)
    strategy = DDPStrategy(start_method="fork", find_unused_parameters=True) if processes > 1 else "auto"
    callbacks = [StopAfter(role, updates), average, Seen(folder / name, average)]
    run = trainer(folder, callbacks, devices=processes, strategy=strategy)
    run.fit(make(), datamodule=data)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for processes in (2, 1):
        for name in CASES:
            train(Path(sys.argv[1]), name, processes)
    torch.save(
        {name: dict(make().named_parameters()) for name, (make, _, _) in CASES.items()}, f"{sys.argv[1]}/begin.pt"
    )
