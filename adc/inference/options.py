"""Options of an upscaler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from adc.errors import UsageError

Color = Literal["none", "adain", "wavelet"]
"""As `adc.interfaces.restorer.ColorMatching`, without torch: options are read before it is imported."""
Precision = Literal["fp32", "bf16", "fp16"]
Ending = Literal["png", "jpg", "webp", "tif"]


@dataclass(frozen=True)
class UpscaleOptions:
    """Options of upscaling; those of the second group concern files only.

    Attributes:
        tile: Longest side of the tiles, in pixels of the input; null lets free memory decide (512, on a CPU 256).
        overlap: Pixels of the input that neighbouring tiles share, at least.
        batch: Tiles enlarged at once; null lets free memory decide on a GPU and is 1 elsewhere.
        color: What the result takes over from the colours of the input: none, adain (mean and spread) or wavelet (the
            coarse part); null is what is usual for the student, as its folder or ONNX file says.
        precision: Compute in fp32, bf16 or fp16.
        compile: Whether the student is compiled.
        devices: Names of the devices, ``cuda:0``; files are divided among them.
        scale: How many times larger the result is; null is the student's own factor, another one is a final resize.
        format: Format of the images in an output folder: png, jpg, webp or tif.
        depth: Bits per channel, 8 or 16; 16 for PNG, and for videos as many above 8 as their codec has.
        quality: Quality of lossy formats, 1 to 100.
        resume: Whether files, and images of a folder of frames, whose result is there are left out.

    Raises:
        UsageError: If a value is out of its range.
    """

    tile: int | None = None
    overlap: int = 32
    batch: int | None = None
    color: Color | None = None
    precision: Precision = "fp32"
    compile: bool = False
    devices: tuple[str, ...] = ("auto",)
    scale: float | None = None

    format: Ending = "png"
    depth: int = 8
    quality: int = 95
    resume: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("color", Color), ("precision", Precision), ("format", Ending)):
            if (value := getattr(self, name)) not in get_args(kind) and (name, value) != ("color", None):
                raise UsageError(f"{name} {value}: there are {', '.join(get_args(kind))}.")
        deep_format = f"depth 16: 16 bits per channel are written as PNG only, not as {self.format}."
        for is_legal, message in (
            (self.depth in (8, 16), f"depth {self.depth}: 8 or 16 bits per channel."),
            (self.depth == 8 or self.format == "png", deep_format),
            (1 <= self.quality <= 100, f"quality {self.quality}: from 1 to 100."),
            (self.batch is None or self.batch >= 1, f"batch {self.batch}: at least 1."),
            (self.scale is None or 0 < self.scale <= 64, f"scale {self.scale}: more than 0, at most 64."),
            (self.overlap >= 0, f"overlap {self.overlap}: at least 0."),
        ):
            if not is_legal:
                raise UsageError(message)
        if self.tile is not None:
            from adc.inference.tiles import plan_tiles

            try:
                plan_tiles(1, self.tile, self.overlap)
            except ValueError as error:
                raise UsageError(str(error)) from None
