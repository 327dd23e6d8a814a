"""Trains where one of two processes meets what is not finite: ``torchrun --nproc-per-node 2 diverging.py FOLDER``.

Four batches each, of which the second is bad in the second process; then a run that stops, whose words are written.
"""

import os
import sys
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.strategies import DDPStrategy
from training import distillation, trainer

from adc.data import DegradedClips
from adc.degradation import SecondOrder
from adc.losses import L1
from adc.ops.sharded import full
from adc.training import Role
from adc.training.callbacks import Divergence, SaveEvery, StopAfter, StudentEMA
from adc.training.checkpoint import checkpoints
from adc.training.sharded_strategy import ShardedStrategy

Adam = partial(torch.optim.Adam, lr=1e-3, eps=1e-4)
STRATEGIES = {"ddp": partial(DDPStrategy, find_unused_parameters=True), "sharded": ShardedStrategy}
KINDS = ("nan", "gradient")
RANK = int(os.environ["RANK"])


class BadOnOne(L1):
    """Not finite in the second process, at the second batch or at all of them."""

    def __init__(self, what, always=False):
        super().__init__("feature", "teacher")
        self.what, self.always, self.count = what, always, 0

    def forward(self, prediction, target):
        value, self.count = super().forward(prediction, target), self.count + 1
        if RANK == 0 or not (self.always or self.count == 2):
            return value
        return value * float("nan") if self.what == "nan" else value + (prediction - prediction.detach()).sum().sqrt()


def train(folder, strategy, loss, callbacks):
    roles = {name: Role(Adam, clip=0.05) for name in ("student", "discriminators")}
    stage = distillation(roles=roles, losses=[loss])
    data = DegradedClips(SecondOrder("adcsr"), 2, size=64, workers=0)
    fit = trainer(folder, [*callbacks, StopAfter("student", 3)], devices=2, strategy=STRATEGIES[strategy]())
    try:
        fit.fit(stage, datamodule=data)
    except (ValueError, SystemExit) as error:
        return {"end": type(error).__name__, "text": str(error)}
    return {
        "weights": {name: full(tensor) for name, tensor in stage.state_dict().items()},
        "updates": stage.updates,
        "skipped": stage.guard.skipped,
        "batches": stage.batches_seen,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    home = Path(sys.argv[1])
    for strategy in STRATEGIES:
        for what in KINDS:
            run = home / f"{strategy}-{what}"
            end = train(run, strategy, BadOnOne(what), [StudentEMA(), SaveEvery("student", 3)])
            torch.save({**end, "files": len(checkpoints(run))}, f"{run}-{RANK}.pt")
        run = home / f"{strategy}-stop"
        torch.save(train(run, strategy, BadOnOne("nan", always=True), [Divergence(limit=1)]), f"{run}-{RANK}.pt")
