"""The metrics of ``adc evaluate`` by name: what each computes, what it needs, and how it is built."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.metrics import fidelity, flow, temporal
from adc.metrics.files import MissingWeightsError, WeightFile, found
from adc.metrics.library import Fid, Library
from adc.metrics.quality import find_niqe

Measure = Callable[[Tensor, Tensor], Tensor]
"""From restored and reference clips ``(B, T, 3, H, W)`` in ``[-1, 1]`` to ``(B,)``."""


@dataclass(frozen=True)
class Needs:
    """What a metric is built from.

    Attributes:
        files: Its weights.
        border: Pixels that PSNR and SSIM leave out on each side.
        device: Where it computes.
    """

    files: dict[WeightFile, Path]
    border: int
    device: torch.device

    @property
    def file(self) -> Path:
        """The first of its files."""
        return next(iter(self.files.values()))


@dataclass(frozen=True)
class Metric:
    """A metric that can be asked for by name.

    Attributes:
        name: In results and on the command line.
        title: In tables.
        options: What exactly is computed; part of the results.
        build: Makes the `Measure`, or for a metric of sets a `Fid`.
        higher_is_better: Whether more is better.
        decimals: In tables.
        frames: Successive frames that it looks at.
        wanted: Files of weights.
        packages: Modules that must be installed.
        of_sets: Whether it compares sets as wholes, so that a picture has no figure of its own.
        of_files: Whether it reads a restored video file itself.
    """

    name: str
    title: str
    options: str
    build: Callable[[Needs], Any]
    higher_is_better: bool = False
    decimals: int = 4
    frames: int = 1
    wanted: tuple[WeightFile, ...] = ()
    packages: tuple[str, ...] = ()
    of_sets: bool = False
    of_files: bool = False


def _cropped(function: Measure) -> Callable[[Needs], Measure]:
    return lambda needs: lambda a, b: function(*(fidelity.without_border(clip, needs.border) for clip in (a, b)))


def _library(name: str) -> Callable[[Needs], Library]:
    return lambda needs: Library(name, needs.files, needs.device)


def _niqe(needs: Needs) -> Measure:
    metric, reason = find_niqe(str(needs.file))
    if metric is None:
        raise MissingWeightsError(reason)
    return lambda restored, _: metric(restored)


def _warping(estimator: Callable[[Needs], flow.Flow]) -> Callable[[Needs], Measure]:
    def build(needs: Needs) -> Measure:
        error = temporal.WarpingError(estimator(needs))
        return lambda restored, _: error(restored)

    return build


def _sharpness_ratio(restored: Tensor, reference: Tensor) -> Tensor:
    ours, theirs = temporal.sharpness(restored), temporal.sharpness(reference)
    if not (theirs > 0).all():
        raise ValueError("the reference is flat, so that nothing is as sharp as it; leave out sharpness_ratio.")
    return ours / theirs


ALEXNET = WeightFile(("alexnet-owt-7be5be79.pth",), "checkpoints")
LPIPS = WeightFile(("LPIPS_v0.1_alex-df73285e.pth",), bundled="lpips/weights/v0.1/alex.pth")
VGG = WeightFile(("vgg16-397923af.pth",), "checkpoints")
DISTS = WeightFile(("DISTS_weights-f5e65c96.pth",))
NIQE = WeightFile(("niqe_modelparameters.mat", "niqe_pris_params.npz"))
INCEPTION = WeightFile(("pt_inception-2015-12-05-6726825d.pth",))
MUSIQ = WeightFile(("musiq_koniq_ckpt-e95806b9.pth",))
MANIQA = WeightFile(("MANIQA_PIPAL-ae6d356b.pth",))
CLIP = WeightFile(("RN50.pt",), "clip")
RAFT = WeightFile(("raft_large_C_T_V1-22a6c225.pth",), "checkpoints")
SPYNET = WeightFile(("spynet_sintel_final.pth", "spynet_sintel_final-3d2a1287.pth"), "checkpoints")
HALVED = "EvalCrafter's definition (half size, occlusions left out, sum over RGB), x 1000; blur lowers it"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr_y", "PSNR-Y dB", "Y of BT.601 in [16, 235], not rounded", _cropped(fidelity.psnr_y), True, decimals=3
        ),
        Metric("ssim_y", "SSIM-Y", "Y of BT.601 in [16, 235], rounded to bytes", _cropped(fidelity.ssim_y), True),
        Metric(
            "ssim_y_unrounded",
            "SSIM-Y (unrounded)",
            "Y of BT.601 in [16, 235], not rounded: BasicSR's",
            _cropped(fidelity.ssim_y_unrounded),
            True,
        ),
        Metric("psnr_rgb", "PSNR-RGB dB", "RGB", _cropped(fidelity.psnr_rgb), True, decimals=3),
        Metric("ssim_rgb", "SSIM-RGB", "mean over R, G and B", _cropped(fidelity.ssim_rgb), True),
        Metric(
            "ssim_yiq",
            "SSIM-YIQ",
            "Y of YIQ in [0, 255], rounded to bytes: pyiqa's default",
            _cropped(fidelity.ssim_yiq),
            True,
        ),
        Metric(
            "lpips",
            "LPIPS",
            "pyiqa lpips: AlexNet, v0.1",
            _library("lpips"),
            wanted=(ALEXNET, LPIPS),
            packages=("pyiqa",),
        ),
        Metric("dists", "DISTS", "pyiqa dists: VGG16", _library("dists"), wanted=(VGG, DISTS), packages=("pyiqa",)),
        Metric(
            "fid",
            "FID",
            "Inception 2048, clean resize, restored against reference",
            lambda needs: Fid(needs.files, needs.device),
            decimals=2,
            wanted=(INCEPTION,),
            packages=("pyiqa",),
            of_sets=True,
        ),
        Metric("niqe", "NIQE", "pyiqa niqe: Y of YIQ, no border cut", _niqe, wanted=(NIQE,), packages=("pyiqa",)),
        Metric("musiq", "MUSIQ", "pyiqa musiq: KonIQ-10k", _library("musiq"), True, 2, 1, (MUSIQ,), ("pyiqa",)),
        Metric(
            "maniqa-pipal",
            "MANIQA",
            "pyiqa maniqa-pipal: 20 crops of 224",
            _library("maniqa-pipal"),
            True,
            wanted=(MANIQA,),
            packages=("pyiqa",),
        ),
        Metric(
            "clipiqa",
            "CLIPIQA",
            "pyiqa clipiqa: RN50, no positional embedding",
            _library("clipiqa"),
            True,
            wanted=(CLIP,),
            packages=("pyiqa", "clip"),
        ),
        Metric(
            "tlpips",
            "tLPIPS",
            "|LPIPS of restored neighbours - LPIPS of reference neighbours|",
            lambda needs: temporal.TemporalDistance(_library("lpips")(needs)),
            frames=2,
            wanted=(ALEXNET, LPIPS),
            packages=("pyiqa",),
        ),
        Metric(
            "ewarp_raft",
            "E*warp (RAFT)",
            f"{HALVED}; torchvision raft_large C_T_V1, 20 updates",
            _warping(lambda needs: flow.raft(needs.file, needs.device)),
            decimals=3,
            frames=2,
            wanted=(RAFT,),
            packages=("torchvision",),
        ),
        Metric(
            "ewarp_spynet",
            "E*warp (SPyNet)",
            f"{HALVED}; SPyNet sintel-final",
            _warping(lambda needs: flow.spynet(needs.file, needs.device)),
            decimals=3,
            frames=2,
            wanted=(SPYNET,),
        ),
        Metric(
            "ewarp_dis",
            "E*warp (DIS)",
            f"{HALVED}; OpenCV DIS, preset medium",
            _warping(lambda _: flow.dis()),
            decimals=3,
            frames=2,
            packages=("cv2",),
        ),
        Metric(
            "flicker",
            "flicker",
            "mean |step of restored - step of reference| between frames, RGB in bytes",
            lambda _: temporal.flicker,
            decimals=3,
            frames=2,
        ),
        Metric(
            "unsteadiness",
            "unsteadiness",
            "mean |frame before - 2 frame + frame after| / 4, RGB in bytes; motion counts too, blur lowers it",
            lambda _: lambda restored, __: temporal.unsteadiness(restored),
            decimals=3,
            frames=3,
        ),
        Metric(
            "sharpness",
            "sharpness",
            "variance of the Laplacian of luminance in bytes",
            lambda _: lambda restored, __: temporal.sharpness(restored),
            True,
            decimals=1,
        ),
        Metric(
            "sharpness_ratio",
            "sharp/ref",
            "sharpness over that of the reference; below 1 is blurred",
            lambda _: _sharpness_ratio,
            True,
            decimals=3,
        ),
    )
}

IMAGE = ("psnr_y", "ssim_y", "lpips", "dists", "fid", "niqe", "musiq", "maniqa-pipal", "clipiqa")
"""The columns of the papers' tables of images."""
VIDEO = ("psnr_y", "ssim_y", "lpips", "dists", "niqe", "musiq", "clipiqa", "tlpips", "flicker", "ewarp", "dover")
"""The columns of the papers' tables of videos, and flicker."""
WARPING = ("ewarp_raft", "ewarp_spynet", "ewarp_dis")
BESIDE_WARPING = ("sharpness", "sharpness_ratio")


