"""Jobs of an upscaler: input files and their results."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adc.errors import UsageError
from adc.media.frame_folders import frame_files
from adc.media.images import EXTENSIONS, WRITTEN, describe_rest, list_files, name_of, no_image
from adc.media.video_reader import VIDEO_EXTENSIONS, is_video

LIST = "-"
SLASHES = tuple({"/", os.sep})


@dataclass(frozen=True)
class Job:
    """An input file, or a folder of frames, and its result."""

    source: Path
    target: Path
    video: bool = False


def plan(source: str | Path, target: str | Path, ending: str = "png", frames: bool = False) -> list[Job]:
    """Input files (a list on standard input for ``-``) and the files that their results become.

    Images in an output folder get the ending; videos in a folder keep theirs. With `frames`, a folder holds the frames
    of a video, or folders that do. An output that ends in a slash is a folder.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        UsageError: If the output does not suit the input, or an input would be overwritten.
        ValueError: If there is no image and no video, or two would have one name.
    """
    is_folder = str(target).endswith(SLASHES) or Path(target).is_dir()
    target = Path(target)
    is_image_name = target.suffix.lower() in WRITTEN and not is_folder
    if str(source) == LIST:
        _check_folder(target, is_image_name, "a list of files needs a folder for the results")
        jobs = [_listed(path, target, ending) for path in _read_list()]
    else:
        source = Path(source)
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder.")
        if source.is_dir():
            if not frames or not frame_files(source):
                _check_folder(target, is_image_name, f"{source} is a folder, so this must be a folder too")
            jobs = _clips(source, target) if frames else _of_folder(source, target, ending)
        elif frames:
            raise UsageError(f"--frames: {source} is a file; this is for a folder of frames.")
        else:
            jobs = [_single(source, target, ending, is_image_name, is_folder)]
    _check_distinct(jobs)
    return jobs


def left_out(source: str | Path, jobs: Sequence[Job]) -> str | None:
    """What lies in a folder and is no job, in a few words: how many files, of which endings; None if nothing is."""
    if str(source) == LIST or not Path(source).is_dir():
        return None
    done = {place for job in jobs for place in (job.source, job.target)}
    files = [path for path in list_files(Path(source)) if not path.name.startswith(".")]
    return describe_rest([path for path in files if done.isdisjoint((path, *path.parents))])


def _of_folder(source: Path, target: Path, ending: str) -> list[Job]:
    """Images and videos of a folder and of those in it, without what lies in an output folder inside it."""
    files = [path for path in list_files(source) if not path.name.startswith(".")]
    if _real(source) in _real(target).parents:
        results = source / _real(target).relative_to(_real(source))
        files = [path for path in files if results not in path.parents]
    jobs = []
    for path in files:
        if path.suffix.lower() in EXTENSIONS:
            jobs.append(Job(path, target / f"{name_of(path, source)}.{ending}"))
        elif is_video(path):
            jobs.append(Job(path, target / path.relative_to(source), video=True))
    if not jobs:
        raise no_image(source, *VIDEO_EXTENSIONS)
    return jobs


def _clips(source: Path, target: Path) -> list[Job]:
    """A folder of frames, or those in a folder."""
    if frame_files(source):
        return [Job(source, target, video=True)]
    clips = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != "." and frame_files(path))
    if not clips:
        raise no_image(source)
    return [Job(path, target / path.name, video=True) for path in clips]


def _single(source: Path, target: Path, ending: str, is_image_name: bool, is_folder: bool) -> Job:
    if is_video(source):
        return Job(source, target / source.name if is_folder else target, video=True)
    if target.suffix and not is_image_name and not is_folder:
        known = ", ".join(WRITTEN)
        raise UsageError(
            f"--output {target}: unknown image format; there are {known}. If it is a folder, end it with /."
        )
    return Job(source, target if is_image_name else target / f"{source.stem}.{ending}")


def _read_list() -> list[Path]:
    try:
        lines = sys.stdin.read().splitlines()
    except UnicodeDecodeError:
        raise ValueError("standard input: no list of file names in UTF-8, one in each line.") from None
    if not (found := [Path(line) for line in lines if line.strip()]):
        raise ValueError("standard input: no file is named; give one in each line.")
    return found


def _listed(path: Path, folder: Path, ending: str) -> Job:
    """The job of a listed file; relative paths keep their folders."""
    place = Path(path.name) if path.is_absolute() or ".." in path.parts else path
    if is_video(path):
        return Job(path, folder / place, video=True)
    return Job(path, folder / place.with_suffix(f".{ending}"))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on links that go in circles


def _check_folder(target: Path, is_image_name: bool, reason: str) -> None:
    if target.is_file() or is_image_name:
        raise UsageError(f"--output {target}: {reason}.")


def _check_distinct(jobs: list[Job]) -> None:
    origin: dict[Path, Path] = {}
    for job in jobs:
        if other := origin.get(job.target):
            raise ValueError(f"{job.source} and {other} would both become {job.target}; rename one of them.")
        origin[job.target] = job.source
    inputs = {_real(path) for path in origin.values()}
    for result in origin:
        if _real(result) in inputs:
            raise UsageError(f"--output: {result} is an input and would be overwritten; name another place.")
