"""Callbacks that take room, spoil files or count what a process holds."""

import json
import shutil
from pathlib import Path

from lightning.pytorch import Callback

from adc.training import checkpoint


class FillDisk(Callback):
    """Takes all room on the run folder's disk but some, once, after a batch."""

    def __init__(self, batch: int, left: int, unchecked: bool = False) -> None:
        """
        Args:
            batch: After how many batches.
            left: Bytes that stay free.
            unchecked: Whether nobody looks at the room before writing.
        """
        self.batch, self.left = batch, left
        if unchecked:
            checkpoint.MARGIN = -(2**40)

    def on_train_batch_end(self, trainer, pl_module, *rest):
        if pl_module.batches_seen == self.batch:
            path = Path(trainer.default_root_dir, "filler")
            path.write_bytes(bytes(max(0, shutil.disk_usage(path.parent).free - self.left)))


class SpoilPhotos(Callback):
    """Cuts some photos short and removes some, once, after a batch."""

    def __init__(self, folder: str, batch: int, cut: int, removed: int) -> None:
        """
        Args:
            folder: Of photos, by their names' order.
            batch: After how many batches.
            cut: How many lose their second half, from the first on.
            removed: How many vanish, from the last on.
        """
        self.folder, self.batch, self.cut, self.removed = Path(folder), batch, cut, removed

    def on_train_batch_end(self, trainer, pl_module, *rest):
        if pl_module.batches_seen == self.batch:
            photos = sorted(self.folder.iterdir())
            for photo in photos[: self.cut]:
                photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
            for photo in photos[len(photos) - self.removed :]:
                photo.unlink()


class Census(Callback):
    """Notes memory, open files and the run folder's files, in the run folder's ``census``."""

    def __init__(self, every: int) -> None:
        """
        Args:
            every: Batches.
        """
        self.every = every

    def on_train_batch_end(self, trainer, pl_module, *rest):
        if pl_module.batches_seen % self.every == 0:
            run = Path(trainer.default_root_dir)
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            row = {
                "batches": pl_module.batches_seen,
                "kib": int(status["VmRSS"].split()[0]),
                "handles": len(list(Path("/proc/self/fd").iterdir())),
                "threads": int(status["Threads"]),
                "files": sum(path.is_file() for path in run.rglob("*")),
            }
            with (run / "census").open("a") as file:
                file.write(json.dumps(row) + "\n")
