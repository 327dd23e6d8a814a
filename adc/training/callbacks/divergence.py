"""The end of runs that diverge, and warnings of discriminators that dominate or collapse."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor

from adc.files import save_tensors
from adc.training.checkpoint import checkpoints
from adc.training.guard import Skip, non_finite

FOLDER = "diverged"
ALWAYS, CHANCE, MARGIN = 0.98, 0.02, 0.05
"""The accuracy above which a head dominates; how near it is to 0.5, and its margin to 0, where it has collapsed."""
GRACE = 2.0
"""Seconds that other processes wait before they exit: the launcher ends the first one soon after one of them does."""
log = logging.getLogger(__name__)


class Divergence(pl.Callback):
    """Stops a run when the updates of a role are skipped again and again; a stage has one with the defaults.

    A stage skips updates whose loss or gradient is not finite on any process (`adc.training.guard.Guard`). Skips of the
    gradient scaler of float16, while it can lower its scale, do not count here.

    Beside that, a head of a discriminator that separates real from fake always, or not at all, over a number of its
    batches is named in a warning and in the log (``gan/<head>_accuracy`` and ``gan/<head>_margin`` show it).
    """

    def __init__(self, limit: int = 10, dump: bool = True, window: int = 200) -> None:
        """
        Args:
            limit: Updates of a role in a row that may be skipped; the next one stops the run. 0 stops at the first.
            dump: Whether the last batch is written into the folder ``diverged`` of the run then, by each process:
                tensors, and names and other texts in the file's metadata.
            window: Batches of the discriminators over which margin and accuracy of a head are averaged.
        """
        if limit < 0:
            raise ValueError(f"Divergence.limit: {limit}; at least 0.")
        if window < 1:
            raise ValueError(f"Divergence.window: {window}; at least 1.")
        self.limit, self.dump, self.window = limit, dump, window
        self._heads: defaultdict[str, list[Tensor]] = defaultdict(list)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look at what was skipped and what the heads said.

        Raises:
            ValueError: If more updates in a row were skipped than the limit; on the first process, others exit.
        """
        for skip in pl_module.guard.skips:
            skipped = pl_module.guard.in_a_row[skip.role]
            if skipped > self.limit:
                self._stop(trainer, pl_module, skip, batch)
            if skipped == 1 and (trainer.is_global_zero or _is_here(skip)):
                log.warning("%s; the update was skipped. Batch of rank %d: %s", skip, trainer.global_rank, named(batch))
        self._watch_heads(trainer, pl_module)

    def _stop(self, trainer: pl.Trainer, stage: Any, skip: Skip, batch: Any) -> NoReturn:
        run, rank = Path(trainer.default_root_dir), trainer.global_rank
        report = f"Batch of rank {rank}: {named(batch)}"
        if self.dump and isinstance(batch, Mapping):
            path = run / FOLDER / f"{skip.batches:08d}_rank{rank}.safetensors"
            try:
                dump_batch(path, cast(Mapping[str, Any], batch))
                report += f", written to {path}"
            except Exception as error:  # what stops the run must be said, whatever the disk does
                report += f", which could not be written to {path} ({' '.join(str(error).split())})"
        if (tensor := non_finite(stage)) is not None:
            report += f"; of the weights themselves {tensor} is not finite"
        count = stage.guard.in_a_row[skip.role]
        texts = _gathered((_is_here(skip), f"{skip}; {count} updates in a row were skipped. {report}."))
        if not trainer.is_global_zero:
            time.sleep(GRACE)
            raise SystemExit(1)
        text = next((text for here, text in texts if here), texts[0][1])
        raise ValueError(f"{text} {_way_out(trainer, stage, skip.role)}")

    def _watch_heads(self, trainer: pl.Trainer, stage: Any) -> None:
        for head, value in stage.separation.items():
            self._heads[head].append(value)
        stage.separation = {}
        for head, values in self._heads.items():
            if len(values) < self.window:
                continue
            margin, accuracy = (figure.item() for figure in torch.stack(values).mean(0))
            values.clear()
            if trainer.is_global_zero and (line := verdict(head, margin, accuracy)) is not None:
                log.warning("%s", line)
                loggers: list[Any] = trainer.loggers
                for experiment in (logger.experiment for logger in loggers):
                    if hasattr(experiment, "add_text"):
                        experiment.add_text("divergence", line, stage.batches_seen)


def verdict(head: str, margin: float, accuracy: float) -> str | None:
    """What is wrong with a head, or None.

    Args:
        head: Its name.
        margin: Mean logit of real clips less that of fake ones.
        accuracy: Share of logits on the right side.
    """
    figures = f"accuracy {accuracy:.2f}, margin {margin:.2f}"
    if accuracy > ALWAYS:
        return (
            f"head {head}: the discriminator separates real from fake always ({figures}); lower its rate or the "
            "adversarial weight."
        )
    if abs(accuracy - 0.5) < CHANCE and abs(margin) < MARGIN:
        return (
            f"head {head}: the discriminator has collapsed, it does not separate real from fake ({figures}); raise its "
            "rate, or give it more updates."
        )
    return None


def named(batch: Any) -> str:
    """The names of the clips in a batch."""
    names = cast(Mapping[str, Any], batch).get("name") if isinstance(batch, Mapping) else None
    return ", ".join(str(name) for name in names) if names else "without names"


def dump_batch(path: Path, batch: Mapping[str, Any]) -> None:
    """Write a batch as a safetensors file: its tensors, and all else as JSON in the metadata."""
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in batch.items() if _is_tensor(value)}
    texts = {key: json.dumps(value, default=str) for key, value in batch.items() if not _is_tensor(value)}
    save_tensors(tensors, path, texts)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_here(skip: Skip) -> bool:
    """Whether a loss was not finite on this process."""
    return not all(math.isfinite(value) for value in skip.losses.values())


def _gathered(report: tuple[bool, str]) -> list[tuple[bool, str]]:
    """The reports of all processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return [report]
    reports: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(reports, report)
    return reports


def _way_out(trainer: pl.Trainer, stage: Any, role: str) -> str:
    saved = checkpoints(trainer.default_root_dir)
    guard, resumed = stage.guard, trainer.ckpt_path
    if resumed and guard.attempts[role] == guard.in_a_row[role]:
        older = [path for path in saved if path.name < Path(resumed).name]
        way = f"go on from an older one: --resume {older[-1]}." if older else "there is no older one: --restart."
        return f"No update of the role succeeded since the run resumed from {resumed}; {way}"
    hint = f"lower the rate of roles.{role}.optimizer, set roles.{role}.clip, or leave these files out"
    if saved:
        return f"{saved[-1]} is good, and the same command resumes from it; {hint}."
    return f"No checkpoint was written yet; {hint}."
