"""Pairs of restored and reference images and clips, by name, and the frames in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from adc.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

NAMED = 3


@dataclass(frozen=True)
class Pair:
    """A restored image or clip and its reference.

    Attributes:
        name: What it is called.
        restored: An image, a folder of frames or a video file.
        reference: Its reference; of clips in either form.
    """

    name: str
    restored: Path
    reference: Path


def find_pairs(restored: Path, reference: Path, video: bool) -> list[Pair]:
    """Pairs by name; the format may differ. Two single files, or two single clips, need no common name.

    Args:
        restored: An image or a folder of images; of clips a video file, a folder of frames, or a folder of these.
        reference: The same.
        video: Whether clips are compared.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        UsageError: If one is a single item and the other a folder of them.
        ValueError: If an item has no partner, or two; the message names it.
    """
    for path in (restored, reference):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder.")
    one, other = (_is_single(path, video) for path in (restored, reference))
    if one != other:
        single, folder = (restored, reference) if one else (reference, restored)
        raise UsageError(
            f"{single} is a clip and {folder} a folder of clips; give two clips or two folders."
            if video
            else f"{single} is a file and {folder} a folder; give two files or two folders."
        )
    if one:
        return [Pair(restored.name, restored, reference)]
    ours, theirs = (_clips(path) if video else _images(path) for path in (restored, reference))
    _check(ours, theirs, restored, reference, "clip" if video else "image")
    return [Pair(path.relative_to(restored).as_posix(), path, theirs[name]) for name, path in ours.items()]


def holds_videos(path: Path) -> bool:
    """Whether a path is a video file, or a folder with some and no image."""
    from adc.media.images import EXTENSIONS
    from adc.media.video_reader import VIDEO_EXTENSIONS

    endings = {file.suffix.lower() for file in ([path] if path.is_file() else path.rglob("*"))}
    return not endings.isdisjoint(VIDEO_EXTENSIONS) and endings.isdisjoint(EXTENSIONS)


def frames(pair: Pair, video: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Restored and reference frames ``(3, H, W)`` in ``[-1, 1]``, one after the other.

    Raises:
        ValueError: If sizes or numbers of frames differ, or a file cannot be read; the message names it.
    """
    if video and pair.restored.is_dir() and pair.reference.is_dir():
        ours, theirs = (
            _by_name((file.stem, file) for file in _frames_in(path)) for path in (pair.restored, pair.reference)
        )
        _check(ours, theirs, pair.restored, pair.reference, "frame")
        couples: Iterator = ((_frame(path), _frame(theirs[name])) for name, path in ours.items())
    elif video:
        couples = zip_longest(_stream(pair.restored), _stream(pair.reference))
    else:
        couples = iter([(_frame(pair.restored), _frame(pair.reference))])
    for number, (restored, reference) in enumerate(couples):
        if restored is None or reference is None:
            short = pair.restored if restored is None else pair.reference
            raise ValueError(f"{short}: has {number} frames, fewer than its partner; cut both to one length.")
        if restored.shape != reference.shape:
            sizes = [f"{frame.shape[-1]}x{frame.shape[-2]}" for frame in (restored, reference)]
            raise ValueError(f"{pair.restored}: {sizes[0]} pixels, but {pair.reference} has {sizes[1]}.")
        yield restored, reference


def _is_single(path: Path, video: bool) -> bool:
    return path.is_file() or (video and bool(_frames_in(path)))


def _check(ours: dict[str, Path], theirs: dict[str, Path], restored: Path, reference: Path, kind: str) -> None:
    for here, there, folder in ((ours, theirs, reference), (theirs, ours, restored)):
        if lonely := [path for name, path in here.items() if name not in there]:
            raise ValueError(f"{folder}: no {kind} of the name of {_listed(lonely)}.")


def _images(folder: Path) -> dict[str, Path]:
    from adc.media.images import list_images, name_of

    return _by_name((name_of(path, folder), path) for path in list_images(folder))


def _clips(folder: Path) -> dict[str, Path]:
    from adc.media.video_reader import VIDEO_EXTENSIONS, is_video

    inside = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    chosen = [path for path in inside if (_frames_in(path) if path.is_dir() else is_video(path))]
    if not chosen:
        endings = ", ".join(VIDEO_EXTENSIONS)
        raise ValueError(f"{folder}: no clip in this folder (looked for folders of frames and {endings}).")
    return _by_name(
        (path.relative_to(folder).with_suffix("" if path.is_file() else path.suffix).as_posix(), path)
        for path in chosen
    )


def _by_name(named: Iterator[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise ValueError(f"{path} and {found[name]} have one name; remove one of them.")
        found[name] = path
    return found


def _frames_in(folder: Path) -> list[Path]:
    from adc.media.frame_folders import frame_files

    return frame_files(folder)


def _stream(path: Path) -> Iterator[Tensor]:
    """The frames of a video file or a folder, as `adc upscale` and training read them; damage is an error."""
    from adc.media.frame_folders import FrameFolder
    from adc.media.video_reader import VideoReader

    with FrameFolder(path) if path.is_dir() else VideoReader(path) as video:
        for frame in video.frames():
            if video.damage:
                break
            yield frame.pixels
        if video.damage:
            raise ValueError(f"{path}: damaged ({video.damage[0]}); replace it.")


def _frame(path: Path) -> Tensor:
    from adc.media.images import read_image, to_frame

    return to_frame(read_image(path))


def _listed(paths: Sequence[Path]) -> str:
    rest = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(str(path) for path in paths[:NAMED]) + rest
