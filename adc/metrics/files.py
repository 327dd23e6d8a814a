"""Weights that metrics want, and where they lie. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        names: What the file is called; any of them does, and the library knows it by the first.
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
        hub = Path(torch.hub.get_dir())
        places = [hub / self.cache]
        if folder is not None:
            places = [Path(folder), Path(folder, self.cache), Path(folder, "hub", self.cache), *places]
        found = [place / name for place in places for name in self.names if (place / name).is_file()]
        if not found and self.bundled:
            package, _, inside = self.bundled.partition("/")
            spec = importlib.util.find_spec(package)
            found = [Path(place, inside) for place in (spec.submodule_search_locations or ()) if spec] if spec else []
            found = [path for path in found if path.is_file()]
        return found[0] if found else None


class MissingWeightsError(FileNotFoundError):
    """A file of weights is not on this machine; the message names it."""


def found(wanted: Sequence[WeightFile], folder: str | Path | None) -> dict[WeightFile, Path]:
    """Where each file lies.

    Raises:
        MissingWeightsError: If one is not there.
    """
    places = {file: file.find(folder) for file in wanted}
    if missing := [" or ".join(file.names) for file, path in places.items() if path is None]:
        where = "the libraries' caches" if folder is None else f"{folder} or the libraries' caches"
        raise MissingWeightsError(f"{' and '.join(missing)}: not in {where}; nothing is downloaded")
    return {file: path for file, path in places.items() if path is not None}
