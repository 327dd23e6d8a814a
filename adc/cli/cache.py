"""``adc cache``: the teacher's outputs for the clips of a training run, stored on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser

from adc.cli.parser import PARSER_OPTIONS, OneLineErrors, load_components
from adc.cli.train import RecipeCLI, silence, stop_status
from adc.data.modules.clip_data import ClipData
from adc.errors import UsageError
from adc.interfaces import Prompt, Teacher
from adc.teacher_cache.fill import CacheProgress, MissingShards, TeacherRunner
from adc.teacher_cache.store import fingerprint
from adc.teacher_cache.teacher import CachedTeacher
from adc.training.precision import affordable

DOMAINS = ("pixel", "feature")
IRRELEVANT = ("workers", "cache", "val_dir", "val_lr", "val_hr", "validation_size", "validation_limit", "multiple")
"""Arguments of data modules on which training clips do not depend."""
TRAINER = ("accelerator", "devices", "num_nodes", "strategy", "precision", "plugins")
OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "folder": (str, ..., "Where the outputs go; an unfinished cache goes on."),
    "epochs": (
        int | None,
        None,
        "How often training passes over the data; null is once, or as often as RepeatedClips has other clips.",
    ),
    "batches": (int | None, None, "Batches of each process, in place of epochs."),
    "domains": (
        str | None,
        None,
        "pixel, feature or pixel,feature; null stores the domains of the recipe's losses against the teacher.",
    ),
    "answers": (
        Literal["teacher", "data"],
        "teacher",
        "Their source: the recipe's teacher, or its data, whose HR clips are then a teacher's outputs for the "
        "LR clips (PairedClips); no teacher is loaded.",
    ),
    "numbers": (
        Literal["exact", "float16", "bfloat16"],
        "exact",
        "Precision of what is stored; exact is the teacher's own.",
    ),
    "shard": (int, 256, "Clips in a file; they are held in memory until it is written."),
    "rank": (int, 0, "Number of this command among those that share the work."),
    "world": (int, 1, "How many commands share the work."),
}


def main(argv: list[str]) -> None:
    """Store a teacher's outputs."""
    silence()
    load_components(training=True)
    try:
        cli = CacheCLI(argv)
        with torch.no_grad():
            cli.trainer.validate(cli.runner, cli.shards, verbose=False)
    except MisconfigurationException as error:
        raise UsageError(" ".join(str(error).split())) from error
    except SystemExit as stop:
        status = stop_status(stop)
        sys.stderr.write("adc: stopped; the same command goes on with the next shard.\n")
        sys.exit(status)
    if cli.trainer.is_global_zero:
        print(f"{cli.folder}: {cli.shards.summary()}. Train from it with {{class_path: CachedTeacher, "
              f"init_args: {{folder: {cli.folder}}}}} as the teacher.")  # fmt: skip


