"""Figures of samplers: what a mean square error cannot show of restorers that draw one of many results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import DiffusionRestorer, Restorer, Scorer
from adc.metrics.temporal import sharpness
from adc.ops.random import generator_of
from adc.ops.sampling import draw_noise
from adc.ops.statistics import frechet_distance

SEED = 1


def latent_figures(
    restorers: Mapping[str, Restorer],
    clips: Iterable[dict[str, Any]],
    reference: str,
    scorer: Scorer | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, float]]:
    """Figures of diffusion restorers and of others beside them; each clip has noise of its own, the same for all.

    - ``frechet``: Frechet distance of latent positions to the truth's, each channel in deviations of the truth's
      (Heusel et al., 2017, on latents); those of a restorer without latents are encoded from its pixels;
    - ``sharpness_ratio``: mean variance of the Laplacian over that of the truth through the autoencoder, as sharp as
      latents can be; 1 is right, more is not better;
    - ``end_distance``: mean square distance of the latents to the reference's from the same noise;
    - ``lr_error``: mean square of the difference between the result, averaged over blocks, and LR;
    - ``spread``: half the mean square distance of the latents of two draws;
    - ``score``: the scorer's mean.

    Args:
        restorers: By name, in evaluation mode.
        clips: Batches of one clip with ``lr``, ``hr`` and ``name``, of sides that need no padding.
        reference: The `DiffusionRestorer` whose sampler the others imitate; its conditioner and autoencoder serve all.
        scorer: Rates the results.
        progress: Called with the name of a clip after all have restored it.

    Returns:
        For each restorer, and for ``truth``, its figures by name.

    Raises:
        ValueError: If the reference is no diffusion restorer among them.
    """
    if not isinstance(base := restorers.get(reference), DiffusionRestorer):
        raise ValueError(f"reference: {reference!r} is no diffusion restorer among {', '.join(restorers)}.")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*restorers, "truth")}
    tokens: dict[str, list[Tensor]] = {name: [] for name in rows}
    with torch.inference_mode():
        for number, batch in enumerate(clips):
            lr, hr = batch["lr"], batch["hr"]
            truth = base.conditioner.clean({"lr": lr, "hr": hr, "name": batch["name"]})
            noises = [draw_noise(truth, generator_of(SEED + draw, number)) for draw in range(2)]
            condition = base.conditioner.condition({"lr": lr, "hr": hr, "name": batch["name"]})
            end = base.sample(condition, noises[0])
            decoded = base.conditioner.autoencoder.decode(truth).clamp(-1, 1)
            for name, restorer in {**restorers, "truth": None}.items():
                row: dict[str, float] = {}
                if restorer is None:
                    latents, pixels = truth, decoded
                elif isinstance(restorer, DiffusionRestorer):
                    latents = end if restorer is base else restorer.sample(condition, noises[0])
                    row["end_distance"] = F.mse_loss(latents, end).item()
                    row["spread"] = F.mse_loss(latents, restorer.sample(condition, noises[1])).item() / 2
                    pixels = restorer.decode(latents, lr)
                else:
                    pixels = restorer.restore(lr)
                    latents = base.conditioner.autoencoder.encode(pixels)
                pixels = pixels.clamp(-1, 1)
                row["sharpness_ratio"] = sharpness(pixels).item()
                row["lr_error"] = _lr_error(pixels, lr)
                if scorer is not None:
                    row["score"] = scorer.rate(pixels, lr).item()
                rows[name].append(row)
                tokens[name].append(latents.float().movedim(2, -1).flatten(0, -2))
            progress(batch["name"][0])
    figures = {name: {key: statistics.fmean(one[key] for one in own) for key in own[0]} for name, own in rows.items()}
    sharp = figures["truth"]["sharpness_ratio"]
    for row in figures.values():
        row["sharpness_ratio"] /= sharp
    scale = torch.cat(tokens["truth"]).std(dim=0)
    for name in restorers:
        figures[name]["frechet"] = frechet_distance(*(torch.cat(tokens[one]) / scale for one in (name, "truth")))
    return figures


def _lr_error(pixels: Tensor, lr: Tensor) -> float:
    return F.mse_loss(
        F.adaptive_avg_pool2d(pixels.flatten(0, 1), (lr.shape[-2], lr.shape[-1])), lr.flatten(0, 1)
    ).item()
