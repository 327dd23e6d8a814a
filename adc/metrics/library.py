"""Metrics of pyiqa, with the options of the published tables, built from files that are there."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.metrics.files import MissingWeightsError, WeightFile
from adc.ops.clip import to_unit
from adc.ops.statistics import frechet_distance

INCEPTION_SIDE = 299


class Library:
    """A metric of pyiqa; of a clip the mean over frames."""

    def __init__(self, name: str, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """
        Args:
            name: What pyiqa calls it.
            files: The weights that it loads.
            device: Where it computes.

        Raises:
            MissingWeightsError: If it asks for another file; the message names it.
            ValueError: If a file does not hold what it should.
        """
        self.against_reference = False

        def build() -> Any:
            import pyiqa

            options: dict[str, Any] = {"backbone": str(next(iter(files.values())))} if name == "clipiqa" else {}
            return pyiqa.create_metric(name, device=torch.device(device), **options)

        self.network = _quietly(name, files, build)
        self.against_reference = self.network.metric_mode == "FR"

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``."""
        shown = [to_unit(clip).flatten(0, 1) for clip in (restored, reference)]
        frames = zip(*(batch.split(1) for batch in shown), strict=True)
        rates = [self.network(*(pair if self.against_reference else pair[:1])).reshape(()) for pair in frames]
        return torch.stack(rates).unflatten(0, restored.shape[:2]).mean(dim=1)


class Fid:
    """Frechet distance of Inception features (Heusel et al., 2017), resized as clean-fid does; lower is better.

    Two sets are compared as wholes: feed it pictures, then ask for the `value`.
    """

    def __init__(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """
        Args:
            files: The weights of the network.
            device: Where it computes.
        """

        def build() -> Any:
            from pyiqa.archs.inception import InceptionV3

            return InceptionV3(output_blocks=[InceptionV3.BLOCK_INDEX_BY_DIM[2048]])

        self.network = _quietly("fid", files, build).eval().requires_grad_(False).to(device)
        self.device = device
        self.features: tuple[list[Tensor], list[Tensor]] = ([], [])

    def add(self, restored: Tensor, reference: Tensor) -> None:
        """See ``(B, T, 3, H, W)`` clips in ``[-1, 1]``, every frame as a picture."""
        ours, theirs = self._features(restored), self._features(reference)
        self.features[0].append(ours)
        self.features[1].append(theirs)

    @property
    def seen(self) -> int:
        """How many clips were seen."""
        return len(self.features[0])

    def rewind(self, seen: int) -> None:
        """Forget all clips but so many."""
        self.features = (self.features[0][:seen], self.features[1][:seen])

    def value(self) -> float:
        """The distance of what was seen.

        Raises:
            ValueError: If fewer than two pictures were.
        """
        ours, theirs = (torch.cat(kept) if kept else torch.zeros(0, 1) for kept in self.features)
        return frechet_distance(ours, theirs)

    def _features(self, clip: Tensor) -> Tensor:
        resized = torch.stack([clean_resize(frame) for frame in to_unit(clip).flatten(0, 1)])
        with torch.no_grad():
            return self.network((resized.to(self.device) - 128) / 128, False, False)[0].flatten(1).cpu()


def clean_resize(frame: Tensor, side: int = INCEPTION_SIDE) -> Tensor:
    """A picture ``(3, H, W)`` in ``[0, 1]`` to ``(3, side, side)`` in ``[0, 255]``, bicubic with antialiasing.

    Each channel by Pillow in floating point, not rounded (Parmar et al., 2022).
    """
    import numpy
    from PIL import Image

    channels = (frame.cpu() * 255).round().numpy().astype("float32")
    resized = [numpy.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in channels]
    return torch.from_numpy(numpy.stack(resized).clip(0, 255))


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
    """While libraries load weights: their caches hold these files and nothing else, and nothing is downloaded."""
    import pyiqa.utils.download_util as downloads
    import timm

    create = timm.create_model

    def refuse(url: str, *_: Any, **__: Any) -> None:
        raise MissingWeightsError(f"{url.rpartition('/')[2]}: not there; nothing is downloaded")

    def untrained(*arguments: Any, **options: Any) -> Any:
        """The file of the metric holds the weights of the backbone too."""
        return create(*arguments, **{**options, "pretrained": False})

    logger = logging.getLogger("pyiqa")
    with tempfile.TemporaryDirectory() as hub, contextlib.ExitStack() as stack:
        for file, path in files.items():
            place = Path(hub, file.cache, file.names[0])
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(path.resolve())
        stack.enter_context(_replaced(torch.hub, "_hub_dir", hub))
        stack.enter_context(_replaced(torch.hub, "download_url_to_file", refuse))
        stack.enter_context(_replaced(downloads, "DEFAULT_CACHE_DIR", str(Path(hub, "pyiqa"))))
        stack.enter_context(_replaced(downloads, "download_url_to_file", refuse))
        stack.enter_context(_replaced(timm, "create_model", untrained))
        stack.enter_context(_replaced(logger, "disabled", True))
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