def expand(names: Iterable[str]) -> list[str]:
    """Names of metrics, once each, with the figures of sharpness wherever a warping error is asked for.

    Args:
        names: Names; ``ewarp`` stands for the first estimator whose weights are there, see `build`.

    Raises:
        ValueError: If there is no such metric.
    """
    chosen: dict[str, None] = {}
    known = [*METRICS, "ewarp", "dover"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise ValueError(f"no metric {name!r}; {hint}")
        chosen[name] = None
        if name.startswith("ewarp"):
            chosen.update(dict.fromkeys(BESIDE_WARPING))
    return list(chosen)


def build(
    names: Iterable[str], folder: str | Path | None = None, border: int = 0, device: torch.device | str = "cpu"
) -> tuple[dict[str, tuple[Metric, Any]], dict[str, str]]:
    """The metrics that can be measured here, and why the others cannot.

    Args:
        names: As `expand` gives them.
        folder: Where weights lie; the libraries' caches are looked into after it.
        border: Pixels that PSNR and SSIM leave out on each side.
        device: Where to compute.

    Returns:
        By name a metric and what it builds; by name the reason why one is skipped.
    """
    built: dict[str, tuple[Metric, Any]] = {}
    skipped: dict[str, str] = {}
    for name in names:
        if name == "ewarp":
            _first_of(WARPING, built, skipped, (folder, border, device))
        elif name not in built:
            _try(name, built, skipped, (folder, border, device))
    return built, skipped


def _first_of(names: Iterable[str], built: dict, skipped: dict[str, str], place: tuple) -> None:
    for name in names:
        if name in built or _try(name, built, skipped, place):
            return


def _try(name: str, built: dict, skipped: dict[str, str], place: tuple) -> bool:
    from adc.metrics import dover

    folder, border, device = place
    metric = dover.METRIC if name == "dover" else METRICS[name]
    if absent := [package for package in metric.packages if importlib.util.find_spec(package) is None]:
        skipped[name] = f"{' and '.join(absent)} is not installed"
        return False
    try:
        needs = Needs(found(metric.wanted, folder), border, torch.device(device))
        built[name] = (metric, metric.build(needs))
    except MissingWeightsError as error:
        skipped[name] = str(error)
        return False
    return True
