"""A callback that sends its own process a signal, once in a run folder."""

import os
import signal
import time
from pathlib import Path

from lightning.pytorch import Callback


class Signal(Callback):
    """Sends a signal at one place of a run."""

    def __init__(self, batch: int, name: str = "SIGTERM", place: str = "step", times: int = 1, rank: int = 0) -> None:
        """
        Args:
            batch: How many batches are complete by then.
            name: The signal.
            place: In the ``step`` of that batch, or in the ``validation`` that follows it, after its first clip.
            times: How often, a second apart.
            rank: The process that is meant.
        """
        self.batch, self.number, self.place = batch, getattr(signal, name), place
        self.times, self.rank = times, rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.place == "step":
            self.send(trainer, pl_module)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.place == "validation" and batch_idx == 1:
            self.send(trainer, pl_module)

    def send(self, trainer, stage):
        marker = Path(trainer.default_root_dir, f"signalled-{self.batch}-{self.place}")
        if stage.batches_seen != self.batch or trainer.global_rank != self.rank or marker.exists():
            return
        marker.touch()
        for attempt in range(self.times):
            if attempt:
                time.sleep(1)
            os.kill(os.getpid(), self.number)
