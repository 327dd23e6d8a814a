"""Pairs of restored and reference images and clips, by name, and the frames in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from torch import Tensor

from adc.errors import UsageError
from adc.media.frame_folders import FrameFolder, frame_files
from adc.media.image_files import decode_image
from adc.media.images import EXTENSIONS, list_images, name_of, read_image, to_frame
from adc.media.pairing import by_name, check_partners
from adc.media.pixels import eight_bits, over_white, profile_name
from adc.media.video_reader import VIDEO_EXTENSIONS, VideoReader
from adc.media.video_source import list_video_sources
from adc.progress import note


@dataclass(frozen=True)
class Pair:
    """A restored image or clip and its reference: image files, video files, folders of frames.

    Attributes:
        name: That of the reference, its path in a folder: the same for every method, whatever their formats.
    """

    name: str
    restored: Path
    reference: Path


def find_pairs(restored: Path, reference: Path, video: bool) -> list[Pair]:
    """Pairs by name; the format may differ. Two single files, or two single clips, need no common name.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        UsageError: If one is a single item and the other a folder of them.
        ValueError: If an item has no partner, or two; the message names it.
    """
    for path in (restored, reference):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder.")
    one, other = (path.is_file() or (video and bool(frame_files(path))) for path in (restored, reference))
    if one != other:
        single, folder = (restored, reference) if one else (reference, restored)
        raise UsageError(
            f"{single} is a clip and {folder} a folder of clips; give two clips or two folders."
            if video
            else f"{single} is a file and {folder} a folder; give two files or two folders."
        )
    if one:
        return [Pair(reference.name, restored, reference)]  # by which results of several methods meet
    found, references = (_named(path, video) for path in (restored, reference))
    check_partners(found, references, restored, reference)
    partners = {name: references[name] for name in found}
    return [
        Pair(partners[name].relative_to(reference).as_posix(), path, partners[name]) for name, path in found.items()
    ]


def holds_videos(path: Path) -> bool:
    """Whether a path is a video file, or a folder with some and no image."""
    endings = {file.suffix.lower() for file in ([path] if path.is_file() else path.rglob("*"))}
    return not endings.isdisjoint(VIDEO_EXTENSIONS) and endings.isdisjoint(EXTENSIONS)


def frames(pair: Pair, video: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Restored and reference frames ``(3, H, W)`` in ``[-1, 1]``, one after the other.

    Raises:
        ValueError: If sizes or numbers of frames differ, or a file cannot be read; the message names it.
    """
    if video and pair.restored.is_dir() and pair.reference.is_dir():
        found, references = (
            by_name((file.stem, file) for file in frame_files(path)) for path in (pair.restored, pair.reference)
        )
        check_partners(found, references, pair.restored, pair.reference)
        pairs: Iterator = ((_frame(path), _frame(references[name])) for name, path in found.items())
    elif video:
        pairs = zip_longest(_stream(pair.restored), _stream(pair.reference))
    else:
        pairs = iter([_images(pair)])
    for number, (restored, reference) in enumerate(pairs):
        if restored is None or reference is None:
            short = pair.restored if restored is None else pair.reference
            raise ValueError(f"{short}: has {number} frames, fewer than its partner; cut both to one length.")
        if restored.shape != reference.shape:
            sizes = [f"{frame.shape[-1]}x{frame.shape[-2]}" for frame in (restored, reference)]
            raise ValueError(f"{pair.restored}: {sizes[0]} pixels, but {pair.reference} has {sizes[1]}.")
        yield restored, reference


def _named(folder: Path, video: bool) -> dict[str, Path]:
    """The images of a folder, or its clips, by name."""
    if not video:
        return by_name((name_of(path, folder), path) for path in list_images(folder))
    sources = sorted(list_video_sources(str(folder)), key=lambda source: Path(str(source.path)))
    return by_name((source.name, Path(str(source.path))) for source in sources)


def _stream(path: Path) -> Iterator[Tensor]:
    """The frames of a video file or a folder, as `adc upscale` and training read them; damage is an error."""
    with nullcontext(FrameFolder(path)) if path.is_dir() else VideoReader(path) as video:
        for frame in video.frames():
            if video.damage:
                break
            yield frame.pixels
        if video.damage:
            raise ValueError(f"{path}: damaged ({video.damage[0]}); replace it.")


def _images(pair: Pair) -> tuple[Tensor, Tensor]:
    """Both images of a pair; what makes them hard to compare is noted."""
    found = [decode_image(path) for path in (pair.restored, pair.reference)]
    transparent = [image.is_transparent for image in found]
    if transparent[0] != transparent[1]:
        which = pair.restored if transparent[0] else pair.reference
        note(f"{pair.restored}: of it and {pair.reference} only {which} is transparent; it was laid over white")
    spaces = [profile_name(image.metadata.icc) for image in found]
    if spaces[0] != spaces[1]:
        note(
            f"{pair.restored}: its colours are {spaces[0]}, those of {pair.reference} {spaces[1]}; values were compared"
        )
    one, other = (to_frame(eight_bits(over_white(image.pixels, image.alpha))) for image in found)
    return one, other


def _frame(path: Path) -> Tensor:
    return to_frame(read_image(path))
