"""Jobs of an upscaler: input files and their results."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adc.errors import UsageError
from adc.media.names import (
    ANIMATED,
    EXTENSIONS,
    VIDEO_EXTENSIONS,
    VIDEO_WRITTEN,
    WRITTEN,
    check_place,
    describe_rest,
    frame_files,
    is_video,
    list_files,
    name_of,
    no_image,
)

LIST = "-"
SLASHES = tuple({"/", os.sep})


@dataclass(frozen=True)
class Job:
    """An input file, or a folder of frames, and its result."""

    source: Path
    target: Path
    video: bool = False


@dataclass(frozen=True)
class Output:
    """The place of results, as it is named on the command line.

    Attributes:
        path: A file or a folder.
        ends_in_slash: Whether its name says that it is a folder: ``out/``, ``.`` and ``..`` do.
    """

    path: Path
    ends_in_slash: bool

    @classmethod
    def named(cls, target: str | Path) -> Output:
        """The output of a name."""
        return cls(Path(target), str(target).endswith(SLASHES) or Path(target).name in ("", ".."))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, by its name or because there is one."""
        return self.ends_in_slash or self.path.is_dir()

    @property
    def ending(self) -> str:
        """The ending of a file's name, in lower case; nothing of a folder's."""
        return "" if self.is_folder else self.path.suffix.lower()

    def check_folder(self, reason: str) -> None:
        """Check that it can be a folder.

        Raises:
            UsageError: If it is a file, or named like an image or a video.
        """
        if self.path.is_file() or self.ending in (*EXTENSIONS, *VIDEO_EXTENSIONS):
            raise UsageError(f"output {self.path}: {reason}.")

    def for_image(self, source: Path, ending: str) -> Path:
        """The image file that an image becomes.

        Raises:
            UsageError: If the name ends like no image that is written.
        """
        if self.ending in WRITTEN:
            return self.path
        if self.ending:
            known = ", ".join(WRITTEN)
            what = f"{source} is an image, no video" if self.ending in VIDEO_EXTENSIONS else "unknown image format"
            raise UsageError(f"output {self.path}: {what}; there are {known}. If it is a folder, end it with /.")
        return self.path / f"{source.stem}.{ending}"

    def for_video(self, source: Path) -> Path:
        """The video file, or the folder of frames, that a video becomes.

        ``out.mp4`` is a video, ``out`` a folder of frames, whether it is there already or not. In ``out/`` videos keep
        their names, and a folder of frames is itself the result of one.

        Raises:
            UsageError: If the name ends like no video that is written, or a folder holds other files than frames.
        """
        path, ending = self.path, self.path.suffix.lower()
        if self.ends_in_slash:
            return path if source.is_dir() else path / video_name(source)
        if ending in VIDEO_WRITTEN and path.is_dir():
            raise UsageError(f"output {path}: is a folder; end it with / for a video in it, or name another file.")
        if ending in VIDEO_WRITTEN:
            return path
        if self.ending:
            raise UsageError(
                f"output {path}: videos are written as {', '.join(VIDEO_WRITTEN)}, or as a folder of frames, "
                f"which has a name without an ending; `ffmpeg -i {path.stem}.mkv {path.name}` converts a result."
            )
        if path.is_file():
            raise UsageError(f"output {path}: is a file; frames are written into a folder.")
        if source.is_file() and (others := _no_frames(path)):
            raise UsageError(
                f"output {path}: holds other files than frames ({others[0]}); end it with / for "
                f"{path / video_name(source)}, or name a folder for the frames."
            )
        return path


def plan(source: str | Path, target: str | Path, ending: str = "png", frames: bool = False) -> list[Job]:
    """Input files (a list on standard input for ``-``) and the files that their results become.

    Images in an output folder get the ending; videos keep theirs if it is one of `VIDEO_WRITTEN`, and become .mkv
    otherwise. With `frames`, each folder with images directly in it holds the frames of a video. An output that ends in
    a slash is a folder. What lies in an output folder inside the input is no input.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        UsageError: If the output does not suit the input, or an input would be overwritten.
        ValueError: If there is no image and no video, or two would have one name.
    """
    output = Output.named(target)
    if str(source) == LIST:
        output.check_folder("a list of files needs a folder for the results")
        jobs = [_listed(path, output.path, ending) for path in _read_list()]
    else:
        source = Path(source)
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder.")
        if source.is_dir():
            jobs = _clips(source, output) if frames else _of_folder(source, output, ending)
        elif frames:
            raise UsageError(f"frames: {source} is a file; this is for a folder of frames.")
        elif _becomes_video(source, output):
            jobs = [Job(source, output.for_video(source), video=True)]
        else:
            jobs = [Job(source, output.for_image(source, ending))]
    _check_distinct(jobs)
    for job in jobs:
        check_place(job.target, "output")
    return jobs


