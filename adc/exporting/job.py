"""Export of a student to other formats, each checked against the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from adc import runs
from adc.data.bundled import training_photos
from adc.errors import UsageError
from adc.exporting import onnx
from adc.exporting.card import write_card
from adc.exporting.diffusers import from_pretrained, save_pretrained
from adc.files import replacing
from adc.inference.onnx_student import OnnxStudent
from adc.inference.stream import mixes_frames
from adc.media.images import list_images, read_image, to_frame
from adc.media.names import check_place
from adc.pruning import load_student

Format = Literal["diffusers", "onnx", "torch"]
Variant = Literal["fp16", "int8"]
CARD = "README.md"
TOLERANCE = 1e-3
"""The largest difference of a float32 export from the original, of pixels in [-1, 1]."""


def export(
    student: str | Path,
    output: str | Path,
    formats: Sequence[Format] = ("diffusers", "onnx", "torch"),
    variants: Sequence[Variant] = (),
    *,
    photos: str | Path | None = None,
    title: str | None = None,
    system: str | None = None,
    license: str | None = None,
    metrics: str | Path | None = None,
) -> dict[str, Any]:
    """Write a student in other formats, each checked, and a model card.

    Args:
        student: A student folder.
        output: The folder that the files go to.
        formats: diffusers (config.json and safetensors, for from_pretrained), onnx, torch (a torch.export program).
        variants: Smaller kinds of the ONNX file: fp16, int8; what they lose is measured.
        photos: A folder of photos that set the ranges of int8 and on which losses are measured; bundled ones if None.
        title: Heading of the model card; the folder's name if None.
        system: For the card: the method, for one AdcSR.
        license: For the card: the licence of the weights.
        metrics: For the card: a JSON file, for one report.json.

    Returns:
        ``scale``, ``parameters`` and ``files``: for each file its name, what it is, its bytes and its difference from
        the student.

    Raises:
        FileNotFoundError: If there is no such student or file.
        UsageError: If no format is named, or variants without onnx.
        ValueError: If the student cannot be traced for torch or onnx: no file is written. Or if a file differs from
            the student by more than rounding; it is removed.
    """
    if variants and "onnx" not in formats:
        raise UsageError("variants: they are kinds of the ONNX file; add onnx to --formats.")
    if not formats:
        raise UsageError(f"formats: name at least one of {', '.join(Format.__args__)}.")
    if metrics is not None and not Path(metrics).is_file():
        raise FileNotFoundError(f"{metrics}: no such file; --metrics takes a JSON file.")

    folder = Path(output)
    _check_folder(folder)
    job = _Job(Path(student), folder, None if photos is None else str(photos))
    if "torch" in formats or "onnx" in formats:
        job.trace()  # before a file is written
    _ = job.clips
    folder.mkdir(parents=True, exist_ok=True)
    if "diffusers" in formats:
        job.write_diffusers()
    if "torch" in formats:
        job.write_program()
    if "onnx" in formats:
        job.write_onnx(list(variants))
    facts = {
        "title": title or Path(student).resolve().name,
        "system": system,
        "license": license,
        "scale": job.original.scale,
        "parameters": job.parameters,
        "files": job.rows,
        "of_clips": job.of_clips,
        "color_matching": job.original.color_matching,
        "metrics": None if metrics is None else str(metrics),
    }
    write_card(folder, Path(student), facts)
    summary = {key: facts[key] for key in ("scale", "parameters", "files")}
    runs.write_json(folder / "export.json", summary)
    return summary


def _check_folder(folder: Path) -> None:
    """Refuse what is no folder, and one whose README was not written here: the model card would take its place."""
    check_place(folder / CARD, "output")
    card = folder / CARD
    if card.exists() and not (folder / "export.json").is_file():
        raise UsageError(f"output {folder}: holds a {CARD} of yours, whose place the card would take; name another.")


class _Job:
    """Exported files of one student, each compared with it; `of_clips` says whether files take clips or images."""

    def __init__(self, source: Path, folder: Path, photos: str | None) -> None:
        self.source, self.folder, self.photos = source, folder, photos
        self.original = load_student(str(source)).eval().requires_grad_(False)
        self.of_clips = mixes_frames(self.original.restore)
        self.parameters = sum(parameter.numel() for parameter in self.original.parameters())
        self.rows: list[dict[str, Any]] = []

    def trace(self) -> None:
        """Make the program of files that need one.

        Raises:
            ValueError: If the student cannot be traced.
        """
        _ = self._program

    def write_diffusers(self) -> None:
        save_pretrained(self.source, self.folder)
        restore = from_pretrained(self.folder).student.restore
        what = "for `adc.exporting.diffusers.from_pretrained`, float32"
        self._note("diffusion_pytorch_model.safetensors", what, restore)

    def write_program(self) -> None:
        path = self.folder / "model.pt2"
        with replacing(path) as scratch:
            torch.export.save(self._program, scratch)
        module: Any = torch.export.load(path).module()

        def restore(clip: Tensor) -> Tensor:
            return module(clip) if self.of_clips else module(clip[:, 0])[:, None]

        self._note("model.pt2", "`torch.export` program, float32", restore)

    def write_onnx(self, variants: list[str]) -> None:
        path = self.folder / "model.onnx"
        facts = {"scale": self.original.scale, "precision": "fp32", "parameters": self.parameters, "opset": onnx.OPSET}
        facts["color_matching"] = self.original.color_matching
        onnx.write_onnx(self._program, path, facts)
        size = "number of frames, height and width" if self.of_clips else "height and width"
        self._note(path.name, f"ONNX, opset {onnx.OPSET}, any {size}, float32")
        if "fp16" in variants:
            onnx.write_half(path, self.folder / "model_fp16.onnx")
            self._note("model_fp16.onnx", "ONNX, float16 inside", tolerance=None)
        if "int8" in variants:
            images = [clip if self.of_clips else clip[:, 0] for clip in self.clips]
            onnx.write_int8(path, self.folder / "model_int8.onnx", images)
            self._note("model_int8.onnx", "ONNX, convolutions in 8-bit integers", tolerance=None)

    @cached_property
    def _program(self) -> torch.export.ExportedProgram:
        return onnx.program(self.original, self.of_clips)

    def _note(
        self,
        name: str,
        what: str,
        restore: Callable[[Tensor], Tensor] | None = None,
        tolerance: float | None = TOLERANCE,
    ) -> None:
        """Compare a file (by ONNX Runtime if no function is given) with the original on photos, and add its row."""
        path = self.folder / name
        try:
            largest, decibels = self._difference(restore or OnnxStudent(str(path)).restore)
        except Exception:
            path.unlink()
            raise
        if tolerance is not None and not largest <= tolerance:
            path.unlink()
            raise ValueError(f"{path}: differs from the student by {largest:.3g}, over {tolerance}, and was removed.")
        row = {"file": name, "what": what, "bytes": onnx.size_of(path), "difference": largest}
        self.rows.append(row if tolerance is not None else {**row, "decibels": decibels})

    def _difference(self, restore: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """The largest difference, and the PSNR in dB."""
        largest, squares, pixels = 0.0, 0.0, 0
        with torch.no_grad():
            for clip in self.clips:
                difference = (restore(clip) - self.original.restore(clip)).double()
                largest = max(largest, difference.abs().max().item())
                squares, pixels = squares + difference.square().sum().item(), pixels + difference.numel()
        error = squares / pixels
        return largest, 200.0 if error == 0 else 10 * float(torch.log10(torch.tensor(4 / error)))

    @cached_property
    def clips(self) -> list[Tensor]:
        """Small clips from the middle of photos, ``(1, 1, 3, h, w)`` of sizes that are no multiples of anything.

        Of one frame, or of three over which the photo moves. Photos that are smaller than files take are passed over.

        Raises:
            ValueError: If all are.
        """
        paths = training_photos() if self.photos is None else list_images(self.photos)
        frames = (frame for path in paths if min((frame := to_frame(read_image(path))).shape[-2:]) >= onnx.SMALLEST)
        clips = []
        for number, frame in enumerate(islice(frames, 8)):
            height, width = (min(side, 61 + 3 * number) for side in frame.shape[-2:])
            top, left = (frame.shape[-2] - height) // 2, (frame.shape[-1] - width) // 2
            moved = [frame.roll(step, -1) for step in range(3 if self.of_clips else 1)]
            clips.append(torch.stack(moved)[None, ..., top : top + height, left : left + width])
        if not clips:
            raise ValueError(f"{self.photos}: none of {len(paths)} photos has sides of {onnx.SMALLEST} pixels or more.")
        return clips
