"""A teacher's answers on disk: shards of tensors, found by the content of the clips that they answer."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc import runs
from adc.files import checksum, save_tensors
from adc.ops.clip import to_unit

FORMAT, INDEX = 1, "cache.json"
MADE_ANEW = "`adc cache`, run again, makes it anew"
GRID_SLACK = 0.3
"""How far from an 8-bit value a pixel may be; a clip in bfloat16 stays within it."""
SAME_PROMPT = 0.02
"""Relative distance of two gists up to which they are of one prompt; precisions and devices differ by less."""


def keys_of(lr: Tensor) -> list[str]:
    """Names for the clips of a batch ``(B, T, 3, h, w)`` in ``[-1, 1]``: their sizes and 8-bit values, hashed."""
    levels = to_unit(lr.detach()).mul(255).round().to(torch.uint8).cpu().contiguous()
    size = str(tuple(levels.shape[1:])).encode()
    return [hashlib.blake2b(size + clip.numpy().tobytes(), digest_size=16).hexdigest() for clip in levels]


def on_grid(lr: Tensor) -> bool:
    """Whether every pixel is an 8-bit value, so that `keys_of` separates clips."""
    levels = to_unit(lr) * 255
    return bool((levels - levels.round()).abs().max() <= GRID_SLACK)


def prompt_fingerprint(prompt: Tensor) -> Tensor:
    """Eight numbers that identify prompts ``(B, L, D)``, about as large as their root mean square; ``(B, 8)``."""
    flat = prompt.detach().float().cpu().flatten(1)
    return flat @ _waves(flat.shape[1])


@lru_cache(4)
def _waves(length: int) -> Tensor:
    steps = torch.tensor([2, 3, 5, 7, 11, 13, 17, 19], dtype=torch.float64).sqrt()
    places = torch.arange(length, dtype=torch.float64)
    return (torch.outer(places, 2 * math.pi * steps).cos() / math.sqrt(length)).float()


def same_prompt(one: Tensor, other: Tensor) -> bool:
    """Whether two gists ``(8,)`` are of one prompt."""
    return bool((one - other).norm() <= SAME_PROMPT * (one.norm() + other.norm()))


def fingerprint(network: nn.Module) -> str:
    """A hash of a network's state: names, shapes, numbers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        numbers = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(numbers.shape)} {numbers.dtype}".encode())
        digest.update(numbers.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Shard:
    """A file of answers, and which batches of its process it answers.

    Attributes:
        name: The file's name.
        first: Number of its first batch.
        batches: How many there are.
    """

    name: str
    first: int
    batches: int


def shards_of(index: Mapping[str, Any], rank: int) -> list[Shard]:
    """The shards that a process writes."""
    world, total, span = index["world"], index["batches"], index["span"]
    return [
        Shard(f"{rank:03d}-of-{world:03d}-{number:06d}.safetensors", first, min(span, total - first))
        for number, first in enumerate(range(0, total, span))
    ]


def read_index(folder: str | Path) -> dict[str, Any] | None:
    """What ``cache.json`` of a folder says; None if there is none.

    Raises:
        ValueError: If it is damaged, or of another format.
    """
    path = Path(folder, INDEX)
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        known = held["format"] == FORMAT
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ValueError(f"{path}: cannot be read; delete the folder and run `adc cache` again.") from None
    if not known:
        raise ValueError(
            f"{path}: format {held['format']}; this adc reads {FORMAT}. Run `adc cache` into a new folder."
        )
    return held


def write_index(folder: str | Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a cache, or go on with one that was made alike; more batches than before are added to it.

    Args:
        folder: Where it is or will be.
        index: Says what makes the answers, and under ``world``, ``batches`` and ``span`` how they are shared out.

    Returns:
        The index that holds now.

    Raises:
        ValueError: If the folder's cache was made otherwise; names the first entry that differs.
    """
    wanted = json.loads(json.dumps({"format": FORMAT, **index}, default=str))
    held = read_index(folder)
    if held is not None:
        _check_alike(folder, held, wanted)
        if held["batches"] >= wanted["batches"]:
            return held
    runs.write_json(Path(folder, INDEX), wanted)
    return wanted


def _check_alike(folder: str | Path, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    old, new = dict(_leaves(held)), dict(_leaves(wanted))
    for key in [*new, *old]:
        if key != "batches" and old.get(key) != new.get(key):
            was, now = (_short(key, values) for values in (old, new))
            raise ValueError(
                f"{folder}: its answers were made with {key}: {was}; here {key} is {now}. Name another folder."
            )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _short(key: str, values: Mapping[str, Any]) -> str:
    if key not in values:
        return "not there"
    return str(values[key])[:12] if key == "weights" else json.dumps(values[key])


def seal(index: Mapping[str, Any]) -> str:
    """Digest that differs between the shards of two caches."""
    description = {key: value for key, value in index.items() if key != "batches"}
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


@dataclass
class ShardWriter:
    """Answers on their way into a shard.

    Attributes:
        tensors: By ``view/key``.
        views: What is to be known of a view besides its numbers: ``dtype`` and ``order``, the dimensions of a batch
            from the outside in as they lie in memory.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, keys: Sequence[str], answer: Mapping[str, Tensor], prompt: Tensor | None, numbers: str) -> None:
        """Take the answers to a batch.

        Args:
            keys: The clips.
            answer: By view, ``(B, ...)``.
            prompt: The fingerprints of the prompts, if there were any.
            numbers: ``exact``, or the precision to round to.
        """
        for view, batch in answer.items():
            outside_in = sorted(range(1, batch.ndim), key=lambda d: -batch.stride(d))
            self.views.setdefault(view, {"dtype": str(batch.dtype).rpartition(".")[2], "order": [0, *outside_in]})
        small = {view: batch.detach() for view, batch in answer.items()}
        if numbers != "exact":
            small = {view: batch.to(getattr(torch, numbers)) for view, batch in small.items()}
        for place, key in enumerate(keys):
            there = list(_entries(self.views, key, self.tensors))
            if there and (prompt is None or any(same_prompt(prompt[place], self.tensors[f"told/{e}"]) for e in there)):
                continue
            entry = f"{key}~{len(there)}" if there else key
            for view, batch in small.items():
                self.tensors[f"{view}/{entry}"] = batch[place].cpu().contiguous().clone()
            if prompt is not None:
                self.tensors[f"told/{entry}"] = prompt[place].clone()

    def write(self, folder: Path, shard: Shard, index: Mapping[str, Any]) -> None:
        """Write the shard, whole or not at all.

        Raises:
            OSError: If it cannot be written; names it.
        """
        from safetensors import SafetensorError

        path = folder / shard.name
        sums = {name: checksum(tensor) for name, tensor in self.tensors.items()}
        about = json.dumps({"seal": seal(index), "batches": shard.batches, "views": self.views, "crc32": sums})
        try:
            save_tensors(self.tensors, path, {"adc": about})
        except (OSError, SafetensorError) as error:
            raise OSError(f"{path}: cannot be written ({' '.join(str(error).split())}).") from None


def _entries(views: Iterable[str], key: str, names: Container[str]) -> Iterator[str]:
    """The answers to a clip, one for each prompt."""
    view = next(iter(views))
    numbered = (f"{key}~{again}" if again else key for again in count())
    return takewhile(lambda entry: f"{view}/{entry}" in names, numbered)


class UnfinishedError(ValueError):
    """A shard that ``adc cache`` has not written yet, or not to its end."""


class ShardReader:
    """A shard that is there and whole."""

    def __init__(self, folder: Path, shard: Shard, index: Mapping[str, Any]) -> None:
        """
        Args:
            folder: The cache.
            shard: The file.
            index: The cache's.

        Raises:
            UnfinishedError: If it is missing, or answers fewer batches than it will.
            ValueError: If it is truncated, or belongs to another cache.
        """
        from safetensors import SafetensorError, safe_open

        self.path = folder / shard.name
        if not self.path.is_file():
            raise UnfinishedError(f"{self.path}: no such shard yet; `adc cache`, run again, goes on where it stopped.")
        try:
            self._file: Any = safe_open(self.path, framework="pt")
            about = json.loads((self._file.metadata() or {}).get("adc", "{}"))
            self.names = set(self._file.keys())
            self.views: dict[str, dict[str, Any]] = about.get("views", {})
            self._sums: dict[str, int] = about.get("crc32", {})
        except (SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.path}: truncated or damaged ({reason}); {MADE_ANEW}.") from None
        if about.get("seal") != seal(index):
            raise ValueError(f"{self.path}: belongs to another cache than {INDEX} beside it; {MADE_ANEW}.")
        if about.get("batches") != shard.batches:
            raise UnfinishedError(f"{self.path}: ends too early; `adc cache`, run again, goes on where it stopped.")

    @property
    def keys(self) -> set[str]:
        """The clips that it answers."""
        return {name.partition("/")[2].partition("~")[0] for name in self.names}

    def entries(self, key: str) -> Iterator[str]:
        """The answers to a clip, one for each prompt."""
        return _entries(self.views, key, self.names)

    def prompt(self, entry: str) -> Tensor:
        """The fingerprint of an answer's prompt."""
        return self._tensor(f"told/{entry}")

    def read(self, view: str, entry: str) -> Tensor:
        """A tensor as it was stored.

        Raises:
            ValueError: If it is not what was written; names the file.
        """
        return self._tensor(f"{view}/{entry}")

    def _tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        if name in self._sums and checksum(tensor) != self._sums[name]:
            raise ValueError(f"{self.path}: {name} is damaged (its checksum differs); delete it, and {MADE_ANEW}.")
        return tensor
