"""Metrics of pyiqa, with the options of the published tables, built from files that are there."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adc.interfaces import SetMetric, WeightFile
from adc.metrics.fidelity import FrameMetric
from adc.ops.clip import to_unit
from adc.ops.precision import computing_in
from adc.ops.statistics import frechet_distance
from adc.vgg16 import DISTS, TORCHVISIONS, VGG16, as_torchvisions, load_vgg16, origin

INCEPTION_SIDE = 299
ALEXNET = WeightFile(("alexnet-owt-7be5be79.pth",), "checkpoints")
LPIPS = WeightFile(("LPIPS_v0.1_alex-df73285e.pth",), bundled="lpips/weights/v0.1/alex.pth")
LPIPS_VGG = WeightFile(("LPIPS_v0.1_vgg-a78928a0.pth",), bundled="lpips/weights/v0.1/vgg.pth")
INCEPTION = WeightFile(("pt_inception-2015-12-05-6726825d.pth",))
MUSIQ = WeightFile(("musiq_koniq_ckpt-e95806b9.pth",))
MANIQA = WeightFile(("MANIQA_PIPAL-ae6d356b.pth",))
CLIP = WeightFile(("RN50.pt",), "clip")


class MissingWeightsError(FileNotFoundError):
    """A missing file of weights; the message names it."""


class _Library(FrameMetric):
    """A metric of pyiqa, called `library_name` there; in float32 whatever the autocast says."""

    library_name: ClassVar[str]
    packages = ("pyiqa",)
    network: Any

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build pyiqa's network from the files.

        Raises:
            MissingWeightsError: If it needs another file; the message names it.
            ValueError: If a file does not hold its weights.
        """

        def build() -> Any:
            import pyiqa

            return pyiqa.create_metric(self.library_name, device=torch.device(device), **self.arguments(files))

        self.network = _quietly(self.library_name, files, build)

    def arguments(self, files: Mapping[WeightFile, Path]) -> dict[str, Any]:
        """Further arguments of ``pyiqa.create_metric``."""
        return {}

    def _rate(self, *frames: Tensor) -> Tensor:
        pairs = zip(*(batch.float().split(1) for batch in frames), strict=True)
        with computing_in("float32", frames[0].device):
            return torch.stack([self.network(*pair).reshape(()) for pair in pairs])


class Lpips(_Library):
    """Learned perceptual image patch similarity (Zhang et al., 2018)."""

    name, title, library_name = "lpips", "LPIPS", "lpips"
    options = "pyiqa lpips: AlexNet, v0.1"
    weights = (ALEXNET, LPIPS)


class _OnVgg16(_Library):
    """A metric on VGG16, torchvision's or one of another training; results say which."""

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build pyiqa's network on the VGG16 of a file."""
        backbone = files[VGG16]
        others = {file: path for file, path in files.items() if file is not VGG16}
        with as_torchvisions(load_vgg16(backbone, self.name)):
            super().load(others, device)
        trained = origin(backbone)
        self.options = f"pyiqa {self.library_name}: {trained}"
        if trained != TORCHVISIONS:
            self.title = f"{type(self).title}, other VGG16"


class LpipsVgg(_OnVgg16):
    """Learned perceptual image patch similarity (Zhang et al., 2018) on VGG16."""

    name, title, library_name = "lpips_vgg", "LPIPS (VGG)", "lpips-vgg"
    options = "pyiqa lpips-vgg: VGG16, v0.1"
    weights = (VGG16, LPIPS_VGG)


class Dists(_OnVgg16):
    """Deep image structure and texture similarity (Ding et al., 2020)."""

    name, title, library_name = "dists", "DISTS", "dists"
    options = "pyiqa dists: VGG16"
    weights = (VGG16, DISTS)


class Musiq(_Library):
    """Multi-scale image quality transformer (Ke et al., 2021)."""

    name, title, library_name = "musiq", "MUSIQ", "musiq"
    options = "pyiqa musiq: KonIQ-10k"
    higher_is_better, needs_reference, decimals = True, False, 2
    weights = (MUSIQ,)


