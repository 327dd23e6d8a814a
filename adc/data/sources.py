"""Sources of clips for discriminators, besides the student's."""

from __future__ import annotations

import torch
from torch import Tensor

from adc.interfaces import Batch, Source
from adc.ops.clip import shuffled


class Real(Source):
    """The high-resolution clip itself."""

    def __call__(self, batch: Batch) -> Tensor:
        """``batch["hr"]``, ``(B, T, 3, H, W)``."""
        return batch["hr"]


class ShuffledFrames(Source):
    """The high-resolution clip with its frames out of order: every frame real, the motion not.

    Each clip gets a permutation of its own from torch's global generator, never the identity
    unless there is but one frame.
    """

    def __call__(self, batch: Batch) -> Tensor:
        """``batch["hr"]`` with permuted frames, ``(B, T, 3, H, W)``."""
        return torch.stack([clip[shuffled(clip.shape[0]).to(clip.device)] for clip in batch["hr"]])


class StillImage(Source):
    """A still image repeated for the length of a clip: every frame real, no motion.

    It is the first of the images that the data module draws for the clip, if its ``stills`` are on.
    """

    def __call__(self, batch: Batch) -> Tensor:
        """The first of ``batch["stills"]`` as often as there are frames, ``(B, T, 3, H, W)``."""
        stills = _stills(batch, self)
        return stills[:, :1].expand_as(stills)


class Slideshow(Source):
    """Unrelated still images, one per frame: every frame real, no continuity between them."""

    def __call__(self, batch: Batch) -> Tensor:
        """``batch["stills"]``, ``(B, T, 3, H, W)``."""
        return _stills(batch, self)


def _stills(batch: Batch, source: Source) -> Tensor:
    if "stills" not in batch:
        raise ValueError(
            f"source: {type(source).__name__} shows stills, but the batch has none. Set stills: true, or stills: a "
            "folder of photos, of DegradedClips or PairedClips."
        )
    return batch["stills"]
