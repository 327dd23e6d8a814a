"""Image and video files by their names: endings, and lists of folders; nothing is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from PIL import features

from adc.errors import UsageError
from adc.media.tar_shards import TarMember

WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Endings, in lower case, of the images that are written."""
EXTENSIONS = (
    *WRITTEN,
    *(".jfif", ".jpe", ".gif", ".jp2", ".j2k", ".tga", ".pnm", ".pbm", ".apng", ".dib"),
    *((".avif",) if "avif" in features.modules and features.check("avif") else ()),
)
"""Endings, in lower case, of the files that are taken for images: those that the installed Pillow reads."""
FOREIGN = (
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".raf",
    ".psd",
    ".exr",
    ".hdr",
    ".svg",
)
"""Endings of images that nothing here reads."""
VIDEO_WRITTEN = (".mp4", ".mov", ".mkv", ".webm")
"""Endings, in lower case, of the videos that are written."""
VIDEO_EXTENSIONS = (
    *VIDEO_WRITTEN, ".m4v", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".wmv", ".ogv", ".3gp", ".mxf",
    ".vob", ".asf", ".y4m", ".3g2", ".f4v", ".mj2", ".qt", ".mk3d", ".divx", ".ogm", ".rm", ".rmvb", ".nut", ".dv",
    ".m2t", ".m2v", ".m1v", ".mpe", ".mjpeg", ".mjpg", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".ivf",
    ".obu", ".wtv", ".amv", ".gxf",
)  # fmt: skip
"""Endings, in lower case, of the files that are taken for videos."""
ANIMATED = (".gif", ".apng")
"""Endings of images that are videos where a video is asked for."""


def check_ending(path: Path) -> str:
    """The ending of an image file, in lower case.

    Raises:
        ValueError: If it names no image format.
    """
    if (ending := path.suffix.lower()) not in WRITTEN:
        raise ValueError(f"{path}: unknown image format '{path.suffix}'. There are: {', '.join(WRITTEN)}.")
    return ending


def check_place(path: str | Path, what: str) -> None:
    """Check that what is there above a file to be written is a folder.

    Args:
        path: The file; neither it nor folders above it must be there.
        what: The option that names it.

    Raises:
        UsageError: If a file, or a link that leads nowhere, stands in the way.
    """
    for place in Path(path).parents:
        if place.is_dir():
            return
        if os.path.lexists(place):
            found = "no folder" if place.exists() else "a link that leads nowhere"
            raise UsageError(f"{what} {path}: {place} is {found}; name another place.")


def no_image(folder: str | os.PathLike[str], *others: str) -> ValueError:
    """The error of a folder without images, or files with one of the `others` endings."""
    return ValueError(f"{folder}: no image in this folder (looked for {', '.join((*EXTENSIONS, *others))}).")


def describe_rest(rest: Sequence[Path]) -> str | None:
    """Files that are not done, in a few words: how many, of which endings; None if there are none."""
    if not rest:
        return None
    endings = sorted({path.suffix.lower() or path.name for path in rest})
    named = ", ".join(endings[:6]) + (", ..." if len(endings) > 6 else "")
    return f"{len(rest)} other file{'' if len(rest) == 1 else 's'} left out ({named})"


def list_files(root: Path) -> list[Path]:
    """All files of a folder and of the folders in it, sorted by relative path; links are followed.

    Hidden folders are left out. A file stands for itself.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if root.is_file():
        return [root]
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder.")
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def frame_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in the order of the numbers in their names; hidden ones are left out.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.name[0] != "."]
    return sorted((path for path in files if path.is_file()), key=lambda path: (natural_key(path.stem), path.name))


def describe_gap(files: Sequence[Path]) -> str | None:
    """Where the numbers of frames in order leave one out, in a few words; None if none is left out.

    Numbers that go up by one step leave none out, nor do names that differ in more than a number.
    """
    parts = [re.split(r"(\d+)", file.stem) for file in files]
    places = {place for one in parts for place, (a, b) in enumerate(zip(one, parts[0], strict=False)) if a != b}
    if len(places) != 1 or len({len(one) for one in parts}) > 1 or not parts[0][place := places.pop()].isdecimal():
        return None
    numbers = [int(one[place]) for one in parts]
    steps = [after - before for before, after in pairwise(numbers)]
    gaps = [number for number, step in enumerate(steps) if step > min(steps)]
    if not gaps:
        return None
    more = f", nor in {len(gaps) - 1} more place{'s' if len(gaps) > 2 else ''}" if len(gaps) > 1 else ""
    before, after = files[gaps[0]].stem, files[gaps[0] + 1].stem
    return f"there is no frame between {before} and {after}{more}; those around a gap follow each other"


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key of a name by the numbers in it: ``2`` before ``10``."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def is_image_name(name: str) -> bool:
    """Whether a file is an image that is not hidden, by its name."""
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its ending."""
    return Path(path).suffix.lower() in VIDEO_EXTENSIONS


def name_of(path: Path | TarMember, folder: str | os.PathLike[str] | None) -> str:
    """Name of an image: its path in its folder or tar file, without the ending."""
    if isinstance(path, TarMember):
        return path.stem
    root = Path(folder) if folder is not None else path.parent
    relative = Path(path.name) if root.is_file() or not path.is_relative_to(root) else path.relative_to(root)
    return relative.with_suffix("").as_posix()
