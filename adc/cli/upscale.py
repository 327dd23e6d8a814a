"""``adc upscale``: images and videos through a student."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from adc.cli.options import leave, naming_options
from adc.errors import UsageError
from adc.inference.jobs import LIST, Job, plan
from adc.inference.options import Color, Ending, Precision, UpscaleOptions

FLAGS = {
    "frames": "The input folder holds the frames of a video.",
    "resume": "Leave out files whose result is there.",
    "compile": "Compile the student; it starts slowly then, and pays for many images of one size.",
}


def main(argv: list[str]) -> None:
    """Parse the command line and enlarge."""
    from adc.cli.parser import OneLineErrors

    description = "Enlarge images or a video with a student."
    parser = OneLineErrors(prog="adc upscale", description=description, allow_abbrev=False)
    parser.add_argument(
        "input",
        help="An image (png, jpg, webp, tif, bmp, ...), a video, a folder of images and of folders, or - for a list of "
        "files on standard input, one in each line; their results' names go to standard output.",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="A file, whose ending says its format, or a folder; for a folder or a list a folder.",
    )
    parser.add_function_arguments(upscale, skip={"input", "output", *FLAGS}, as_group=False)
    for name, text in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    options = vars(parser.parse_args([*_with_dash_last(argv)]))
    with naming_options(options):
        upscale(**options)


def _with_dash_last(argv: list[str]) -> list[str]:
    """A lone ``-`` is an input, wherever it stands."""
    return argv if LIST not in argv else [*(word for word in argv if word != LIST), "--", LIST]


def upscale(
    input: str,
    output: str,
    student: str,
    tile: int | None = None,
    overlap: int = 32,
    batch: int | None = None,
    color: Color = "none",
    precision: Precision = "fp32",
    device: str = "auto",
    scale: float | None = None,
    format: Ending = "png",
    depth: int = 8,
    quality: int = 95,
    codec: str | None = None,
    crf: int | None = None,
    rate: str = "25",
    frames: bool = False,
    resume: bool = False,
    compile: bool = False,
) -> None:
    """Enlarge images or a video.

    Args:
        input: An image, a video, a folder, or ``-`` for a list on standard input.
        output: A file for a file; a folder for a folder or a list.
        student: A student folder, as adc fit and adc prune write it, or an ONNX file of adc export.
        tile: Longest side of the tiles, in pixels of the input; null lets free memory decide (512, on a CPU 256).
        overlap: Pixels that neighbouring tiles share, at least.
        batch: Tiles enlarged at once; null lets free memory decide on a GPU and is 1 elsewhere.
        color: Give the result the colours of the input: none, adain (mean and spread) or wavelet (the coarse part).
        precision: Compute in fp32, bf16 or fp16.
        device: Where to compute: auto takes a GPU if there is one; cpu, cuda or cuda:1; files are divided among
            several, cuda:0,cuda:1.
        scale: How many times larger the result is; null is the student's own factor, another one is a final resize.
        format: Format of the images in an output folder: png, jpg, webp or tif.
        depth: Bits per channel, 8 or 16; 16 for PNG only.
        quality: Of formats that lose something, 1 to 100.
        codec: Encoder of a video, as FFmpeg calls it; null is libx264, or libvpx-vp9 for WebM.
        crf: How much a video may lose: lower is better and larger; null is a value at which it is little.
        rate: Frames per second of a folder of frames: 25, 30000/1001.
        frames: Whether the input folder holds the frames of a video.
        resume: Whether to leave out files whose result is there.
        compile: Whether to compile the student.
    """
    options = UpscaleOptions(
        tile, overlap, batch, color, precision, compile, _devices(device), scale, format, depth, quality, resume
    )
    _quieten()
    jobs = plan(input, Path(output), format, frames)
    if len(jobs) == 1 and not jobs[0].video:
        _check_ending(jobs[0].target, depth)
    listing = input == LIST
    waiting = [job for job in jobs if not (resume and job.target.exists())] if not _is_video(jobs) else jobs
    for job in jobs if listing else ():
        if job not in waiting:
            print(job.target, flush=True)

    from adc.evaluation.batch import work_through
    from adc.inference.upscaler import Upscaler

    start = time.perf_counter()
    failed = 0
    if waiting:
        enlarge_video = partial(_video, options=options, codec=codec, crf=crf, rate=_rate(rate))
        workers = [
            _worker(Upscaler(student, name, options), enlarge_video, listing)
            for name in options.devices[: len(waiting)]
        ]
        failed = work_through(waiting, workers, "enlarging", progress=not any(job.video for job in waiting))
    _summarize(jobs, len(waiting), failed, time.perf_counter() - start, output, sys.stderr if listing else sys.stdout)
    leave(failed, len(jobs))


def _is_video(jobs: Sequence[Job]) -> bool:
    """A single video resumes by itself."""
    return len(jobs) == 1 and jobs[0].video


def _devices(names: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not found:
        raise UsageError(f"--device {names!r}: no device is named; take auto, cpu, cuda or cuda:0,cuda:1.")
    return found


def _check_ending(target: Path, depth: int) -> None:
    from adc.media.image_files import check_target

    try:
        check_target(target, (1, 1), depth)
    except ValueError as error:
        raise UsageError(f"--output {error}") from None


def _quieten() -> None:
    import warnings

    warnings.filterwarnings("ignore", module="PIL")


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UsageError(f"--rate {text}: frames per second, a number or a fraction such as 30000/1001.")
    return rate


def _worker(upscaler: Any, enlarge_video: Callable[[Job, Any], None], listing: bool) -> Callable[[Job], None]:
    """Does one job after the other on one device."""

    def work(job: Job) -> None:
        if job.video:
            enlarge_video(job, upscaler)
        else:
            upscaler.image(job.source, job.target)
        if listing:
            print(job.target, flush=True)

    return work


def _video(job: Job, upscaler: Any, options: UpscaleOptions, **settings: Any) -> None:
    from adc.inference.video import upscale_video

    if upscale_video(job.source, job.target, upscaler, options, **settings):
        raise ValueError(f"{job.source}: damaged in places; what could be read is in {job.target}.")


def _summarize(jobs: Sequence[Job], tried: int, failed: int, seconds: float, output: str, file: Any) -> None:
    if there := len(jobs) - tried:
        print(f"{there} of {len(jobs)} {'was' if there == 1 else 'were'} there already", file=file)
    if not (done := tried - failed):
        return
    kind = "video" if all(job.video for job in jobs) else "file" if any(job.video for job in jobs) else "image"
    where = jobs[0].target if len(jobs) == 1 else output
    print(f"{done} {kind}{'' if done == 1 else 's'} enlarged in {seconds:.1f} s: {where}", file=file)
