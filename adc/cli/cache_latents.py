"""``adc cache-latents``: the latents of training clips, computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adc import runs
from adc.cli.parser import load_components, recipes_of
from adc.cli.sharded import SHARED, check_options, finish, shard_parser, training_clips
from adc.inference.device import find_device
from adc.interfaces import Conditioner
from adc.media.tensor_shards import TensorShards
from adc.progress import track
from adc.teacher_cache.latents import cache_latents
from adc.teacher_cache.store import fingerprint
from adc.training.precision import affordable_on


def main(argv: list[str]) -> None:
    """Encode the clips of a recipe; a folder that is not full yet goes on."""
    load_components(training=True)
    parser = shard_parser("adc cache-latents", "Encode training clips once, for stages that train on latents.")
    parser.add_subclass_arguments(Conditioner, "conditioner", help="Its autoencoder encodes HR and enlarged LR.")
    skip: set[str | int] = {"shards", "clips", "conditioner", "workers", "seed", "progress"}
    parser.add_function_arguments(cache_latents, "latents", skip=skip)
    config = parser.parse_args(argv)
    options = config.latents.as_dict()
    check_options("latents", options, {"negative_factor": 2})
    built: Any = parser.instantiate_classes(config)
    folder, clips, device = Path(config.folder), training_clips(built.data), find_device(config.device)
    options["precision"] = affordable_on(device, options["precision"], "latents.precision")
    conditioner = built.conditioner.eval().requires_grad_(False).to(device)
    about = {key: value for key, value in options.items() if key not in SHARED}
    about |= {"data": config.data.as_dict(), "autoencoder": fingerprint(conditioner.autoencoder)}
    shards = TensorShards(folder, about)
    runs.begin(folder, recipes_of(argv))
    with track("encoding", options["count"], "clips") as bar:
        own = {"seed": built.data.seed, "workers": built.data.workers, "progress": bar.advance}
        done = cache_latents(shards, clips, conditioner, **options, **own)
    finish(folder, shards, options, f"{done} of {options['count']} clips encoded now")
