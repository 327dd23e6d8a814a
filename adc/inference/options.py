"""What ``adc upscale`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Color = Literal["none", "adain", "wavelet"]
Precision = Literal["fp32", "bf16", "fp16"]
Ending = Literal["png", "jpg", "webp", "tif"]


@dataclass(frozen=True)
class UpscaleOptions:
    """How files are enlarged; what enlarges a clip heeds the first group itself.

    Attributes:
        tile: Longest side of the tiles, in pixels of the input; None lets free memory decide.
        overlap: Pixels of the input that neighbouring tiles share at least.
        batch: Tiles shown at once; None lets free memory decide.
        color: What is taken over from the colours of the input.
        precision: What is computed in.
        compile: Whether the student is compiled.
        devices: Names of the devices, ``cuda:0``; files are divided among them.
        scale: How many times larger the result is; None is the student's own factor.
        format: Ending of the images in an output folder.
        depth: Bits per channel of PNG files, 8 or 16.
        quality: Of formats that lose something, 1 to 100.
        resume: Whether files whose result is there are left out.
    """

    tile: int | None = None
    overlap: int = 32
    batch: int | None = None
    color: Color = "none"
    precision: Precision = "fp32"
    compile: bool = False
    devices: tuple[str, ...] = ("auto",)
    scale: float | None = None

    format: Ending = "png"
    depth: int = 8
    quality: int = 95
    resume: bool = False
