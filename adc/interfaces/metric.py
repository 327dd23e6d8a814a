"""Figures of restored clips."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        names: What the file is called, ``*`` for anything; any of them does, and the library knows it by the first.
        cache: Where its library keeps it, inside ``torch.hub.get_dir()``.
        bundled: Where a package brings the same file, for one ``lpips/weights/v0.1/alex.pth``; empty if none does.
    """

    names: tuple[str, ...]
    cache: str = "pyiqa"
    bundled: str = ""

    def find(self, folder: str | Path | None) -> Path | None:
        """The file, or None.

        Args:
            folder: Looked into first: itself, and its folders of the names that the libraries use.
        """
        places = [Path(torch.hub.get_dir(), self.cache)]
        if folder is not None:
            places = [Path(folder), Path(folder, self.cache), Path(folder, "hub", self.cache), *places]
        found = [path for place in places for name in self.names for path in sorted(place.glob(name))]
        if self.bundled:
            package, _, inside = self.bundled.partition("/")
            spec = importlib.util.find_spec(package)
            found += [Path(place, inside) for place in (spec and spec.submodule_search_locations) or ()]
        return next((path for path in found if path.is_file()), None)


class Metric(ABC):
    """A figure of restored clips, as a rule against their references.

    It is made without arguments; `load` is called once, before the first clip. To subclass and be imported is to be
    found by ``adc evaluate --metrics NAME``.

    Attributes:
        name: On the command line and in results; the name of the class if a class gives none.
        title: In tables, with its unit; the name if a class gives none. What `load` finds may be part of it.
        options: What exactly is computed; part of the results.
        higher_is_better: Whether more is better.
        decimals: In tables.
        needs_reference: Whether the value depends on the reference.
        frames: Successive frames that it looks at: 1 for a metric of images, more for one of clips.
        weights: Files of weights.
        packages: Modules that must be installed.
        companions: Names of metrics that are measured beside it.
        border: Pixels on each side that a metric of fidelity leaves out.
    """

    name: ClassVar[str]
    title: str
    options: str = ""
    higher_is_better: ClassVar[bool] = False
    decimals: ClassVar[int] = 4
    needs_reference: ClassVar[bool] = True
    frames: ClassVar[int] = 1
    weights: ClassVar[tuple[WeightFile, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    companions: ClassVar[tuple[str, ...]] = ()
    border: int = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = vars(cls).get("name", cls.__name__)
        cls.title = vars(cls).get("title", cls.name)

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:  # noqa: B027
        """Read the weights; nothing by default.

        Args:
            files: Where each of `weights` lies.
            device: Where to compute.

        Raises:
            ValueError: If a file does not hold what it should; the message names it.
        """

    @abstractmethod
    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Rate clips; of more frames than it looks at, the mean.

        Args:
            restored: ``(B, T, 3, H, W)`` in ``[-1, 1]``.
            reference: The same shape.

        Returns:
            ``(B,)``; NaN where the metric has no value (for one because a reference is flat), which is left out of
            means and noted.

        Raises:
            ValueError: If the clips cannot be rated.
        """


class SetMetric(Metric):
    """A distance of two sets of images as wholes, for one FID: an image has no value of its own.

    `add` clips, then `compute`. Called as a metric of clips, the frames of each clip are the two sets.
    """

    def __init__(self) -> None:
        self._sets: tuple[list[Tensor], list[Tensor]] = ([], [])

    @abstractmethod
    def features(self, clip: Tensor) -> Tensor:
        """What is compared of each frame of ``(B, T, 3, H, W)`` in ``[-1, 1]``: ``(B * T, D)``, on the CPU."""

    @abstractmethod
    def distance(self, restored: Tensor, reference: Tensor) -> float:
        """The distance of two sets of features ``(N, D)`` and ``(M, D)``.

        Raises:
            ValueError: If a set is too small.
        """

    def add(self, restored: Tensor, reference: Tensor) -> None:
        """Add ``(B, T, 3, H, W)`` clips in ``[-1, 1]`` to the sets."""
        for kept, found in zip(self._sets, [self.features(clip) for clip in (restored, reference)], strict=True):
            kept.append(found)

    @property
    def count(self) -> int:
        """How many times clips were added."""
        return len(self._sets[0])

    def truncate(self, count: int) -> None:
        """Forget what was added after the first so many times."""
        self._sets = (self._sets[0][:count], self._sets[1][:count])

    def compute(self) -> float:
        """The distance of the sets.

        Raises:
            ValueError: If they are too small.
        """
        return self.distance(*(torch.cat(kept) if kept else torch.zeros(0, 1) for kept in self._sets))

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """The distance of the frames of each pair of clips: ``(B,)``."""
        pairs = ((restored[i : i + 1], reference[i : i + 1]) for i in range(len(restored)))
        return torch.tensor([self.distance(*map(self.features, pair)) for pair in pairs])


class FileMetric(Metric):
    """A metric that reads restored video files itself."""

    needs_reference = False

    @abstractmethod
    def rate_file(self, video: Path) -> float:
        """Rate a video file.

        Raises:
            ValueError: If it cannot be rated.
        """

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Refuse clips.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self.name} rates video files; call rate_file.")
