"""``adc fit``, ``validate``, ``test`` and ``predict``: one stage of a recipe on Lightning's trainer."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, LambdaCallback
from lightning.pytorch.callbacks.progress import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from adc import runs
from adc.cli import COMMANDS, INTERRUPTED
from adc.cli.parser import PARSER_OPTIONS, OneLineErrors, load_components
from adc.errors import UsageError
from adc.training import Stage
from adc.training.callbacks.heartbeat import add_heartbeat
from adc.training.callbacks.predictions import PredictionWriter
from adc.training.callbacks.progress import StageProgress
from adc.training.checkpoint import AtomicCheckpointIO, newest_checkpoint

TERMINATED = 143
OWN_OPTIONS = ("resume", "restart", "checkpoint")
IGNORED_MESSAGES = (
    "litlogger", "TPU available", "HPU available", "Seed set to", "`Trainer.fit` stopped", "Detected Keyboard",
    "`weights_only`",
)  # fmt: skip
IGNORED_WARNINGS = (
    "isinstance.treespec", "module.s. in eval mode", "does not have many workers", "smaller than the logging interval",
    "no `val_dataloader`", "exists and is not empty",
)  # fmt: skip


class RecipeParser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors in one line."""


class RecipeCLI(LightningCLI):
    """Trainer, stage and data module of a recipe, built but not run."""

    def __init__(self, command: str, argv: list[str]) -> None:
        self.command = command
        super().__init__(
            Stage,
            pl.LightningDataModule,
            save_config_callback=None,
            trainer_defaults={"max_epochs": -1, "use_distributed_sampler": False, "enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={"prog": f"adc {command}", "description": COMMANDS[command][2], **PARSER_OPTIONS},
            parser_class=RecipeParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=argv,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options of the command itself, which the saved recipe does not hold."""
        if self.command == "fit":
            parser.add_argument(
                "--resume",
                default="auto",
                help="auto: continue from the newest checkpoint of the run folder; never; or a checkpoint file.",
            )
            parser.add_argument("--restart", action="store_true", help="Forget earlier attempts and start over.")
        else:
            parser.add_argument(
                "--checkpoint",
                default="newest",
                help="newest: that of the run folder; none: the recipe's own weights; or a checkpoint file.",
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; the recipe files are remembered."""
        self.config = parser.parse_args(args)
        self.recipes: list[str] = getattr(parser, "recipes", [])

    def before_instantiate_classes(self) -> None:
        """Check the command before anything is built."""
        root = self.config.trainer.default_root_dir
        self.run_folder = Path(root) if root else None
        if self.command != "fit":
            return
        if self.run_folder is None:
            raise UsageError(
                "trainer.default_root_dir is not given; name the run's folder, for one runs/demo/1_decoder."
            )
        if self.config.restart:
            if all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "NODE_RANK")):
                runs.clear(self.run_folder)
            return
        record = runs.finished(self.run_folder)
        if record is not None:
            if not runs.follows(self.run_folder, self.recipes):
                hint = "--restart trains it again, or name another trainer.default_root_dir."
                raise UsageError(f"{self.run_folder} was finished with another recipe; {hint}")
            updates = ", ".join(f"{role} {count}" for role, count in record.get("updates", {}).items())
            print(f"{self.run_folder} is finished ({updates}); --restart trains it again.")
            sys.exit(0)

    def instantiate_classes(self) -> None:
        """Build, and refuse what does not fit together before anything runs."""
        super().instantiate_classes()
        try:
            self.model.check()
        except ValueError as error:
            raise UsageError(str(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer with atomic checkpoints, TensorBoard in the run folder and the bar of role updates."""
        given = {**self._get(self.config_init, "trainer", default={}), **kwargs}
        callbacks = _listed(given.get("callbacks"))
        if given.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(StageProgress())
        if given.get("enable_checkpointing") is None and not any(isinstance(c, Checkpoint) for c in callbacks):
            given["enable_checkpointing"] = False
        if self.command == "predict":
            callbacks.append(PredictionWriter())
        plugins = _listed(given.get("plugins"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        if given.get("logger") in (None, True):
            given["logger"] = False
            if self.command == "fit" and self.run_folder is not None:
                given["logger"] = TensorBoardLogger(self.run_folder, name="logs", version="")
        return add_heartbeat(self._instantiate_trainer({**given, "plugins": plugins, "callbacks": callbacks}, []))

    def save_recipe(self) -> None:
        """Write the resolved recipe and its fingerprint into the run folder."""
        assert self.run_folder is not None
        config = self.config.clone()
        for option in (*OWN_OPTIONS, "config"):
            config.pop(option, None)
        text = self.parser.dump(config, skip_none=False, skip_validation=True)
        runs.write_text(self.run_folder / "config.yaml", text)
        if self.recipes:
            runs.begin(self.run_folder, self.recipes)


def main(command: str, argv: list[str]) -> None:
    """Run a recipe's stage: ``fit``, ``validate``, ``test`` or ``predict``."""
    silence()
    load_components(training=True)
    try:
        cli = RecipeCLI(command, argv)
        if command == "fit":
            _fit(cli)
        else:
            options = {"return_predictions": False} if command == "predict" else {}
            work = getattr(cli.trainer, command)
            work(cli.model, cli.datamodule, ckpt_path=_checkpoint(cli), weights_only=True, **options)
    except MisconfigurationException as error:
        raise UsageError(" ".join(str(error).split())) from error


fit, validate, test, predict = (partial(main, command) for command in ("fit", "validate", "test", "predict"))


def _fit(cli: RecipeCLI) -> None:
    assert cli.run_folder is not None
    checkpoint = _resume(cli)
    stopwatch = runs.Stopwatch(cli.run_folder)
    if cli.trainer.is_global_zero:
        cli.save_recipe()
        clock = LambdaCallback(
            on_train_batch_end=lambda *_: stopwatch.note(every=10.0), on_exception=lambda *_: stopwatch.note()
        )
        cli.trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        status, newest = stop_status(stop), _newest(cli.run_folder)
        way = f"resumes from {newest}" if newest else "starts over: no checkpoint was written yet"
        if cli.trainer.is_global_zero:
            sys.stderr.write(f"adc: stopped; the same command {way}.\n")
        sys.exit(status)
    if cli.trainer.is_global_zero:
        stopwatch.note()
        facts = {"updates": cli.model.updates, "batches": cli.model.batches_seen}
        runs.finish(cli.run_folder, **facts, seconds=round(stopwatch.seconds, 3))
        print(f"{cli.run_folder} is finished after {stopwatch.seconds:.0f} s.")


def _resume(cli: RecipeCLI) -> str | None:
    """The checkpoint to continue from."""
    resume = cli.config.resume
    if resume not in ("auto", "never"):
        return _existing(resume, "--resume")
    if resume == "never" or cli.config.restart:
        return None
    assert cli.run_folder is not None
    newest = _newest(cli.run_folder)
    if newest is not None and cli.trainer.is_global_zero:
        print(f"resuming from {newest}")
        if not runs.follows(cli.run_folder, cli.recipes):
            sys.stderr.write("adc: warning: the recipe has changed since this run began; --restart starts it over\n")
    return newest


def _checkpoint(cli: RecipeCLI) -> str | None:
    """The checkpoint to measure."""
    checkpoint = cli.config.checkpoint
    if checkpoint == "none":
        return None
    if checkpoint != "newest":
        return _existing(checkpoint, "--checkpoint")
    newest = _newest(cli.run_folder) if cli.run_folder is not None else None
    if newest is None:
        folder = cli.run_folder or "trainer.default_root_dir, which is not given,"
        raise UsageError(f"{folder} holds no checkpoint; name one (--checkpoint FILE), or --checkpoint none.")
    return newest


def _newest(run: Path) -> str | None:
    newest, damaged = newest_checkpoint(run)
    for path in damaged:
        sys.stderr.write(f"adc: warning: {path} cannot be read and is passed over\n")
    return None if newest is None else str(newest)


def _existing(path: str, option: str) -> str:
    if not Path(path).is_file():
        raise UsageError(f"{option}: there is no checkpoint {path}.")
    return path


def stop_status(stop: SystemExit) -> int:
    """Exit status of a trainer that an interrupt or a signal ended; other exits are raised again."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(stop, SIGTERMException):
        return TERMINATED
    raise stop


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def silence() -> None:
    """Leave out messages that libraries print on every run."""

    def is_relevant(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in IGNORED_MESSAGES)

    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed", "lightning.pytorch"):
        logger = logging.getLogger(name)
        logger.addFilter(is_relevant)
        for handler in logger.handlers:
            handler.addFilter(is_relevant)
    for words in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{words}")
