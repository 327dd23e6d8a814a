"""``adc cache-latents``: the latents of training clips, computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from adc import runs
from adc.cli.parser import component_parser, load_components, recipes_of
from adc.data.modules.clip_data import ClipData
from adc.errors import UsageError
from adc.inference.device import find_device
from adc.interfaces import Conditioner
from adc.media.tensor_shards import TensorShards
from adc.progress import track
from adc.teacher_cache.latents import cache_latents
from adc.teacher_cache.store import fingerprint


def main(argv: list[str]) -> None:
    """Encode the clips of a recipe; a folder that is not full yet goes on."""
    load_components(training=True)
    parser = component_parser("adc cache-latents", "Encode training clips once, for stages that train on latents.")
    parser.add_argument("--folder", type=str, required=True, help="Where the latents go; an unfinished folder goes on.")
    parser.add_subclass_arguments(pl.LightningDataModule, "data", help="Its training clips are encoded.")
    parser.add_subclass_arguments(Conditioner, "conditioner", help="Its autoencoder encodes HR and enlarged LR.")
    skip: set[str | int] = {"shards", "clips", "conditioner", "workers", "seed", "progress"}
    parser.add_function_arguments(cache_latents, "latents", skip=skip)
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda or cuda:1; auto is a GPU if there is one."
    )
    config = parser.parse_args(argv)
    options = config.latents.as_dict()
    for key, least in (("count", 1), ("shard", 1), ("world", 1), ("negative_factor", 2)):
        if options[key] is not None and options[key] < least:
            raise UsageError(f"--latents.{key}: {options[key]}; at least {least}.")
    if not 0 <= options["rank"] < options["world"]:
        raise UsageError(f"--latents.rank: {options['rank']} is not among the numbers 0 to {options['world'] - 1}.")
    built: Any = parser.instantiate_classes(config)
    data, folder = built.data, Path(config.folder)
    if not isinstance(data, ClipData):
        raise UsageError(
            f"data: {type(data).__name__} has no clips by their number; adc cache-latents takes a ClipData."
        )
    conditioner = built.conditioner.eval().requires_grad_(False).to(find_device(config.device))
    about = {
        "data": config.data.as_dict(),
        "autoencoder": fingerprint(conditioner.autoencoder),
        **{key: value for key, value in options.items() if key not in {"rank", "world"}},
    }
    shards = TensorShards(folder, about)
    runs.begin(folder, recipes_of(argv))
    clips = data.training_set()
    with track("encoding", options["count"], "clips") as bar:
        own = {"seed": data.seed, "workers": data.workers, "progress": bar.advance}
        done = cache_latents(shards, clips, conditioner, **options, **own)
    count = range(0, options["count"], options["shard"])
    if left := sum(not shards.path(number).exists() for number in range(len(count))):
        print(f"{folder}: {done} clips encoded; {left} of {len(count)} files are left to other processes.")
        return
    runs.finish(folder)
    use = f"{{class_path: CachedClips, init_args: {{folder: {folder}}}}}"
    print(f"{folder}: {options['count']} clips, {done} of them encoded now. Train on them with {use} as the data.")
