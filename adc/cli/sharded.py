"""What commands share that fill a folder of tensors, shard by shard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import Dataset

from adc import runs
from adc.cli.parser import component_parser
from adc.data.modules.clip_data import ClipData
from adc.errors import UsageError
from adc.media.tensor_shards import TensorShards

SHARED = ("rank", "world")


def shard_parser(name: str, description: str) -> Any:
    """The parser of such a command: ``folder``, ``data`` and ``device``."""
    parser = component_parser(name, description)
    parser.add_argument("--folder", type=str, required=True, help="Where the tensors go; an unfinished folder goes on.")
    parser.add_subclass_arguments(pl.LightningDataModule, "data", help="Its training clips are taken.")
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda or cuda:1; auto is a GPU if there is one."
    )
    return parser


def check_options(key: str, options: Mapping[str, Any], least: Mapping[str, int]) -> None:
    """Check numbers of clips, and the place among the processes that share the work.

    Raises:
        UsageError: If one is out of its range.
    """
    for name, smallest in {"count": 1, "shard": 1, "world": 1, **least}.items():
        if options[name] is not None and options[name] < smallest:
            raise UsageError(f"--{key}.{name}: {options[name]}; at least {smallest}.")
    if not 0 <= options["rank"] < options["world"]:
        raise UsageError(f"--{key}.rank: {options['rank']} is not among the numbers 0 to {options['world'] - 1}.")


def training_clips(data: Any) -> Dataset[Any]:
    """The training clips of a data module.

    Raises:
        UsageError: If it has no clips by their number.
    """
    if data is None:
        raise UsageError("data: is not given; name a data module of clips.")
    if not isinstance(data, ClipData):
        raise UsageError(f"data: {type(data).__name__} has no clips by their number; name a data module of clips.")
    return data.training_set()


def finish(folder: Path, shards: TensorShards, options: Mapping[str, Any], done: str) -> None:
    """Say what was done, and mark the folder as finished once all shards are there."""
    numbers = range(len(range(0, options["count"], options["shard"])))
    if left := sum(not shards.path(number).exists() for number in numbers):
        print(f"{folder}: {done}; {left} of {len(numbers)} files are left to other processes.")
        return
    runs.finish(folder)
    use = f"{{class_path: CachedClips, init_args: {{folder: {folder}}}}}"
    print(f"{folder}: {done}. Train on them with {use} as the data.")
