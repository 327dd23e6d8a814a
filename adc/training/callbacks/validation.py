"""Validations that a run still owes when it resumes."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl


class ValidateOnResume(pl.Callback):
    """Runs the validation that was due at a checkpoint and had not ended when the run did, before training goes on.

    Lightning takes a validation that was due at a checkpoint for done. A run that ended before or in it would have a
    curve with a hole; this makes the curves of stopped, killed and undisturbed runs equal. A run that was killed after
    the validation repeats it, as it repeats batches.
    """

    def __init__(self) -> None:
        self.validated = -1
        self._resumed = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note the batches at a whole validation."""
        if not trainer.sanity_checking:
            self.validated = pl_module.batches_seen

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Validate if the checkpoint was written before the validation of its batch had ended."""
        resumed, self._resumed = self._resumed, False
        fit_loop: Any = trainer.fit_loop
        loop = fit_loop.epoch_loop
        if not resumed or self.validated == pl_module.batches_seen:
            return
        if not loop._should_check_val_fx(fit_loop._data_fetcher):
            return
        connector: Any = trainer._logger_connector  # pyright: ignore[reportPrivateUsage]
        first = connector._first_loop_iter
        loop.val_loop.restarting = False
        trainer.validating = True
        loop.val_loop.run()
        trainer.training = True
        connector._first_loop_iter = first

    def state_dict(self) -> dict[str, Any]:
        """The batches at the last whole validation."""
        return {"validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Know what the checkpoint had behind it."""
        self.validated, self._resumed = state_dict["validated"], True
