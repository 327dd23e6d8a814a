"""The batches that data modules make."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor


class _Required(TypedDict):
    lr: Tensor
    hr: Tensor
    name: list[str]


class Batch(_Required, total=False):
    """A batch of clip pairs; an image is a clip of one frame.

    ``lr`` is ``(B, T, 3, h, w)`` and ``hr`` ``(B, T, 3, scale * h, scale * w)``, both RGB floats in ``[-1, 1]``;
    ``name`` names each clip. ``text`` is there where the data has captions, one for each clip; ``stills``
    ``(B, T, 3, scale * h, scale * w)`` where a `Source` asks for clips without motion.

    Latents ``(B, T', Z, h', w')`` that were computed beforehand: ``hr_latents`` and ``lr_latents`` of ``hr`` and of
    enlarged ``lr``, ``negative_latents`` of ``hr`` as a negative text describes it, and ``chosen`` and ``rejected``
    of a preference pair. Training batches that hold them have no ``hr``.
    """

    text: list[str]
    stills: Tensor
    hr_latents: Tensor
    lr_latents: Tensor
    negative_latents: Tensor
    chosen: Tensor
    rejected: Tensor