class Maniqa(_Library):
    """Multi-dimension attention network for image quality (Yang et al., 2022)."""

    name, title, library_name = "maniqa-pipal", "MANIQA", "maniqa-pipal"
    options = "pyiqa maniqa-pipal: 20 crops of 224"
    higher_is_better, needs_reference = True, False
    weights = (MANIQA,)


class ClipIqa(_Library):
    """Quality by CLIP and a pair of opposite prompts (Wang et al., 2023)."""

    name, title, library_name = "clipiqa", "CLIPIQA", "clipiqa"
    options = "pyiqa clipiqa: RN50, no positional embedding"
    higher_is_better, needs_reference = True, False
    weights = (CLIP,)
    packages = ("pyiqa", "clip")

    def arguments(self, files: Mapping[WeightFile, Path]) -> dict[str, Any]:
        """The file of the backbone."""
        return {"backbone": str(files[CLIP])}


class Fid(SetMetric):
    """Frechet distance of Inception features (Heusel et al., 2017), resized as clean-fid does."""

    name, title, decimals = "fid", "FID", 2
    options = "Inception 2048, clean resize, restored against reference"
    weights = (INCEPTION,)
    packages = ("pyiqa",)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build pyiqa's Inception network from a file that is there."""

        def build() -> Any:
            from pyiqa.archs.inception import InceptionV3

            return InceptionV3(output_blocks=[InceptionV3.BLOCK_INDEX_BY_DIM[2048]])

        self.network = _quietly("fid", files, build).eval().requires_grad_(False).to(device)
        self.device = device

    def features(self, clip: Tensor) -> Tensor:
        """Inception features of ``(B, T, 3, H, W)`` clips: ``(B * T, 2048)``."""
        resized = torch.stack([clean_resize(frame) for frame in to_unit(clip).flatten(0, 1)])
        with torch.no_grad():
            return self.network((resized.to(self.device) - 128) / 128, False, False)[0].flatten(1).cpu()

    def distance(self, restored: Tensor, reference: Tensor) -> float:
        """Frechet distance of two sets of at least two."""
        return frechet_distance(restored, reference)


def clean_resize(frame: Tensor, side: int = INCEPTION_SIDE) -> Tensor:
    """Resize an image ``(3, H, W)`` in ``[0, 1]`` to ``(3, side, side)`` in ``[0, 255]``, bicubic with antialiasing.

    Each channel by Pillow in floating point, not rounded (Parmar et al., 2022).
    """
    channels = (frame.cpu() * 255).round().numpy().astype("float32")
    resized = [np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in channels]
    return torch.from_numpy(np.stack(resized).clip(0, 255))


def _quietly(name: str, files: Mapping[WeightFile, Path], build: Callable[[], Any]) -> Any:
    try:
        with only_these(files), contextlib.redirect_stdout(io.StringIO()):
            return build()
    except MissingWeightsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(f"{name}: {', '.join(map(str, files.values()))}: cannot be used ({reason}).") from error


@contextlib.contextmanager
def only_these(files: Mapping[WeightFile, Path]) -> Iterator[None]:
    """Context in which the caches of libraries hold these files and nothing else, and nothing is downloaded."""
    from unittest.mock import patch

    import pyiqa.utils.download_util as downloads
    import timm

    create = timm.create_model

    def refuse(url: str, *_: Any, **__: Any) -> None:
        raise MissingWeightsError(f"{url.rpartition('/')[2]}: not there; nothing is downloaded")

    def untrained(*arguments: Any, **options: Any) -> Any:
        """The file of the metric holds the weights of the backbone too."""
        return create(*arguments, **{**options, "pretrained": False})

    with tempfile.TemporaryDirectory() as hub, contextlib.ExitStack() as stack:
        for file, path in files.items():
            place = Path(hub, file.cache, file.names[0])
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(path.resolve())
        stack.enter_context(patch.multiple(torch.hub, _hub_dir=hub, download_url_to_file=refuse))
        cache = str(Path(hub, "pyiqa"))
        stack.enter_context(patch.multiple(downloads, DEFAULT_CACHE_DIR=cache, download_url_to_file=refuse))
        stack.enter_context(patch.object(timm, "create_model", untrained))
        stack.enter_context(patch.object(logging.getLogger("pyiqa"), "disabled", True))
        yield
