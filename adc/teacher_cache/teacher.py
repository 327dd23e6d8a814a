"""A teacher that was asked before training, and one that answers from what was kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from adc.interfaces import FeatureSpace, Teacher
from adc.teacher_cache.store import (
    INDEX,
    Shard,
    ShardReader,
    keys_of,
    prompt_fingerprint,
    read_index,
    same_prompt,
    shards_of,
)

OPEN_SHARDS = 64


def run_teacher(teacher: Teacher, lr: Tensor, domains: Collection[str], **prompt_kwargs: Any) -> dict[str, Tensor]:
    """All that a stage may want to know of a teacher about a batch, in one pass.

    Args:
        teacher: A live one.
        lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``.
        domains: ``pixel``, ``feature``, or both.
        prompt_kwargs: ``prompt``, if it takes one and there is one.

    Returns:
        ``pixel``, what `Teacher.restore` returns; ``lifted`` or ``embedded``, what `Teacher.features` gives to
        ``space.project_latents`` or ``space.embed``, left out where that is ``pixel``.

    Raises:
        ValueError: If the teacher's features are more than what the space makes of one tensor.
    """
    if "feature" not in domains:
        return {"pixel": teacher.restore(lr, **prompt_kwargs)}
    space, answer = _Listener(), {}
    if "pixel" in domains:
        answer["pixel"], feature = teacher.restore_with_features(lr, space, **prompt_kwargs)
    else:
        feature = teacher.features(lr, space, **prompt_kwargs)
    if len(space.received) != 1 or space.received[0][1] is not feature:
        raise ValueError(
            f"{type(teacher).__name__}.features does more than return space.lift(...) or space.embed(...) of one "
            "tensor, so there is nothing to keep in its place; keep pixels only, or train with the live teacher."
        )
    how, given = space.received[0]
    return answer if given is answer.get("pixel") else {**answer, how: given}


class _Listener(FeatureSpace):
    """Notes what a teacher gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[str, Tensor]] = []

    def embed(self, pixels: Tensor) -> Tensor:
        self.received.append(("embedded", pixels))
        return pixels

    def project_latents(self, projected: Tensor) -> Tensor:
        self.received.append(("lifted", projected))
        return projected


class UnknownClipError(ValueError):
    """A clip that a cache does not answer.

    Attributes:
        place: Its number in the batch.
    """

    def __init__(self, place: int, reason: str) -> None:
        """
        Args:
            place: The clip's number in the batch.
            reason: A sentence without the clip's name.
        """
        super().__init__(f"clip {place} of the batch: {reason}")
        self.place, self.reason = place, reason

    def with_name(self, names: Sequence[str]) -> ValueError:
        """The same error with the clip's name."""
        return ValueError(f"{names[self.place]}: {self.reason}")