def left_out(source: str | Path, jobs: Sequence[Job]) -> str | None:
    """What lies in a folder and is no job, in a few words: how many files, of which endings; None if nothing is."""
    if str(source) == LIST or not Path(source).is_dir():
        return None
    done = {job.source for job in jobs}
    results = {job.target for job in jobs}

    def is_done(path: Path) -> bool:
        is_frame = path.parent in done and path.suffix.lower() in EXTENSIONS
        return path in done or is_frame or not results.isdisjoint((path, *path.parents))

    files = [path for path in list_files(Path(source)) if not path.name.startswith(".")]
    return describe_rest([path for path in files if not is_done(path)])


def is_there(job: Job, ending: str = "png") -> bool:
    """Whether all of a job's result is there; of frames of a video file, whose number is not known, it never is."""
    if not job.video or is_video(job.target):
        return job.target.is_file()
    if not job.source.is_dir():
        return False
    return all((job.target / f"{file.stem}.{ending}").is_file() for file in frame_files(job.source))


def video_name(source: Path) -> str:
    """The name of a video's result in a folder: its own, as .mkv if videos are not written as what it is."""
    return source.name if source.suffix.lower() in VIDEO_WRITTEN else source.with_suffix(".mkv").name


def _becomes_video(source: Path, output: Output) -> bool:
    """Whether a file is a video: by its ending, or because one is to be written and it may be one."""
    ending = source.suffix.lower()
    return is_video(source) or (output.ending in VIDEO_WRITTEN and (ending in ANIMATED or ending not in EXTENSIONS))


def _no_frames(folder: Path) -> list[str]:
    """Names in a folder, if there is one, that are no numbered images, which a video becomes; hidden ones aside."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name[0] != "." and not (name[:6].isdigit() and name.lower().endswith(EXTENSIONS))]


def _files_of(source: Path, target: Path) -> list[Path]:
    """Files of a folder and of those in it, without hidden ones and those in an output folder inside it."""
    files = [path for path in list_files(source) if not path.name.startswith(".")]
    if _real(source) in _real(target).parents:
        results = source / _real(target).relative_to(_real(source))
        files = [path for path in files if results not in path.parents]
    return files


def _of_folder(source: Path, output: Output, ending: str) -> list[Job]:
    """Images and videos of a folder."""
    output.check_folder(f"{source} is a folder, so this must be a folder too")
    jobs = []
    for path in _files_of(source, output.path):
        if path.suffix.lower() in EXTENSIONS:
            jobs.append(Job(path, output.path / f"{name_of(path, source)}.{ending}"))
        elif is_video(path):
            jobs.append(Job(path, output.path / path.relative_to(source).with_name(video_name(path)), video=True))
    if not jobs:
        raise no_image(source, *VIDEO_EXTENSIONS)
    return jobs


def _clips(source: Path, output: Output) -> list[Job]:
    """Folders of frames: a folder, those in it, and so on."""
    clips = sorted({path.parent for path in _files_of(source, output.path) if path.suffix.lower() in EXTENSIONS})
    if not clips:
        raise no_image(source)
    if clips[0] == source and (len(clips) == 1 or output.ending in VIDEO_WRITTEN):
        return [Job(source, output.for_video(source), video=True)]
    output.check_folder(f"{source} holds folders of frames, each a video of its own, so this must be a folder")
    if named := [clip for clip in clips if is_video(output.path / clip.relative_to(source))]:
        raise UsageError(f"{named[0]}: a folder of frames that is named like a video; rename it.")
    return [Job(clip, output.path / clip.relative_to(source), video=True) for clip in clips]


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
        return Job(path, folder / place.with_name(video_name(place)), video=True)
    return Job(path, folder / place.with_suffix(f".{ending}"))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on links that go in circles


def _check_distinct(jobs: list[Job]) -> None:
    origin: dict[Path, Path] = {}
    for job in jobs:
        if other := origin.get(job.target):
            raise ValueError(f"{job.source} and {other} would both become {job.target}; rename one of them.")
        origin[job.target] = job.source
    inputs = {_real(path) for path in origin.values()}
    for result in origin:
        if _real(result) in inputs:
            raise UsageError(f"output {result}: is an input and would be overwritten; name another place.")
