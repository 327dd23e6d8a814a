"""A callback that does harm to one rank of a job."""

import os
import signal
import time
from pathlib import Path

from lightning.pytorch import Callback


class Harm(Callback):
    """Kills, stops, fails or delays one rank after a batch; notes when in the run folder's file ``harm``."""

    def __init__(self, rank: int, how: str, batch: int = 3, seconds: float = 0.0) -> None:
        """
        Args:
            rank: Whom.
            how: kill, stop, fail, full (a disk), step (a long one) or end (a long one).
            batch: After how many batches.
            seconds: How long a step or end takes.
        """
        self.rank, self.how, self.batch, self.seconds = rank, how, batch, seconds

    def on_train_batch_end(self, trainer, pl_module, *rest):
        if trainer.global_rank != self.rank or pl_module.batches_seen != self.batch or self.how == "end":
            return
        Path(trainer.default_root_dir, "harm").write_text(f"{time.monotonic()} {os.getpid()}")
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.how == "fail":
            raise ValueError("the loss is not finite")
        elif self.how == "full":
            raise OSError(28, "No space left on device", "runs/1.ckpt")
        elif self.how == "step":
            time.sleep(self.seconds)

    def on_train_end(self, trainer, pl_module):
        if trainer.global_rank == self.rank and self.how == "end":
            time.sleep(self.seconds)
