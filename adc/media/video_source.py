"""Sources of frames, read by number: video files, folders of frames, and single images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adc.media.frame_folders import FrameFolder
from adc.media.images import SHARD, list_photos, read_image
from adc.media.names import EXTENSIONS, VIDEO_EXTENSIONS, frame_files, is_video, list_files, name_of
from adc.media.pairing import by_name, partners
from adc.media.tar_shards import TarMember
from adc.media.video_seek import VideoFile
from adc.progress import note


class ImageFile:
    """An image, perhaps inside a tar file, as a video of one frame."""

    def __init__(self, path: Path | TarMember, name: str) -> None:
        self.path, self.name = path, name
        self.keyframes = [0]

    def __len__(self) -> int:
        return 1

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """The image, uint8 ``(H, W, 3)``, for each number."""
        return [read_image(self.path) for _ in numbers]


VideoSource = VideoFile | FrameFolder | ImageFile


def image_sources(paths: Sequence[Path | TarMember], folder: str | None = None) -> list[VideoSource]:
    """Images as videos of one frame, named by their paths in a folder."""
    return [ImageFile(path, name_of(path, folder)) for path in paths]


def list_sources(where: str, frames: int = 1) -> list[VideoSource]:
    """The images of a folder for clips of one frame, if it has any; else its videos; see `list_video_sources`.

    Gaps in the numbers of frames are noted.
    """
    if frames == 1 and "*" not in where:
        names = (path.name.lower() for path in list_files(Path(where)))
        if any(name.endswith((*EXTENSIONS, SHARD)) and name[0] != "." for name in names):
            return image_sources(list_photos(where), where)
    found = list_video_sources(where)
    if gaps := [source for source in found if isinstance(source, FrameFolder) and source.gap and frames > 1]:
        more = f" ({len(gaps) - 1} more of {len(found)} clips have gaps)" if len(gaps) > 1 else ""
        note(f"{gaps[0].path}: {gaps[0].gap}{more}")
    return found


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
    files = [path for path in list_files(root) if not path.name.startswith(".")]
    found += [VideoFile(path, name_of(path, root)) for path in files if is_video(path)]
    for folder in {path.parent for path in files if path.suffix.lower() in EXTENSIONS and path != root}:
        found.append(FrameFolder(folder, name=root.name if folder == root else folder.relative_to(root).as_posix()))
    return found


def _starred(where: str) -> list[VideoSource]:
    if where.count("*") > 1:
        raise ValueError(f"{where}: has more than one star; the one there may be stands for the names of the videos.")
    root = Path(where.partition("*")[0] + "_").parent
    before, after = Path(where).relative_to(root).as_posix().split("*")
    found: list[VideoSource] = []
    for path in sorted(root.glob(f"{before}*{after}")):
        name = path.relative_to(root).as_posix().removeprefix(before).removesuffix(after)
        if path.is_dir() and frame_files(path):
            found.append(FrameFolder(path, name=name))
        elif path.is_file() and is_video(path):
            found.append(VideoFile(path, name))
    return found


def match_sources(lr: str, hr: str, frames: int = 1) -> list[tuple[VideoSource, VideoSource]]:
    """Pairs of the images or videos of two folders (or starred paths) by their names, endings aside; see `partners`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a video has no partner, or two of a folder have one name.
    """
    ours, theirs = (by_name((source.name, source) for source in list_sources(where, frames)) for where in (lr, hr))
    matched, notes = partners(ours, theirs, lr, hr)
    for line in notes:
        note(line)
    return [(one, other) for _, one, other in sorted(matched, key=lambda pair: pair[0])]


class VideoSourceReader:
    """Reader of frames that keeps the first ones decoded, up to a number of megabytes."""

    def __init__(self, megabytes: int = 0) -> None:
        self.room = megabytes * 2**20
        self.kept: dict[tuple[Path | TarMember, int], np.ndarray] = {}

    def __call__(self, source: VideoSource, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames by their ascending numbers, uint8 ``(H, W, 3)``; read-only."""
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
