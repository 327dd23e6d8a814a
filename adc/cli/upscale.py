"""``adc upscale``: images through a student."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from adc.cli import UsageError

Color = Literal["none", "adain", "wavelet"]


def main(argv: list[str]) -> None:
    """Parse the command line and enlarge."""
    from adc.cli.parser import OneLineErrors

    description = "Enlarge an image, or all images of a folder, with a student."
    parser = OneLineErrors(prog="adc upscale", description=description, allow_abbrev=False)
    parser.add_argument("input", help="An image (png, jpg, webp, tif, bmp) or a folder of them; any size.")
    parser.add_argument(
        "-o", "--output", required=True, help="A file for an image; for a folder a folder, which gets PNG files."
    )
    parser.add_function_arguments(upscale, skip={"input", "output"}, as_group=False)
    options = vars(parser.parse_args(argv))
    upscale(**options)


def upscale(
    input: str,
    output: str,
    student: str,
    tile: int | None = None,
    overlap: int = 16,
    color: Color = "none",
    precision: Literal["fp32", "bf16"] = "fp32",
    device: str = "auto",
) -> None:
    """Enlarge an image or a folder of images.

    Args:
        input: An image or a folder of them.
        output: A file for an image; a folder for a folder.
        student: A student folder, as adc fit and adc prune write it.
        tile: Enlarge in tiles of so many pixels, to need less memory; null takes an image whole; try 256.
        overlap: Pixels that neighbouring tiles share.
        color: Give the result the colours of the input: none, adain (mean and spread) or wavelet (the coarse part).
        precision: Compute in fp32 or bf16.
        device: Where to compute: auto takes a GPU if there is one; cpu, cuda or cuda:1.
    """
    jobs = plan(Path(input), Path(output))
    enlarge = _enlarger(student, tile, overlap, color, precision, device)

    from adc.cli.batch import leave, work_through

    start = time.perf_counter()
    failed = work_through(jobs, lambda job: enlarge(*job), "enlarging")
    done = len(jobs) - failed
    if done:
        where = jobs[0][1] if len(jobs) == 1 else output
        print(f"{done} {'image' if done == 1 else 'images'} enlarged in {time.perf_counter() - start:.1f} s: {where}")
    leave(failed, len(jobs))


def plan(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Which image becomes which file.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        UsageError: If the output does not suit the input, or an image would be overwritten.
        ValueError: If the folder holds no image, or two that would have one name.
    """
    from adc.data.images import EXTENSIONS, list_images, name_of

    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder.")
    is_image_name = target.suffix.lower() in EXTENSIONS
    if source.is_file():
        if target.suffix and not is_image_name and not target.is_dir():
            raise UsageError(f"--output {target}: unknown image format; there are {', '.join(EXTENSIONS)}.")
        jobs = [(source, target if is_image_name and not target.is_dir() else target / f"{source.stem}.png")]
    else:
        if target.is_file() or (is_image_name and not target.is_dir()):
            raise UsageError(f"--output {target}: {source} is a folder, so this must be a folder too.")
        inside = target.resolve()
        images = [
            path for path in list_images(source) if inside == source.resolve() or inside not in path.resolve().parents
        ]
        jobs = [(path, target / f"{name_of(path, source)}.png") for path in images]
    _check_distinct(jobs)
    return jobs


def _check_distinct(jobs: list[tuple[Path, Path]]) -> None:
    origin: dict[Path, Path] = {}
    for path, result in jobs:
        if result in origin:
            raise ValueError(f"{path} and {origin[result]} would both become {result}; rename one of them.")
        origin[result] = path
    inputs = {path.resolve() for path in origin.values()}
    for result in origin:
        if result.resolve() in inputs:
            raise UsageError(f"--output: {result} is an input and would be overwritten; name another place.")


def _enlarger(
    student: str, tile: int | None, overlap: int, color: Color, precision: str, device: str
) -> Callable[[Path, Path], None]:
    import torch

    from adc.data.images import read_image, to_bytes, to_frame, write_image
    from adc.engine.restore import restore_image
    from adc.pruning import load_student

    place = _device(device)
    restorer = load_student(student).eval().requires_grad_(False).to(place)

    def enlarge(source: Path, target: Path) -> None:
        lr = to_frame(read_image(source))[None, None]
        try:
            with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):
                hr = restore_image(restorer, lr, tile, overlap, color)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            size = f"{lr.shape[-1]}x{lr.shape[-2]}"
            raise ValueError(f"{source}: {size} pixels need more memory than there is; try --tile 256.") from error
        write_image(target, to_bytes(hr[0, 0]))

    return enlarge


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"--device {name}: there is no such device here; take auto or cpu.") from None
    return device
