"""Restorers side by side, on the same clips, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Restorer
from adc.metrics.clips import clip_figures, steadiness
from adc.metrics.efficiency import count, meta_copy
from adc.metrics.fidelity import psnr_y, ssim_y
from adc.ops.clip import quantize

EQUAL = 100.0
"""Decibels of results that are equal."""


@dataclass
class Figures:
    """Figures of one restorer, those of motion over the clips of more than one frame; None where there are none.

    Attributes:
        agreement: PSNR-Y in dB against what the teacher restored, at most 100; None without a teacher, and of the
            teacher.
        agreement_ssim: The same as SSIM-Y.
        parameters: Parameters that one forward reads.
        macs: Multiply-accumulates of one forward of the cost example.
        seconds_per_image: Median over rounds of the mean time of a clip.
        images: The figures of each clip.
    """

    psnr_y: float = 0.0
    ssim_y: float = 0.0
    agreement: float | None = None
    agreement_ssim: float | None = None
    flicker: float | None = None
    ewarp: float | None = None
    sharpness: float | None = None
    niqe: float | None = None
    parameters: int = 0
    macs: int = 0
    seconds_per_image: float = 0.0
    images: list[dict[str, Any]] = field(default_factory=list)


def compare(
    restorers: Mapping[str, Restorer],
    clips: Iterable[dict[str, Any]],
    niqe: Callable[[Tensor], Tensor] | None = None,
    rounds: int = 3,
    example: tuple[int, int] = (128, 128),
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Figures]:
    """Measure restorers; every round times all of them in turn, so that drift of the machine is shared.

    Args:
        restorers: By name; they are put in evaluation mode. Others are compared with the one called ``teacher``.
        clips: Batches of one clip with ``lr``, ``hr`` and ``name``.
        niqe: Rates clips without a reference.
        rounds: How often each clip is restored.
        example: Height and width of the LR image for which MACs are counted.
        progress: Called with the name of a clip after all have restored it.
    """
    table = {name: Figures() for name in restorers}
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in range(rounds)] for name in restorers}
    for restorer in restorers.values():
        restorer.eval()
    with torch.inference_mode():
        for batch in clips:
            results: dict[str, Tensor] = {}
            for turn in range(rounds):
                for name, restorer in restorers.items():
                    start = time.perf_counter()
                    restored = restorer.restore(batch["lr"])
                    seconds[name][turn].append(time.perf_counter() - start)
                    if turn == 0:
                        image = results[name] = quantize(restored)
                        figures = {key: value.item() for key, value in clip_figures(image, batch["hr"]).items()}
                        rating = {} if niqe is None else {"niqe": niqe(image).item()}
                        table[name].images.append({"name": batch["name"][0], **figures, **rating})
                progress(batch["name"][0])
            for name in results.keys() - {"teacher"} if "teacher" in results else ():
                agreement = psnr_y(results[name], results["teacher"]).mean().item()
                table[name].images[-1]["agreement"] = min(agreement, EQUAL)
                similarity = ssim_y(results[name], results["teacher"]).mean().item()
                table[name].images[-1]["agreement_ssim"] = similarity
    for name, restorer in restorers.items():
        images = table[name].images
        for key in ("psnr_y", "ssim_y", "agreement", "agreement_ssim", "flicker", "ewarp", "sharpness", "niqe"):
            if values := [image[key] for image in images if key in image]:
                setattr(table[name], key, statistics.fmean(values))
        table[name].seconds_per_image = statistics.median(statistics.fmean(turn) for turn in seconds[name])
        (copied,) = meta_copy(restorer)
        cost = count(copied, torch.zeros(1, 1, 3, *example, device="meta"))
        table[name].parameters, table[name].macs = cost.parameters, cost.macs
    return table


def steadiness_of_truth(clips: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The mean ``ewarp`` and ``sharpness`` of the HR clips of more than one frame; empty if there are none."""
    moving = [steadiness(batch["hr"], batch["hr"]) for batch in clips if batch["hr"].shape[1] > 1]
    return {name: statistics.fmean(one[name].item() for one in moving) for name in (moving[0] if moving else ())}
