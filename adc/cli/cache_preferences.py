"""``adc cache-preferences``: pairs of the best and the worst of a student's candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adc import runs
from adc.cli.parser import load_components, recipes_of
from adc.cli.sharded import SHARED, check_options, finish, shard_parser, training_clips
from adc.errors import UsageError
from adc.inference.device import find_device
from adc.interfaces import DiffusionRestorer, Restorer, Scorer
from adc.media.tensor_shards import TensorShards
from adc.progress import track
from adc.teacher_cache.preferences import cache_preferences
from adc.teacher_cache.store import fingerprint


def main(argv: list[str]) -> None:
    """Sample and rank candidates of a recipe's clips; a folder that is not full yet goes on."""
    load_components(training=True)
    parser = shard_parser("adc cache-preferences", "Rank a student's candidates, for preference optimisation.")
    parser.add_argument(
        "--restorer", type=Restorer, required=True, help="The diffusion restorer that makes candidates."
    )
    parser.add_subclass_arguments(Scorer, "scorer", help="Rates candidates; higher is better.")
    skip: set[str | int] = {"shards", "clips", "restorer", "scorer", "seed", "progress"}
    parser.add_function_arguments(cache_preferences, "preferences", skip=skip)
    config = parser.parse_args(argv)
    options = config.preferences.as_dict()
    check_options("preferences", options, {"candidates": 2})
    built: Any = parser.instantiate_classes(config)
    folder, clips, restorer = Path(config.folder), training_clips(built.data), built.restorer
    if not isinstance(restorer, DiffusionRestorer):
        raise UsageError(f"restorer: {type(restorer).__name__} samples no latents; name a diffusion restorer.")
    for network in (restorer, built.scorer):
        network.eval().requires_grad_(False).to(find_device(config.device))
    about = {key: value for key, value in options.items() if key not in SHARED}
    about |= {"data": config.data.as_dict(), "restorer": fingerprint(restorer)}
    about |= {"scorer": config.scorer.as_dict(), "scorer_weights": fingerprint(built.scorer)}
    shards = TensorShards(folder, about)
    runs.begin(folder, recipes_of(argv))
    with track("ranking", options["count"], "clips") as bar:
        own = {"seed": built.data.seed, "progress": bar.advance}
        made, ties = cache_preferences(shards, clips, restorer, built.scorer, **options, **own)
    finish(folder, shards, options, f"{made} pairs ranked now, {ties} clips without one, of {options['count']}")
