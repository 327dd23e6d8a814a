"""Augmentation of training clips, where images are few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from adc.degradation.draws import bernoulli, randint, uniform


class Augmentation:
    """Random changes of training clips before they are degraded; all frames of a clip are changed alike.

    Every draw comes from the clip's generator. A student that learns from its teacher needs no natural images, only
    varied ones.
    """

    def __init__(self, reduce: float = 1.0, turn: bool = False, colors: bool = False, blend: float = 0.0) -> None:
        """
        Args:
            reduce: Crops are cut larger and reduced to the size by a factor between this and 1, which packs more
                detail into them; a moving camera zooms by itself.
            turn: Turn crops by quarter turns.
            colors: Put the channels in any order.
            blend: Chance that a crop is blended with one of another file, each channel by a share of its own;
                that makes colours of grey photos.

        Raises:
            ValueError: If a number is out of range.
        """
        if not 0 < reduce <= 1:
            raise ValueError(f"reduce: {reduce} is not within (0, 1].")
        if not 0 <= blend <= 1:
            raise ValueError(f"blend: {blend} is not a chance between 0 and 1.")
        self.reduce, self.turn, self.colors, self.blend = reduce, turn, colors, blend

    def side(self, size: int, largest: int, generator: Generator) -> int:
        """Side of the crop that is reduced to ``size``; at most ``largest``."""
        return min(round(size / uniform(generator, self.reduce, 1.0)), largest) if self.reduce < 1 else size

    def change(self, frames: Sequence[np.ndarray], size: int | None, generator: Generator) -> list[np.ndarray]:
        """Frames of a clip, uint8 ``(H, W, 3)``, reduced to squares of `size` if given, turned, channels permuted."""
        if size is not None and frames[0].shape[0] != size:
            images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
            frames = [np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in images]
        if self.turn:
            turns = randint(generator, 0, 3)
            frames = [np.rot90(frame, turns) for frame in frames]
        if self.colors:
            order = torch.randperm(3, generator=generator).tolist()
            frames = [frame[..., order] for frame in frames]
        return list(frames)

    def blends(self, generator: Generator) -> bool:
        """Whether this crop is blended with another."""
        return self.blend > 0 and bernoulli(generator, self.blend)

    @staticmethod
    def mix(clip: Tensor, other: Tensor, generator: Generator) -> Tensor:
        """Two clips ``(T, 3, H, W)`` blended by a share per channel."""
        share = torch.rand(1, 3, 1, 1, generator=generator)
        return share * clip + (1 - share) * other
