"""Upscaling of an image file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from adc.inference.upscaler import Upscaler, retry_on_oom
from adc.media.image_files import (
    DecodedImage,
    alpha_rows,
    channels_for,
    check_target,
    color_rows,
    decode_image,
    fill_transparent,
    image_writer,
)
from adc.media.images import to_frame
from adc.media.pixels import over_white


def upscale_image(source: Path, target: Path, upscaler: Upscaler) -> tuple[str, ...]:
    """Upscale an image file; the result appears whole or not at all.

    Transparency is resized apart, and the student sees the nearest visible colours where nothing is visible; where the
    format has none, transparent pixels are laid over white before. EXIF and XMP data, text, colour profile and dots per
    inch are kept where the format has them.

    Returns:
        What was left out, each in a few words.

    Raises:
        ValueError: If the file cannot be read, written in this format, or upscaled; the message names it.
        OSError: If the result cannot be written.
    """
    image = decode_image(source)
    height, width = image.pixels.shape[:2]
    size = upscaler.size(height, width)
    check_target(target, (size[1], size[0]), upscaler.options.depth)
    lost = image.metadata.missing(target.suffix.lower(), image.gray)
    if image.pixels.dtype == np.uint16 and upscaler.options.depth == 8:
        lost.append("more than eight bits become eight; --depth 16 keeps them in .png and .tif")
    channels = channels_for(target, image.gray, image.alpha is not None)
    if image.alpha is not None:
        if channels in (1, 3):
            image = replace(image, pixels=over_white(image.pixels, image.alpha), alpha=None)
        else:
            image = replace(image, pixels=fill_transparent(image.pixels, image.alpha))
    tile = 256 if upscaler.options.tile is None else max(64, upscaler.options.tile // 2)
    advice, hint = f"try --tile {tile}", "; leave --compile out" if upscaler.options.compile else ""
    pixels = f"{width}x{height} pixels"
    retry_on_oom(lambda: _write(image, target, size, upscaler), upscaler, source, pixels, advice, hint)
    return (*image.notes, *lost)


def _write(image: DecodedImage, target: Path, size: tuple[int, int], upscaler: Upscaler) -> None:
    depth = upscaler.options.depth
    channels = channels_for(target, image.gray, image.alpha is not None)
    is_gray_in_colors = image.gray and channels == 3
    dtype = torch.float16 if depth == 8 else torch.float32
    shape = (size[1], size[0])
    with image_writer(target, shape, channels, image.metadata, depth, upscaler.options.quality) as writer:
        top = 0
        try:
            for band in upscaler.bands(to_frame(image.pixels)[None, None], dtype, target.parent):
                rows = color_rows(band[0, 0], image.gray, depth)
                rows = rows.repeat(3, axis=2) if is_gray_in_colors else rows
                if image.alpha is not None:
                    rows = np.concatenate([rows, alpha_rows(image.alpha, size, top, len(rows), depth)], axis=2)
                writer.write(rows)
                top += len(rows)
        except ValueError as error:
            raise ValueError(f"{target}: {error}") from error