class CachedTeacher(Teacher):
    """What another teacher said, kept by ``adc cache``; that teacher is not loaded.

    A clip is looked up by its pixels, so the data must be those that ``adc cache`` walked; a clip that
    it did not meet is an error. Its answers are the live teacher's, bit by bit if they were kept
    exactly and the batches are the same; unlike other restorers' they carry no gradients to the clip.
    """

    def __init__(self, folder: str, made_by: str | None = None) -> None:
        """
        Args:
            folder: What ``adc cache`` wrote.
            made_by: Refuse answers of another teacher: the name of its class, or the first letters of the
                fingerprint of its weights (``weights`` in ``cache.json``); null takes any.

        Raises:
            FileNotFoundError: If there is no cache.
            ValueError: If a shard is missing or damaged, or another teacher made the cache; names it.
        """
        super().__init__()
        index = read_index(folder)
        if index is None:
            raise FileNotFoundError(f"{Path(folder, INDEX)}: no such file; `adc cache` makes it from the live teacher.")
        self.folder, self.index = Path(folder), index
        self.scale, self.takes_prompt = index["scale"], index["takes_prompt"]
        self._check_maker(made_by)
        self._shards: list[Shard] = [shard for rank in range(index["world"]) for shard in shards_of(index, rank)]
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        self._places: dict[str, tuple[int, ...]] = {}
        for number in range(len(self._shards)):
            for key in self._shard(number).keys:
                self._places[key] = (*self._places.get(key, ()), number)

    def restore(self, lr: Tensor, generator: Generator | None = None, prompt: Tensor | None = None) -> Tensor:
        """The pixels that the teacher made of a clip."""
        return self._answers(lr, prompt, ("pixel",))["pixel"]

    def features(self, lr: Tensor, space: FeatureSpace, prompt: Tensor | None = None) -> Tensor:
        """The teacher's latents lifted into the space, or its pixels embedded there."""
        return self._seen_in(space, self._answers(lr, prompt, {self._felt()}))

    def restore_with_features(
        self, lr: Tensor, space: FeatureSpace, prompt: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both."""
        answer = self._answers(lr, prompt, {"pixel": None, self._felt(): None})
        return answer["pixel"], self._seen_in(space, answer)

    def _felt(self) -> str:
        """The view of which features are made."""
        views = self._shard(0).views
        return next((view for view in ("lifted", "embedded") if view in views), "pixel")

    def _seen_in(self, space: FeatureSpace, answer: dict[str, Tensor]) -> Tensor:
        view = self._felt()
        return space.project_latents(answer[view]) if view == "lifted" else space.embed(answer[view])

    def _answers(self, lr: Tensor, prompt: Tensor | None, views: Iterable[str]) -> dict[str, Tensor]:
        known = self._shard(0).views
        for view in views:
            if view not in known:
                raise ValueError(
                    f"{self.folder}: keeps {' and '.join(self.index['domains'])}s only, but a loss or a source asks "
                    f"for {view}s of the teacher; run `adc cache --domains pixel,feature` into a new folder."
                )
        marks = self._fingerprints(prompt)
        places = [
            self._find(key, place, lr, None if marks is None else marks[place]) for place, key in enumerate(keys_of(lr))
        ]
        return {view: self._batch(view, places).to(lr.device) for view in views}

    def _batch(self, view: str, places: list[tuple[int, str]]) -> Tensor:
        """The answers side by side, in memory as the live teacher's lie there: sums depend on it in their last bit."""
        clips = [self._shard(number).read(view, entry) for number, entry in places]
        about = self._shard(places[0][0]).views[view]
        shape = (len(clips), *clips[0].shape)
        batch = torch.empty_permuted(shape, about["order"], dtype=getattr(torch, about["dtype"]))
        for place, clip in enumerate(clips):
            batch[place] = clip
        return batch

    def _find(self, key: str, place: int, lr: Tensor, fingerprint: Tensor | None) -> tuple[int, str]:
        """The shard and the entry that answer a clip."""
        if key not in self._places:
            height, width = lr.shape[-2:]
            raise UnknownClipError(
                place,
                f"{self.folder} has no answer to this clip ({width}x{height}, {key[:8]}); it answers "
                f"{self.index['batches'] * self.index['world']} batches of {_describe(self.index['data'])}. "
                "Train on the same data, or run `adc cache` again with more epochs.",
            )
        for number in self._places[key]:
            shard = self._shard(number)
            for entry in shard.entries(key):
                if fingerprint is None or same_prompt(fingerprint, shard.prompt(entry)):
                    return number, entry
        raise UnknownClipError(
            place,
            f"{self.folder} answers this clip with another prompt only; "
            "train with the prompt of the recipe that made it, or run `adc cache` into a new folder.",
        )

    def _fingerprints(self, prompt: Tensor | None) -> Tensor | None:
        with_prompt = self.index["prompt"] is not None
        if with_prompt == (prompt is not None):
            return None if prompt is None else prompt_fingerprint(prompt)
        made, here = ("with", "has none") if with_prompt else ("without", "has one")
        raise ValueError(
            f"prompt: {self.folder} was made {made} a prompt, but this recipe {here}; "
            "make them agree, or run `adc cache` into a new folder."
        )

    def _shard(self, number: int) -> ShardReader:
        if number in self._open:
            self._open.move_to_end(number)
        else:
            self._open[number] = ShardReader(self.folder, self._shards[number], self.index)
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        return self._open[number]

    def _check_maker(self, made_by: str | None) -> None:
        name, weights = self.index["teacher"]["class_path"].rpartition(".")[2], self.index["weights"]
        if made_by not in (None, "", name) and not weights.startswith(str(made_by)):
            raise ValueError(
                f"{self.folder}: holds the answers of {name} (weights {weights[:12]}), not of {made_by}; "
                "name that teacher's cache, or make it with `adc cache`."
            )


def _describe(data: dict[str, Any]) -> str:
    """A data module in a few words."""
    arguments = data.get("init_args", {})
    given = [f"{key}: {value}" for key, value in arguments.items() if isinstance(value, str | int)]
    given += [_describe(value) for key, value in arguments.items() if key == "data"]
    return f"{data['class_path'].rpartition('.')[2]} ({', '.join(given)})"
