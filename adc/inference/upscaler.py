"""The upscaler: a student loaded, checked, on its device, with the tiles that its memory allows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adc import pruning
from adc.errors import UsageError
from adc.inference.device import find_device
from adc.inference.jobs import Output
from adc.inference.memory import SIDES, MemoryEstimate, fitting_batch, fitting_tile, free_memory
from adc.inference.onnx_student import OnnxStudent
from adc.inference.options import Color, Precision, UpscaleOptions
from adc.inference.prepare import prepare, why_not
from adc.inference.restore import Tiling, restore_bands, restore_image
from adc.inference.tiles import plan_tiles
from adc.interfaces import Restorer
from adc.media.image_files import decode_image, fill_transparent
from adc.media.images import to_bytes, to_frame
from adc.media.pixels import eight_bits
from adc.progress import note

if TYPE_CHECKING:
    from fractions import Fraction

Result = TypeVar("Result")


def load(
    student: str | Path,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    tile: int | None = None,
    overlap: int = 32,
    batch: int | None = None,
    color: Color | None = None,
    scale: float | None = None,
    compile: bool = False,
) -> Upscaler:
    """An upscaler of a student: ``load("runs/demo/2_distill")(image)``.

    Args:
        student: A student folder, as training and pruning write it, or an ONNX file.
        device: ``auto`` is a GPU if there is one; cpu, cuda or cuda:1.
        precision: What is computed in: fp32, bf16 or fp16.
        tile: Longest side of the tiles, in pixels of the input; None lets free memory decide.
        overlap: Pixels of the input that neighbouring tiles share at least.
        batch: Tiles restored at once; None lets free memory decide.
        color: What is taken over from the colours of the input: none, adain or wavelet; None is what is usual for the
            student.
        scale: How many times larger the result is; None is the student's own factor, another one is a final resize.
        compile: Whether the student is compiled.

    Raises:
        FileNotFoundError: If there is no such student.
        UsageError: If an option is out of its range, there is no such device, or it does not compute in that precision.
        ValueError: If the student is damaged.
    """
    return Upscaler(student, device, UpscaleOptions(tile, overlap, batch, color, precision, compile, scale=scale))


class Upscaler:
    """A student for images and videos, in memory or from file to file.

    Attributes:
        color: What results take over from the colours of LR: the options' choice, else the student's.
        tiles: Longest side of tiles where the options leave it open, by the number of frames restored at once; halved
            when memory ran out.
    """

    def __init__(self, student: str | Path, device: str, options: UpscaleOptions) -> None:
        """
        Raises:
            FileNotFoundError: If there is no such student.
            UsageError: If the device or the student does not suit the options.
            ValueError: If the student is damaged.
        """
        self.device = find_device(device)
        if reason := why_not(options.precision, self.device):
            raise UsageError(f"precision {reason}")
        restorer = _load(str(student), options)
        self.options = options
        self.color: Color = options.color or restorer.color_matching
        self.memory_estimate = MemoryEstimate(restorer)
        self.restorer = prepare(restorer, options.precision, self.device, options.compile)
        self.tiles: dict[int, int] = {}
        self._batches: dict[tuple[int, int], int] = {}

    @overload
    def __call__(self, image: Tensor) -> Tensor: ...
    @overload
    def __call__(self, image: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, image: Image.Image | str | Path) -> Image.Image: ...

    def __call__(self, image: Any) -> Any:
        """Upscale an image, or clips.

        Args:
            image: A PIL image, an array ``(H, W, 3)`` of uint8, a tensor ``(3, h, w)`` or ``(B, T, 3, h, w)`` in
                ``[-1, 1]``, or the path of an image file.

        Returns:
            The same kind as was given, a PIL image for a path. Transparency is resized apart; a gray image stays gray.

        Raises:
            ValueError: If the image has another shape or type, or memory runs out with the smallest tiles.
        """
        if isinstance(image, str | Path):
            found = decode_image(Path(image))
            alpha = None if found.alpha is None else eight_bits(found.alpha)
            return self._pil(eight_bits(found.pixels), alpha, found.gray)
        if isinstance(image, Image.Image):
            if image.mode in ("F", "I") or image.mode.startswith("I;16"):
                raise ValueError(f"image: a PIL image of mode {image.mode}; convert it to RGB, or use Upscaler.image.")
            alpha = np.array(image.convert("RGBA").getchannel("A")) if image.has_transparency_data else None
            return self._pil(np.asarray(image.convert("RGB")), alpha, image.mode in ("L", "LA", "1"))
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
                raise ValueError(f"image: an array {image.shape} of {image.dtype}; expected (H, W, 3) of uint8.")
            return to_bytes(self(to_frame(image)))
        if not isinstance(image, Tensor) or not image.is_floating_point() or image.dim() not in (3, 5):
            kind = f"{tuple(image.shape)} of {image.dtype}" if isinstance(image, Tensor) else type(image).__name__
            raise ValueError(f"image: {kind}; expected a tensor (3, h, w) or (B, T, 3, h, w) of floats.")
        if image.shape[-3] != 3:
            raise ValueError(f"image: a tensor {tuple(image.shape)}; expected three channels, (3, h, w).")
        clips = image if image.dim() == 5 else image[None, None]
        large = torch.cat([restore_clip(self.restore, clip[None], "image") for clip in clips])
        return large if image.dim() == 5 else large[0, 0]

    def _pil(self, pixels: np.ndarray, alpha: np.ndarray | None, gray: bool) -> Image.Image:
        visible = pixels if alpha is None else fill_transparent(pixels, alpha)
        large = Image.fromarray(self(visible))
        large = large.convert("L") if gray else large
        if alpha is not None:
            large.putalpha(Image.fromarray(alpha).resize(large.size, Image.Resampling.BICUBIC))
        return large

    def image(self, source: str | Path, target: str | Path) -> Path:
        """Upscale an image file; EXIF, colour profile, transparency and 16 bits are kept where the format has them.

        Raises:
            ValueError: If the file cannot be read, written in this format, or upscaled; the message names it.
            OSError: If the result cannot be written.
        """
        from adc.inference.image import upscale_image

        for left_out in upscale_image(Path(source), Path(target), self):
            note(f"{source}: {left_out}")
        return Path(target)

    def video(
        self,
        source: str | Path,
        target: str | Path,
        *,
        chunk: int | None = None,
        chunk_overlap: int | None = None,
        codec: str | None = None,
        crf: int | None = None,
        layout: str | None = None,
        rate: Fraction | int = 25,
    ) -> Path:
        """Upscale a video file or a folder of frames; arguments and errors are those of `upscale_video`.

        Returns:
            The result: ``x.mp4`` is a video, ``out`` a folder of frames, and ``out/`` has a video of the source's name.

        Raises:
            UsageError: If the target ends like no video that is written.
        """
        from adc.inference.video import upscale_video

        settings: dict[str, Any] = {"chunk": chunk, "chunk_overlap": chunk_overlap, "codec": codec, "crf": crf}
        result = Output.named(target).for_video(Path(source))
        upscale_video(Path(source), result, self, self.options, **settings, layout=layout, rate=rate)
        return result

    @property
    def temporal_context(self) -> int:
        """Frames before and after a frame on which its result depends, declared by the student; else 0."""
        return self.restorer.network.temporal_context

    @property
    def temporal_stride(self) -> int:
        """The restorer computes with ``1 + n * k`` frames of this ``k``, declared by the student; else 1."""
        return self.restorer.network.temporal_stride

    def restore(self, clip: Tensor) -> Tensor:
        """Restore a clip ``(1, T, 3, h, w)`` in ``[-1, 1]``, in the size of the options."""
        height, width = clip.shape[-2:]
        cut = self.tiling(height, width, clip.shape[1])
        size = self.size(height, width)
        return restore_image(self.restorer, clip, cut.tile, cut.overlap, self.color, cut.batch, size)

    def bands(self, lr: Tensor, dtype: torch.dtype, scratch: Path) -> Iterator[Tensor]:
        """Result for one image, in bands from top to bottom; see `restore_bands`."""
        height, width = lr.shape[-2:]
        size = self.size(height, width)
        return restore_bands(
            self.restorer, lr, self.tiling(height, width), self.color, size, dtype=dtype, scratch=scratch
        )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        scale = self.restorer.scale if self.options.scale is None else self.options.scale
        return max(1, round(height * scale)), max(1, round(width * scale))

    def tiling(self, height: int, width: int, frames: int = 1) -> Tiling:
        """Tiling of an image, or of so many frames at once."""
        tile, overlap = self._tile(frames), self.options.overlap
        if self.options.tile is None:
            overlap = min(overlap, (tile - 1) // 2)
        rows, columns = plan_tiles(height, tile, overlap), plan_tiles(width, tile, overlap)
        return Tiling(tile, overlap, self._batch(rows.tile, columns.tile) if len(columns.starts) > 1 else 1)

    def _tile(self, frames: int) -> int:
        if self.options.tile is not None:
            return self.options.tile
        if frames not in self.tiles:
            self.tiles[frames] = fitting_tile(self.memory_estimate, self.device, frames)
        return self.tiles[frames]

    def _batch(self, height: int, width: int) -> int:
        if self.options.batch is not None:
            return self.options.batch
        if self.device.type == "cpu":
            return 1
        key = (height, width)
        if key not in self._batches:
            self._batches[key] = fitting_batch(self.memory_estimate, height, width, free_memory(self.device))
        return self._batches[key]

    def shrink_tiles(self) -> bool:
        """Take smaller tiles after memory ran out; False if they were chosen by hand or are small."""
        if all(tile <= SIDES[-1] for tile in self.tiles.values()):
            return False
        self.tiles = {frames: max(SIDES[-1], tile // 2) for frames, tile in self.tiles.items()}
        self._batches = {}
        self.options = dataclasses.replace(self.options, batch=1)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return True


def retry_on_oom(
    work: Callable[[], Result], owner: Any, source: str | Path, size: str, advice: str, hint: str = ""
) -> Result:
    """Result of a function, called again with smaller tiles (`shrink_tiles` of the owner) while memory runs out.

    Raises:
        ValueError: If memory does not suffice (ends with `advice`), or the function raises a RuntimeError (ends with
            `hint`); one line names the source and its size.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            short = isinstance(error, MemoryError) or "memory" in str(error)
            if short and getattr(owner, "shrink_tiles", lambda: False)():
                continue
            if short:
                raise ValueError(f"{source}: {size} need more memory than there is; {advice}.") from error
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(f"{source}: the student failed on {size} ({first}){hint}.") from error


def restore_clip(restore: Callable[[Tensor], Tensor], clip: Tensor, source: str | Path) -> Tensor:
    """Restore a clip ``(1, T, 3, h, w)``, in smaller tiles if memory runs out; see `retry_on_oom`."""
    size = f"{clip.shape[1]} frames of {clip.shape[-1]}x{clip.shape[-2]} pixels"
    advice = "enlarge fewer frames at once, or try --tile 256"
    return retry_on_oom(lambda: restore(clip), getattr(restore, "__self__", restore), source, size, advice)


def _load(student: str, options: UpscaleOptions) -> Restorer:
    if student.lower().endswith(".onnx"):
        for name, plain in (("precision", "fp32"), ("compile", False)):
            if getattr(options, name) != plain:
                raise UsageError(f"{name}: an ONNX file has its own; leave this out.")
        found: Any = OnnxStudent(student)
    else:
        found = pruning.load_student(student)
    for name, tensor in found.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{student}: tensor {name} is not finite (NaN or infinity); export it again.")
    return found
