"""Colour correction and resizing of images in bands of rows, from top to bottom, never held whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adc.inference.tiles import BAND
from adc.ops.clip import upsample_bicubic
from adc.ops.color import WAVELET_LEVELS, rescale, wavelet

LANCZOS_REACH = 3


class Window:
    """Rolling window of rows of an image that comes in bands ``(..., rows, W)``, from top to bottom."""

    def __init__(self, bands: Iterable[Tensor]) -> None:
        self.bands = iter(bands)
        self.first = 0
        self.held: Tensor | None = None

    def rows(self, top: int, bottom: int) -> Tensor:
        """The rows from `top` to before `bottom`; neither may decrease."""
        held = [] if self.held is None else [self.held[..., top - self.first :, :]]
        self.first = top
        have = sum(band.shape[-2] for band in held)
        while have < bottom - top:
            held.append(next(self.bands))
            have += held[-1].shape[-2]
        self.held = held[0] if len(held) == 1 else torch.cat(held, dim=-2)
        return self.held[..., : bottom - top, :]


def with_adain(bands: Iterable[Tensor], lr: Tensor, scratch: Path | None, dtype: torch.dtype) -> Iterator[Tensor]:
    """`adc.ops.color.adain` of the whole image, which is buffered in a file of the `scratch` folder as type `dtype`.

    Bands are ``(..., C, rows, W)``, from top to bottom; the image gets mean and standard deviation of `lr`.
    """
    count, mean, spread = 0, torch.zeros(1), torch.zeros(1)
    with tempfile.TemporaryFile(dir=scratch) as file:
        shapes = []
        for band in bands:
            values = band.double()
            size = values.shape[-1] * values.shape[-2]
            own = values.mean(dim=(-2, -1), keepdim=True)
            away = own - mean
            spread = spread + (values - own).square().sum(dim=(-2, -1), keepdim=True)
            spread = spread + away.square() * (count * size / (count + size))
            mean = mean + away * (size / (count + size))
            count += size
            file.write(band.to("cpu", dtype).contiguous().numpy().data)
            shapes.append(band.shape)
        file.seek(0)
        variance = spread / (count - 1) if count > 1 else spread
        own_moments = mean.float(), variance.float()
        moments = lr.mean(dim=(-2, -1), keepdim=True), lr.var(dim=(-2, -1), keepdim=True, unbiased=True)
        for shape in shapes:
            number = np.dtype("float16" if dtype == torch.float16 else "float32")
            data = bytearray(file.read(shape.numel() * number.itemsize))
            band = torch.from_numpy(np.frombuffer(data, number)).view(shape).to(lr.device, torch.float32)
            yield rescale(band, own_moments, moments)


def with_wavelet(bands: Iterable[Tensor], lr: Tensor, scale: int) -> Iterator[Tensor]:
    """`adc.ops.color.wavelet` of the whole image ``(B, T, 3, rows, scale * w)``, against the upsampled `lr`."""
    reach, height = 2**WAVELET_LEVELS - 1, lr.shape[-2] * scale
    window = Window(bands)
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        first, last = max(0, top - reach), min(height, bottom + reach)
        around = wavelet(window.rows(first, last), _enlarged(lr, scale, first, last))
        yield around[..., top - first : bottom - first, :]


def _enlarged(lr: Tensor, scale: int, top: int, bottom: int) -> Tensor:
    """Some rows of ``upsample_bicubic(lr, scale)``."""
    first, last = max(0, top // scale - 3), min(lr.shape[-2], -(-bottom // scale) + 3)
    large = upsample_bicubic(lr[..., first:last, :], scale)
    return large[..., top - first * scale : bottom - first * scale, :]


def resized(bands: Iterable[Tensor], size: tuple[int, int], target: tuple[int, int]) -> Iterator[Tensor]:
    """Bands ``(..., rows, W)`` of an image of a size (height, width), resized to the target by Lanczos's filter."""
    reach = int(LANCZOS_REACH * max(1.0, size[0] / target[0])) + 2
    window = Window(bands)
    for top in range(0, target[0], BAND):
        bottom = min(top + BAND, target[0])
        begin, end = top * size[0] / target[0], bottom * size[0] / target[0]
        first, last = max(0, int(begin) - reach), min(size[0], int(end) + 1 + reach)
        rows = window.rows(first, last)
        box = (0.0, begin - first, float(size[1]), min(end - first, float(last - first)))
        planes = [
            np.asarray(Image.fromarray(plane).resize((target[1], bottom - top), Image.Resampling.LANCZOS, box))
            for plane in rows.float().cpu().reshape(-1, *rows.shape[-2:]).numpy()
        ]
        yield torch.from_numpy(np.stack(planes)).view(*rows.shape[:-2], bottom - top, target[1]).to(rows.device)
