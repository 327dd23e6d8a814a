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
    ``(B, T, 3, scale * h, scale * w)`` where a `Source` asks for clips without motion. ``chosen`` and ``rejected``
    ``(B, T', Z, h', w')`` are the latents of a preference pair of ``lr`` (``adc cache-preferences``).
    """

    text: list[str]
    stills: Tensor
    chosen: Tensor
    rejected: Tensor
