"""Folders of tensors that were computed beforehand, clip by clip, in shards of safetensors files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from adc.files import checksum, replacing, save_tensors
from adc.media.retry import retried

INDEX, FACTS = "shards.json", "facts"
ANEW = "delete it and fill the folder again"


class TensorShards:
    """A folder of shards; each holds tensors of the same names for a number of clips, and facts of each clip.

    Attributes:
        folder: The folder.
        about: What made the tensors; a folder goes on only with the same.
    """

    def __init__(self, folder: str | Path, about: Mapping[str, Any]) -> None:
        """Begin a folder, or go on with one.

        Raises:
            ValueError: If the folder is of something else, or no folder, or its index cannot be read.
        """
        self.folder, self.about = Path(folder), dict(about)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder}: is no folder; name another one.")
        held = read_index(folder) if (self.folder / INDEX).exists() else None
        if held is None:
            with replacing(self.folder / INDEX) as scratch:
                scratch.write_text(json.dumps(self.about, indent=2) + "\n", encoding="utf-8")
            return
        made = json.loads(json.dumps(self.about))
        if differing := [key for key in sorted(made.keys() | held.keys()) if made.get(key) != held.get(key)]:
            key = differing[0]
            raise ValueError(
                f"{folder}: was made with {key} {held.get(key)!r}, not {made.get(key)!r}; name another one."
            )

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{number:06d}.safetensors"

    def facts(self, number: int) -> list[dict[str, Any]]:
        """What is known of the clips of a shard.

        Raises:
            ValueError: If it is damaged, or of another folder or place.
        """
        return _read_facts(self.path(number), self.about)["clips"]

    def write(self, number: int, clips: Sequence[Mapping[str, Tensor]], facts: Sequence[Mapping[str, Any]]) -> None:
        """Write a shard whole or not at all.

        Args:
            number: Its place among the shards.
            clips: For each clip its tensors, of the same names and shapes; there may be none.
            facts: For each clip what else is known of it, plain data with ``name``.
        """
        tensors = {
            key: torch.stack([clip[key].cpu() for clip in clips]).contiguous() for key in (clips[0] if clips else ())
        }
        path = self.path(number)
        sums = {key: [checksum(one) for one in stacked] for key, stacked in tensors.items()}
        held = {"origin": _origin(path, self.about), "clips": list(facts), "crc32": sums}
        save_tensors(tensors, path, {FACTS: json.dumps(held)})  # one entry: safetensors writes several in any order


def read_index(folder: str | Path) -> dict[str, Any]:
    """What made the tensors of a folder.

    Raises:
        FileNotFoundError: If the folder holds no shards.
        ValueError: If the index cannot be read.
    """
    path = Path(folder, INDEX)
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise ValueError("no mapping")
        return held
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; the folder holds no tensors that were cached.") from None
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read ({error}); delete the folder and fill it again.") from None


class CachedTensors:
    """The clips of a folder of shards, by number: a dictionary of tensors and ``name``."""

    def __init__(self, folder: str | Path) -> None:
        """
        Raises:
            FileNotFoundError: If the folder holds no shards.
            ValueError: If a shard cannot be read, or is of another folder.
        """
        about = read_index(folder)
        self._places: list[tuple[Path, int]] = []
        self._sums: dict[Path, dict[str, list[int]]] = {}
        self.facts: list[dict[str, Any]] = []
        for path in sorted(Path(folder).glob("[0-9]*.safetensors")):
            held = _read_facts(path, about)
            facts, self._sums[path] = held["clips"], held.get("crc32", {})
            self._places += [(path, place) for place in range(len(facts))]
            self.facts += facts
        if not self._places:
            raise FileNotFoundError(f"{folder}: holds no clip yet; run the command that fills it to its end.")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """The clip of a number, or of a pair (position, number); floats are in float32.

        Raises:
            ValueError: If its tensors are not those that were written; names the shard and the clip.
        """
        number = key[1] if isinstance(key, tuple) else key
        path, place = self._places[number]
        tensors = retried(lambda: _clip(path, place), path)
        for name, tensor in tensors.items():
            if name in self._sums[path] and checksum(tensor) != self._sums[path][name][place]:
                clip = self.facts[number]["name"]
                raise ValueError(f"{path}: {name!r} of {clip} is damaged (its checksum differs); {ANEW}.")
        return {**{name: tensor.float() for name, tensor in tensors.items()}, "name": self.facts[number]["name"]}


def _clip(path: Path, place: int) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name)[place] for name in file.keys()}  # noqa: SIM118 - no mapping


def _read_facts(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            held = json.loads(file.metadata()[FACTS])
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: is damaged ({error}); {ANEW}.") from None
    if isinstance(held, list):  # as it was written before shards said where they belong
        return {"clips": held}
    if held.get("origin") != _origin(path, about):
        raise ValueError(f"{path}: belongs to another folder or place; {ANEW}.")
    return held


def _origin(path: Path, about: Mapping[str, Any]) -> str:
    """A fingerprint of what made a folder and of a shard's place in it."""
    return hashlib.sha256(f"{path.name} {json.dumps(about, sort_keys=True)}".encode()).hexdigest()
