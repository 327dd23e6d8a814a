"""Jobs of an upscaler: input files and their results."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from adc.errors import UsageError
from adc.media.images import EXTENSIONS, list_images, name_of
from adc.media.video_reader import is_video

LIST = "-"


@dataclass(frozen=True)
class Job:
    """An input file, or a folder of frames, and its result."""

    source: Path
    target: Path
    video: bool = False


def plan(source: str | Path, target: Path, ending: str = "png", frames: bool = False) -> list[Job]:
    """Input files (a list on standard input for ``-``) and the files that their results become.

    Images in an output folder get the ending; with `frames`, a folder holds the frames of a video.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        UsageError: If the output does not suit the input, or an input would be overwritten.
        ValueError: If there is no image, or two would have one name.
    """
    is_image_name = target.suffix.lower() in EXTENSIONS and not target.is_dir()
    if str(source) == LIST:
        _check_folder(target, is_image_name, "a list of files needs a folder for the results")
        jobs = [_listed(path, target, ending) for path in _read_list()]
    else:
        source = Path(source)
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder.")
        if source.is_dir() and frames:
            jobs = [Job(source, target, video=True)]
        elif source.is_dir():
            _check_folder(target, is_image_name, f"{source} is a folder, so this must be a folder too")
            inside = _real(target)
            all_there = inside == _real(source)
            images = [path for path in list_images(source) if all_there or inside not in _real(path).parents]
            jobs = [Job(path, target / f"{name_of(path, source)}.{ending}") for path in images]
        elif frames:
            raise UsageError(f"--frames: {source} is a file; this is for a folder of frames.")
        else:
            jobs = [_single(source, target, ending, is_image_name)]
    _check_distinct(jobs)
    return jobs


def _single(source: Path, target: Path, ending: str, is_image_name: bool) -> Job:
    if is_video(source):
        return Job(source, target / source.name if target.is_dir() else target, video=True)
    if target.suffix and not is_image_name and not target.is_dir():
        raise UsageError(f"--output {target}: unknown image format; there are {', '.join(EXTENSIONS)}.")
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
