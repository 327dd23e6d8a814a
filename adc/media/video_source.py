"""Videos of a folder: files, and sub-folders of frames, all of them read by frame number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adc.media.frame_folders import FrameFolder, frame_files
from adc.media.images import EXTENSIONS, list_files, name_of
from adc.media.video_reader import VIDEO_EXTENSIONS, is_video
from adc.media.video_seek import VideoFile

VideoSource = VideoFile | FrameFolder


def list_video_sources(where: str) -> list[VideoSource]:
    """The videos of a folder and of the folders in it, sorted by name; hidden ones are left out.

    A file with one of `VIDEO_EXTENSIONS` is a video. A folder with images directly in it is one, too.

    Args:
        where: A folder; one video; or a path with a star, ``pairs/*/lq.mp4``, that names a video in each of many
            folders, each of which is called what the star stands for.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no video is in it.
    """
    found = _starred(where) if "*" in where else _within(Path(where))
    if not found:
        raise ValueError(
            f"{where}: neither a video ({', '.join(VIDEO_EXTENSIONS[:4])}, ...) nor a folder of frames "
            f"({', '.join(EXTENSIONS[:3])}, ...) is in there."
        )
    return sorted(found, key=lambda source: source.name)


def _within(root: Path) -> list[VideoSource]:
    found: list[VideoSource] = []
    folders: set[Path] = set()
    for path in list_files(root):
        if path.name.startswith("."):
            continue
        if is_video(path):
            found.append(VideoFile(path, name_of(path, root)))
        elif path.suffix.lower() in EXTENSIONS and path != root:
            folders.add(path.parent)
    for folder in folders:
        name = root.name if folder == root else folder.relative_to(root).as_posix()
        found.append(FrameFolder(folder, name=name))
    return found


def _starred(where: str) -> list[VideoSource]:
    parts = Path(where).parts
    first = next(number for number, part in enumerate(parts) if "*" in part)
    if where.count("*") > 1:
        raise ValueError(f"{where}: has more than one star; the one there may be stands for the names of the videos.")
    pattern = Path(*parts[first:]).as_posix()
    named = re.compile("(.*)".join(re.escape(piece) for piece in pattern.split("*")))
    root = Path(*parts[:first])
    found: list[VideoSource] = []
    for path in sorted(root.glob(pattern)):
        match = named.fullmatch(path.relative_to(root).as_posix())
        assert match is not None
        if path.is_dir():
            found += [FrameFolder(path, name=match[1])] if frame_files(path) else []
        elif is_video(path):
            found.append(VideoFile(path, match[1]))
    return found


def match_video_sources(lr: str, hr: str) -> list[tuple[VideoSource, VideoSource]]:
    """Pair the videos of two folders (or starred paths) by their names, endings aside.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a video has no partner, or two of a folder have one name.
    """
    small, large = _by_name(lr), _by_name(hr)
    for own, other, place in ((small, large, hr), (large, small, lr)):
        lonely = [name for name in own if name not in other]
        if lonely:
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise ValueError(
                f"{own[lonely[0]].path}: no partner called '{lonely[0]}' in {place}{more}. Add or remove it."
            )
    return [(small[name], large[name]) for name in sorted(small)]


def _by_name(where: str) -> dict[str, VideoSource]:
    named: dict[str, VideoSource] = {}
    for source in list_video_sources(where):
        if source.name in named:
            raise ValueError(
                f"{source.path}: {named[source.name].path} has the same name. Remove or rename one of them."
            )
        named[source.name] = source
    return named


class VideoSourceReader:
    """Reads frames, and keeps the first ones decoded as long as there is room."""

    def __init__(self, megabytes: int = 0) -> None:
        """
        Args:
            megabytes: Room for decoded frames.
        """
        self.room = megabytes * 2**20
        self.kept: dict[tuple[Path, int], np.ndarray] = {}

    def __call__(self, source: VideoSource, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames by their ascending numbers, uint8 ``(H, W, 3)``; not to be written to."""
        frames = {number: self.kept[source.path, number] for number in numbers if (source.path, number) in self.kept}
        missing = [number for number in numbers if number not in frames]
        if missing:
            read = dict(zip(missing, source.read(missing), strict=True))
            for number, frame in read.items():
                if frame.nbytes <= self.room:
                    self.room -= frame.nbytes
                    self.kept[source.path, number] = frame
            frames |= read
        return [frames[number] for number in numbers]
