"""``adc upscale``: images and videos through a student.

What is wrong with names and options is found before torch is imported.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from adc.cli.options import leave, naming_options
from adc.cli.parser import OneLineErrors
from adc.errors import UsageError
from adc.evaluation.batch import work_through
from adc.files import sweep
from adc.inference.jobs import LIST, Job, is_there, left_out, plan
from adc.inference.options import UpscaleOptions
from adc.media.rates import checked_rate
from adc.progress import note

if TYPE_CHECKING:
    from adc.inference.upscaler import Upscaler

OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "device": (
        str,
        "auto",
        "Where to compute: auto takes a GPU if there is one; cpu, cuda or cuda:1; files are divided among several, "
        "cuda:0,cuda:1.",
    ),
    "codec": (str | None, None, "Encoder of a video, as FFmpeg calls it; null is libx264, or libvpx-vp9 for WebM."),
    "crf": (int | None, None, "How much a video may lose: lower is better and larger; null loses little."),
    "rate": (str, "25", "Frames per second of a folder of frames: 25, 30000/1001."),
}
FLAGS = {
    "frames": "The input folder holds the frames of a video, or folders that do, each a video of its own.",
    "drop-streams": "Leave out sound and subtitles that the container of the result cannot hold, instead of stopping.",
    "resume": "Leave out files, and of folders of frames images, whose result is there.",
    "compile": "Compile the student; it starts slowly then, and pays for many images of one size.",
}


def main(argv: list[str]) -> None:
    """Parse the command line and upscale."""
    description = "Upscale images or a video with a student."
    parser = OneLineErrors(prog="adc upscale", description=description, allow_abbrev=False)
    parser.add_argument(
        "input",
        help="An image (png, jpg, webp, tif, bmp, ...), a video, a folder of them and of folders, or - for a list of "
        "files on standard input, one in each line; their results' names go to standard output.",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="A file, whose ending says its format, or a folder, which may end in /; for a folder or a list a folder. "
        "Videos are written as .mp4, .mov, .mkv or .webm: clip.mp4 becomes the video x.mkv, in out/ the video "
        "out/clip.mp4, and as out a folder of frames. "
        "Kept where the format has it: transparency, EXIF and XMP data, text, colour profile, dots per inch, and with "
        "--depth 16 all bits; of videos times, sound, subtitles and colour tags. What is left out is told.",
    )
    parser.add_argument("--student", required=True, help="A folder of adc fit or adc prune, or a file of adc export.")
    parser.add_class_arguments(UpscaleOptions, as_group=False, skip={"devices", *FLAGS})
    for name, (kind, default, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    for name, text in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    if any(one in ("-o", "--output") and other == LIST for one, other in pairwise(argv)) or f"--output={LIST}" in argv:
        raise UsageError("--output -: results are files; name one, or a folder.")
    if LIST in argv:  # a lone - is an input, wherever it stands
        argv = [*(word for word in argv if word != LIST), "--", LIST]
    given = parser.parse_args(argv)
    with naming_options(vars(given)):
        shared = {key: given[key] for key in UpscaleOptions.__dataclass_fields__ if key in given}
        _upscale(given, UpscaleOptions(**shared, devices=_devices(given.device)))


def _upscale(given: Any, options: UpscaleOptions) -> None:
    """Upscale what is given on the command line."""
    jobs = plan(given.input, given.output, options.format, given.frames)
    if rest := left_out(given.input, jobs):
        note(f"{given.input}: {rest}")
    rate = _rate(given.rate) if any(job.video for job in jobs) else Fraction(25)

    from adc.inference.upscaler import Upscaler
    from adc.inference.video import upscale_video
    from adc.media.image_files import check_target

    single = jobs[0] if len(jobs) == 1 else None
    if single is not None and not single.video:
        try:
            check_target(single.target, (1, 1), options.depth)
        except ValueError as error:
            raise UsageError(f"--output {error}") from None
    listing = given.input == LIST
    waiting = [job for job in jobs if not (options.resume and is_there(job, options.format))]
    there = [job for job in jobs if job not in waiting]
    for job in there if listing else ():
        print(job.target, flush=True)
    for folder in {place for job in waiting for place in (job.target, job.target.parent)}:
        sweep(folder)

    stop = threading.Event()

    def process(upscaler: Upscaler, job: Job) -> None:
        if not job.video:
            upscaler.image(job.source, job.target)
        else:
            made: set[bool] = set()

            def count(is_new: bool) -> None:
                made.add(is_new)
                if stop.is_set():
                    raise KeyboardInterrupt

            settings = {"codec": given.codec, "crf": given.crf, "rate": rate, "drop_streams": given.drop_streams}
            if upscale_video(job.source, job.target, upscaler, options, **settings, on_frame=count):
                raise ValueError(f"{job.source}: damaged in places; what could be read is in {job.target}.")
            if made == {False}:
                there.append(job)
        if listing:
            print(job.target, flush=True)

    start = time.perf_counter()
    workers = [partial(process, Upscaler(given.student, name, options)) for name in options.devices[: len(waiting)]]
    images_only = not any(job.video for job in waiting)
    failed = work_through(waiting, workers, "enlarging", images_only, stop) if waiting else 0
    file = sys.stderr if listing else sys.stdout
    _summarize(jobs, len(there), failed, time.perf_counter() - start, given.output, file)
    leave(failed, len(jobs))


def _devices(names: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not found:
        raise UsageError(f"--device {names!r}: no device is named; take auto, cpu, cuda or cuda:0,cuda:1.")
    return found


def _rate(text: str) -> Fraction:
    try:
        return checked_rate(Fraction(text if "e" not in text.lower() else float(text)))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise UsageError(f"--rate {text}: frames per second, a number or a fraction such as 30000/1001.") from None


def _summarize(jobs: Sequence[Job], there: int, failed: int, seconds: float, output: str, file: Any) -> None:
    if there:
        print(f"{there} of {len(jobs)} {'was' if there == 1 else 'were'} there already", file=file)
    if not (done := len(jobs) - there - failed):
        return
    kind = "video" if all(job.video for job in jobs) else "file" if any(job.video for job in jobs) else "image"
    where = jobs[0].target if len(jobs) == 1 else output
    print(f"{done} {kind}{'' if done == 1 else 's'} enlarged in {seconds:.1f} s: {where}", file=file)
