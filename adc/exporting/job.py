"""A student in the formats that other programs read, each checked against the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from adc.errors import UsageError
from adc.files import replacing

Format = Literal["diffusers", "onnx", "torch"]
Variant = Literal["fp16", "int8"]
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
        ValueError: If a file differs from the student by more than rounding; it is removed.
    """
    if variants and "onnx" not in formats:
        raise UsageError("variants: they are kinds of the ONNX file; add onnx to --formats.")
    if not formats:
        raise UsageError(f"formats: name at least one of {', '.join(Format.__args__)}.")
    if metrics is not None and not Path(metrics).is_file():
        raise FileNotFoundError(f"{metrics}: no such file; --metrics takes a JSON file.")

    from adc import runs
    from adc.exporting.card import write_card

    folder = Path(output)
    job = _Job(Path(student), folder, None if photos is None else str(photos))
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
        "metrics": None if metrics is None else str(metrics),
    }
    write_card(folder, Path(student), facts)
    summary = {key: facts[key] for key in ("scale", "parameters", "files")}
    runs.write_json(folder / "export.json", summary)
    return summary


class _Job:
    """Exported files of one student, each compared with it; `of_clips` says whether files take clips or images."""

    def __init__(self, source: Path, folder: Path, photos: str | None) -> None:
        from adc.inference.stream import mixes_frames
        from adc.pruning import load_student

        self.source, self.folder, self.photos = source, folder, photos
        self.original = load_student(str(source)).eval().requires_grad_(False)
        self.of_clips = mixes_frames(self.original.restore)
        self.parameters = sum(parameter.numel() for parameter in self.original.parameters())
        self.rows: list[dict[str, Any]] = []
        self._made: Any = None
        folder.mkdir(parents=True, exist_ok=True)

    def write_diffusers(self) -> None:
        from adc.exporting.diffusers import from_pretrained, save_pretrained

        save_pretrained(self.source, self.folder)
        model = from_pretrained(self.folder)
        name = "diffusion_pytorch_model.safetensors"
        self._note(
            name, "for `adc.exporting.diffusers.from_pretrained`, float32", lambda clip: model.student.restore(clip)
        )

    def write_program(self) -> None:
        import torch

        path = self.folder / "model.pt2"
        with replacing(path) as scratch:
            torch.export.save(self._program(), scratch)
        module: Any = torch.export.load(path).module()
        self._note("model.pt2", "`torch.export` program, float32", lambda clip: self._clip(module(self._input(clip))))

    def write_onnx(self, variants: list[str]) -> None:
        from adc.exporting import onnx

        path = self.folder / "model.onnx"
        facts = {"scale": self.original.scale, "precision": "fp32", "parameters": self.parameters, "opset": onnx.OPSET}
        onnx.write_onnx(self._program(), path, facts)
        size = "number of frames, height and width" if self.of_clips else "height and width"
        self._note_onnx("model.onnx", f"ONNX, opset {onnx.OPSET}, any {size}, float32", TOLERANCE)
        if "fp16" in variants:
            onnx.write_half(path, self.folder / "model_fp16.onnx")
            self._note_onnx("model_fp16.onnx", "ONNX, float16 inside")
        if "int8" in variants:
            onnx.write_int8(path, self.folder / "model_int8.onnx", [self._input(clip) for clip in self._clips()])
            self._note_onnx("model_int8.onnx", "ONNX, convolutions in 8-bit integers")

    def _program(self) -> Any:
        from adc.exporting.onnx import program

        if self._made is None:
            self._made = program(self.original, self.of_clips)
        return self._made

    def _note_onnx(self, name: str, what: str, tolerance: float | None = None) -> None:
        from adc.exporting.onnx import size_of
        from adc.inference.onnx_student import OnnxStudent

        path = self.folder / name
        self._note(name, what, OnnxStudent(str(path)).restore, tolerance, size_of(path))

    def _note(
        self,
        name: str,
        what: str,
        restore: Callable[[Any], Any],
        tolerance: float | None = TOLERANCE,
        size: int | None = None,
    ) -> None:
        """Compare with the original on photos; exact formats must not differ."""
        row: dict[str, Any] = {"file": name, "what": what, "bytes": size or (self.folder / name).stat().st_size}
        row["difference"], row["decibels"] = self._difference(restore)
        if tolerance is not None:
            if not row["difference"] <= tolerance:
                (self.folder / name).unlink()
                raise ValueError(
                    f"{self.folder / name}: differs from the student by {row['difference']:.3g}, over {tolerance}, "
                    "and was removed."
                )
            del row["decibels"]
        self.rows.append(row)

    def _difference(self, restore: Callable[[Any], Any]) -> tuple[float, float]:
        import torch

        largest, squares, pixels = 0.0, 0.0, 0
        with torch.no_grad():
            for clip in self._clips():
                difference = (restore(clip) - self.original.restore(clip)).double()
                largest = max(largest, difference.abs().max().item())
                squares, pixels = squares + difference.square().sum().item(), pixels + difference.numel()
        error = squares / pixels
        return largest, 200.0 if error == 0 else 10 * float(torch.log10(torch.tensor(4 / error)))

    def _input(self, clip: Any) -> Any:
        """The input of a program or a file, of a clip."""
        return clip if self.of_clips else clip[:, 0]

    def _clip(self, large: Any) -> Any:
        return large if self.of_clips else large[:, None]

    def _clips(self) -> list[Any]:
        """Small clips from the middle of photos, ``(1, 1, 3, h, w)`` of sizes that are no multiples of anything.

        Of one frame, or of three over which the photo moves.
        """
        import torch

        from adc.data.bundled import training_photos
        from adc.media.images import list_images, read_image, to_frame

        paths = training_photos() if self.photos is None else list_images(self.photos)
        clips = []
        for number, path in enumerate(paths[:8]):
            frame = to_frame(read_image(path))
            height, width = (min(side, 61 + 3 * number) for side in frame.shape[-2:])
            top, left = (frame.shape[-2] - height) // 2, (frame.shape[-1] - width) // 2
            moved = [frame.roll(step, -1) for step in range(3 if self.of_clips else 1)]
            clips.append(torch.stack(moved)[None, ..., top : top + height, left : left + width])
        return clips