class CacheCLI(RecipeCLI):
    """The parts of a recipe that run its teacher: no student, no discriminator, no optimizer."""

    def __init__(self, argv: list[str]) -> None:
        super().__init__("cache", argv)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options of the command."""
        for option, (kind, default, help_text) in OPTIONS.items():
            required = {"required": True} if default is ... else {"default": default}
            parser.add_argument(f"--{option}", type=kind, help=help_text, **required)

    def before_instantiate_classes(self) -> None:
        """Check the options before anything is built."""
        config = self.config
        for option in ("epochs", "batches", "shard", "world"):
            if config[option] is not None and config[option] < 1:
                raise UsageError(f"--{option}: {config[option]} is less than 1.")
        if not 0 <= config.rank < config.world:
            raise UsageError(f"--rank: {config.rank} is not among the numbers 0 to {config.world - 1} (--world).")
        self.folder = Path(config.folder)
        self.domains = _domains(config)
        stage = config.model.class_path.rpartition(".")[2]
        if config.answers == "teacher" and (config.model.get("init_args") or {}).get("teacher") is None:
            raise UsageError(f"model: {stage} of this recipe has no teacher to ask; name a recipe that has one.")

    def instantiate_classes(self) -> None:
        """The data, the teacher, its prompt, and a trainer for its device and precision."""
        data = self._component(pl.LightningDataModule, "data", self.config.data)
        if not isinstance(data, ClipData):
            raise UsageError(f"data: {type(data).__name__} has no clips by their number; adc cache takes a ClipData.")
        teacher, prompt, about = self._teacher() if self.config.answers == "teacher" else (None, None, _of_files(data))
        self.trainer = self._small_trainer()
        about |= {
            "data": _plain(self.config.data, IRRELEVANT),
            "precision": str(self.trainer.precision),
            "domains": self.domains,
            "numbers": self.config.numbers,
        }
        self.shards = MissingShards(self.folder, data, about, self.config)
        self.runner = TeacherRunner(teacher, prompt, self.shards, self.domains, self.config.numbers)

    def _teacher(self) -> tuple[Teacher, Prompt | None, dict[str, Any]]:
        """The recipe's teacher, its prompt, and their cache metadata."""
        stage = self.config.model.init_args
        teacher: Teacher = self._component(Teacher, "teacher", stage.teacher)
        if isinstance(teacher, CachedTeacher):
            raise UsageError("model.init_args.teacher: is a cache already; name the teacher that made it.")
        config = stage.get("prompt") if teacher.takes_prompt else None
        prompt = None if config is None else self._component(Prompt, "prompt", config)
        about = {
            "teacher": _plain(stage.teacher),
            "weights": fingerprint(teacher),
            "scale": teacher.scale,
            "takes_prompt": teacher.takes_prompt,
            "prompt": _plain(config),
        }
        return teacher, prompt, about

    def _component(self, kind: type, key: str, config: Any) -> Any:
        parser = OneLineErrors(**PARSER_OPTIONS)
        parser.add_argument(f"--{key}", type=kind)
        parser.recipes = self.recipes
        return parser.instantiate_classes(parser.parse_object({key: config}))[key]

    def _small_trainer(self) -> pl.Trainer:
        config = self.config.clone()
        for part in ("model", "data"):
            config.pop(part)
        for key in list(config.trainer.keys()):
            if key not in TRAINER:
                config.trainer[key] = None
        built: Any = self.parser.instantiate_classes(config)
        options: dict[str, Any] = {key: built.trainer[key] for key in TRAINER if built.trainer.get(key) is not None}
        options["precision"] = affordable(options.get("precision"), options.get("accelerator"))
        options |= dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
        options |= dict.fromkeys(("enable_progress_bar", "use_distributed_sampler", "inference_mode"), False)
        return pl.Trainer(**options, callbacks=[CacheProgress()])


def _domains(config: Any) -> list[str]:
    """Domains that are stored: those of the option, or those of losses against the teacher."""
    if config.domains is not None:
        named = [name.strip() for name in config.domains.split(",")]
        for name in named:
            if name not in DOMAINS:
                raise UsageError(f"--domains: there is no {name!r}; write pixel, feature or pixel,feature.")
        if config.answers == "data" and named != ["pixel"]:
            raise UsageError(f"--domains: {config.domains} cannot be kept with --answers data, which are pixels.")
    elif config.answers == "data":
        named = ["pixel"]
    else:
        losses = (config.model.get("init_args") or {}).get("losses") or []
        asked = [loss.get("init_args") or {} for loss in losses if hasattr(loss, "get")]
        named = [loss.get("domain") for loss in asked if loss.get("against") == "teacher"]
    return [domain for domain in DOMAINS if domain in named or not named]


def _of_files(data: ClipData) -> dict[str, Any]:
    """Cache metadata of a teacher of which there are only the outputs, the data's HR clips."""
    clip: dict[str, Any] = data.training_set()[0, 0]
    if "lr" not in clip:
        raise UsageError("data: its LR clips are made on the device; --answers data takes pairs of files.")
    scale = clip["hr"].shape[-1] // clip["lr"].shape[-1]
    teacher = {"class_path": "data"}
    return {"teacher": teacher, "weights": "outputs", "scale": scale, "takes_prompt": False, "prompt": None}


def _plain(config: Any, without: tuple[str, ...] = ()) -> Any:
    """A component's configuration as data."""
    if config is None or isinstance(config, str | dict):
        return config
    return _less(config.as_dict(), without)


def _less(component: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: value for key, value in (component.get("init_args") or {}).items() if key not in without}
    if isinstance(kept.get("data"), dict):  # a module around another
        kept["data"] = _less(kept["data"], without)
    return {**component, "init_args": kept}
