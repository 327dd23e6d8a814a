"""``adc fit``, ``validate``, ``test`` and ``predict``: one stage of a recipe on Lightning's trainer."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import lightning.pytorch as pl
import torch
import yaml
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, LambdaCallback
from lightning.pytorch.callbacks.progress import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from adc import runs
from adc.cli import COMMANDS, INTERRUPTED
from adc.cli.extras import check_extras
from adc.cli.parser import PARSER_OPTIONS, OneLineErrors, end_if_parsing_only, load_components
from adc.errors import UsageError, masked
from adc.signals import STOPPED, is_first_process
from adc.training import Stage, clusters
from adc.training import recipe_changes as changes
from adc.training.callbacks import goal
from adc.training.callbacks.heartbeat import add_heartbeat
from adc.training.callbacks.predictions import PredictionWriter
from adc.training.callbacks.progress import StageProgress
from adc.training.callbacks.signals import StopOnSignal
from adc.training.callbacks.validation import ValidateOnResume
from adc.training.checkpoint import AtomicCheckpointIO, damage, newest_checkpoint
from adc.training.precision import affordable

TERMINATED = 143
EXIT_STATUSES = (
    "Exit statuses: 0 finished, 1 failed, 2 wrong usage or recipe, 75 stopped by SIGUSR1 or before its goal, 130 by "
    "Ctrl-C, 143 by SIGTERM. After 75, 130 and 143 the same command goes on; docs/clusters.md has more."
)
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

    def __init__(self, command: str, argv: list[str], held: ExitStack | None = None) -> None:
        self.command, self.held = command, held or ExitStack()
        super().__init__(
            Stage,
            pl.LightningDataModule,
            save_config_callback=None,
            trainer_defaults={"max_epochs": -1, "use_distributed_sampler": False, "enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={"prog": f"adc {command}", "description": _description(command), **PARSER_OPTIONS},
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
        seed = self.config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise UsageError(f"seed_everything: {seed}; from 0 to {2**32 - 1}.")

    def before_instantiate_classes(self) -> None:
        """Check the command before anything is built."""
        root = self.config.trainer.default_root_dir
        self.run_folder = Path(root) if root else None
        self.changes: changes.Changes = {}
        check_optimizers(self.config.model)
        for key in ("model", "data"):
            check_extras(self.config.get(key), key)
        if self.command != "fit":
            return
        if self.run_folder is None:
            raise UsageError(
                "trainer.default_root_dir is not given; name the run's folder, for one runs/demo/1_decoder."
            )
        end_if_parsing_only()
        if self.config.trainer.fast_dev_run:
            self.run_folder = Path(self.held.enter_context(tempfile.TemporaryDirectory()))
            self.config.trainer.default_root_dir = str(self.run_folder)
            return
        first = is_first_process()
        if first:
            self.held.enter_context(runs.writing(self.run_folder))
        if self.config.restart:
            if first:
                runs.clear(self.run_folder)
            return
        self.changes = changes.changes(self.run_folder, yaml.safe_load(self.resolved()))
        record = runs.finished(self.run_folder)
        if record is not None:
            hint = "--restart trains it again, or name another trainer.default_root_dir."
            if not runs.follows(self.run_folder, self.recipes):
                raise UsageError(f"{self.run_folder} was finished with another recipe; {hint}")
            if self.changes:
                first_change = changes.describe(self.changes)[0]
                raise UsageError(f"{self.run_folder} was finished with other settings ({first_change}); {hint}")
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
        callbacks += [StopOnSignal(), ValidateOnResume()] if self.command == "fit" else [ValidateOnResume()]
        if self.command == "predict":
            callbacks.append(PredictionWriter())
        plugins = _listed(given.get("plugins"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        plugins += clusters.slurm_environment(plugins, given.get("strategy"))
        if given.get("logger") in (None, True):
            given["logger"] = False
            if self.command == "fit" and self.run_folder is not None:
                given["logger"] = TensorBoardLogger(self.run_folder, name="logs", version="")
        given["precision"] = affordable(given.get("precision"), given.get("accelerator"))
        trainer = self._instantiate_trainer({**given, "plugins": plugins, "callbacks": callbacks}, [])
        clusters.ignore_requeue_checkpoints(trainer)
        return add_heartbeat(trainer)

    def resolved(self) -> str:
        """The resolved recipe, options of the command line included, as YAML; secrets of the environment by name."""
        config = self.config.clone()
        for option in (*OWN_OPTIONS, "config"):
            config.pop(option, None)
        return masked(self.parser.dump(config, skip_none=False, skip_validation=True))

    def save_recipe(self, resumed: bool) -> None:
        """Write the resolved recipe and its fingerprint into the run folder of a run that goes on, or begins."""
        assert self.run_folder is not None
        runs.write_text(self.run_folder / changes.CONFIG, self.resolved())
        if self.recipes:
            runs.begin(self.run_folder, self.recipes, resumed)


def main(command: str, argv: list[str]) -> None:
    """Run a recipe's stage: ``fit``, ``validate``, ``test`` or ``predict``."""
    silence()
    load_components(training=True)
    try:
        with ExitStack() as held:
            cli = RecipeCLI(command, argv, held)
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
    trainer, stage = cli.trainer, cli.model
    try:
        goal.check(trainer, stage)
    except ValueError as error:
        raise UsageError(str(error)) from error
    checkpoint = _resume(cli)
    for logger in trainer.loggers if trainer.is_global_zero else ():
        if isinstance(logger, TensorBoardLogger):
            print(f"curves and samples: tensorboard --logdir {logger.log_dir}")
    stopwatch = runs.Stopwatch(cli.run_folder)
    if trainer.is_global_zero:
        cli.save_recipe(resumed=checkpoint is not None)
        clock = LambdaCallback(
            on_train_batch_end=lambda *_: stopwatch.note(every=10.0), on_exception=lambda *_: stopwatch.note()
        )
        trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    try:
        trainer.fit(stage, cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        status = stop_status(stop)
        if trainer.is_global_zero:
            sys.stderr.write(f"adc: stopped; the same command {_way_on(cli.run_folder)}.\n")
        sys.exit(status)
    if trainer.is_global_zero:
        stopwatch.note()
    if cli.config.trainer.fast_dev_run:
        print(f"fast_dev_run: {goal.progress(trainer, stage)}; nothing was kept.")
        return
    if not goal.reached(trainer, stage):
        if trainer.is_global_zero:
            where = goal.progress(trainer, stage)
            sys.stderr.write(
                f"adc: {cli.run_folder}: stopped at {where}; the same command {_way_on(cli.run_folder)}.\n"
            )
        sys.exit(STOPPED)
    if trainer.is_global_zero:
        facts = {"updates": stage.updates, "batches": stage.batches_seen, "skipped_updates": stage.guard.skipped}
        facts |= {"skipped_files": getattr(cli.datamodule, "causes", dict)()}
        runs.finish(cli.run_folder, **facts, seconds=round(stopwatch.seconds, 3))
        print(f"{cli.run_folder} is finished after {stopwatch.seconds:.0f} s.")


def _resume(cli: RecipeCLI) -> str | None:
    """The checkpoint to continue from; what the recipe changes is checked, applied, said and noted."""
    resume, run = cli.config.resume, cli.run_folder
    assert run is not None
    if resume == "never" or cli.config.restart:
        return None
    checkpoint = _newest(run) if resume == "auto" else _existing(resume, "--resume")
    if checkpoint is None:
        return None
    changes.check(run, cli.changes)
    cli.trainer.callbacks.append(changes.ApplyChanges(cli.changes))  # type: ignore[attr-defined]
    if cli.trainer.is_global_zero:
        print(f"resuming from {checkpoint}")
        for line in changes.describe(cli.changes):
            sys.stderr.write(f"adc: changed from here on: {line}\n")
        runs.note_changes(run, Path(checkpoint).stem, changes.describe(cli.changes))
    return checkpoint


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
    for path, reason in damaged.items():
        sys.stderr.write(f"adc: warning: {path} {reason} and is passed over\n")
    return None if newest is None else str(newest)


def _existing(path: str, option: str) -> str:
    if not Path(path).is_file():
        raise UsageError(f"{option}: there is no checkpoint {path}.")
    if (reason := damage(path)) is not None:
        raise UsageError(f"{option}: {path} {reason}.")
    return path


def _way_on(run: Path) -> str:
    newest, _ = newest_checkpoint(run)
    return f"resumes from {newest}" if newest else "starts over: no checkpoint was written yet"


def check_optimizers(model: Any) -> None:
    """Refuse what is no optimizer or schedule where a role names one, before it is called.

    Raises:
        UsageError: With the key and the class.
    """
    roles = getattr(getattr(model, "init_args", None), "roles", None) or {}
    for role, settings in dict(roles).items():
        for key, base in (("optimizer", torch.optim.Optimizer), ("scheduler", torch.optim.lr_scheduler.LRScheduler)):
            named = getattr(settings, key, None)
            if named is None:
                continue
            path = getattr(named, "class_path", named)
            kind = resolve_name(path) if isinstance(path, str) else path
            if not (isinstance(kind, type) and issubclass(kind, base)):
                raise UsageError(f"model.init_args.roles.{role}.{key}: {path} is no {base.__name__} of torch.")


def stop_status(stop: SystemExit) -> int:
    """Exit status of a trainer that an interrupt or a signal ended; other exits are raised again."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(stop, SIGTERMException):
        return TERMINATED
    raise stop


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _description(command: str) -> str:
    return COMMANDS[command][2] + (f" {EXIT_STATUSES}" if command == "fit" else "")


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
