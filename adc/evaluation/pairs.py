"""Pairs of restored and reference images and clips, by name, and the frames in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from torch import Tensor

from adc.errors import UsageError
from adc.media.frame_folders import FrameFolder
from adc.media.image_files import decode_image
from adc.media.images import list_images, to_frame
from adc.media.names import EXTENSIONS, VIDEO_EXTENSIONS, describe_rest, frame_files, is_video, list_files, name_of
from adc.media.pairing import by_name, partners
from adc.media.pixels import eight_bits, over_white, profile_name
from adc.media.png import is_srgb
from adc.media.video_reader import VideoReader
from adc.media.video_source import list_video_sources
from adc.ops.clip import quantize

SCALES = (2, 3, 4, 6, 8, 16)
"""Scales to whose multiples references are cropped."""
SAME_RATE = 0.005
"""Up to which part rates are taken for one: headers round them, and 29.97 is 30."""
Report = Callable[[str], None]
"""Takes a note of a few words, without the name of the pair."""


@dataclass(frozen=True)
class Pair:
    """A restored image or clip and its reference: image files, video files, folders of frames.

    Attributes:
        name: That of the reference, its path in a folder: the same for every method, whatever their formats.
    """

    name: str
    restored: Path
    reference: Path


def find_pairs(
    restored: Path, reference: Path, video: bool, partial: bool = False, report: Report = lambda _: None
) -> list[Pair]:
    """Pairs by name (`adc.media.pairing.partners`); the format may differ. Two single files, or clips, need none.

    Names that differ and what is left out are reported.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        UsageError: If one is a single item and the other a folder of them.
        ValueError: If an item has no partner (unless `partial`: it is left out), or two; the message names it.
    """
    for path in (restored, reference):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder.")
    one, other = (path.is_file() or (video and _is_clip(path)) for path in (restored, reference))
    if one != other:
        single, folder = (restored, reference) if one else (reference, restored)
        raise UsageError(
            f"{single} is a clip and {folder} a folder of clips; give two clips or two folders."
            if video
            else f"{single} is a file and {folder} a folder; give two files or two folders."
        )
    if one:
        return [Pair(reference.name, restored, reference)]  # by which results of several methods meet
    found, references = (_named(path, video, report) for path in (restored, reference))
    try:
        matched, notes = partners(found, references, restored, reference, partial)
    except ValueError as error:
        raise ValueError(f"{error} To leave out what has no partner, take --partial.") from None
    for line in notes:
        report(line)
    return [Pair(truth.relative_to(reference).as_posix(), path, truth) for _, path, truth in matched]


def holds_videos(path: Path) -> bool:
    """Whether a path is a video file, or a folder with some and no image."""
    files = list_files(path) if path.exists() else []
    endings = {file.suffix.lower() for file in files if not file.name.startswith(".")}
    return not endings.isdisjoint(VIDEO_EXTENSIONS) and endings.isdisjoint(EXTENSIONS)


def frames(pair: Pair, video: bool, report: Report = lambda _: None) -> Iterator[tuple[Tensor, Tensor]]:
    """Restored and reference frames ``(3, H, W)`` in ``[-1, 1]``, one after the other.

    A reference that is larger by the rest of a division by the scale is cropped at the right and at the bottom.

    Raises:
        ValueError: If sizes or numbers of frames differ, or a file cannot be read; the message names it.
    """
    if video:
        _compare_times(pair, report)
    if video and pair.restored.is_dir() and pair.reference.is_dir():
        pairs: Iterator = (_images(one, other, report) for one, other in _frame_pairs(pair, report))
    elif video:
        pairs = zip_longest(_stream(pair.restored), _stream(pair.reference))
    else:
        pairs = iter([_images(pair.restored, pair.reference, report)])
    for number, (restored, reference) in enumerate(pairs):
        if restored is None or reference is None:
            short = pair.restored if restored is None else pair.reference
            held = f"{number} frame{'' if number == 1 else 's'}"
            raise ValueError(f"{short}: has {held}, fewer than its partner; cut both to one length.")
        size = restored.shape[-2:]
        if size != reference.shape[-2:] and size in _cropped_sizes(*reference.shape[-2:]):
            reference = reference[..., : size[0], : size[1]]
            report("the reference was cropped at the right and bottom to the result's size, a multiple of the scale")
        if restored.shape != reference.shape:
            sizes = [f"{frame.shape[-1]}x{frame.shape[-2]}" for frame in (restored, reference)]
            raise ValueError(f"{pair.restored}: {sizes[0]} pixels, but {pair.reference} has {sizes[1]}.")
        yield restored, reference


def _cropped_sizes(height: int, width: int) -> list[tuple[int, int]]:
    return [(height - height % scale, width - width % scale) for scale in SCALES]


def _is_clip(folder: Path) -> bool:
    """Whether a folder holds frames, and no videos that these images only lie beside."""
    return bool(frame_files(folder)) and not any(is_video(path) for path in folder.iterdir())


def _named(folder: Path, video: bool, report: Report) -> dict[str, Path]:
    """The images of a folder, or its clips, by name; what else lies there is reported."""
    if video:
        clips = sorted((Path(str(source.path)), source.name) for source in list_video_sources(str(folder)))
        named = by_name((name, path) for path, name in clips if path.is_file() or _is_clip(path))
    else:
        named = by_name((name_of(path, folder), path) for path in list_images(folder))
    taken = {*named.values()}
    files = [path for path in list_files(folder) if not path.name.startswith(".")]
    if rest := describe_rest([path for path in files if taken.isdisjoint((path, path.parent))]):
        report(f"{folder}: {rest}")
    return named


def _frame_pairs(pair: Pair, report: Report) -> list[tuple[Path, Path]]:
    """The frames of two folders by name; by their order if they have no name in common and are equally many."""
    found, references = (
        by_name((file.stem, file) for file in frame_files(path)) for path in (pair.restored, pair.reference)
    )
    try:
        matched, notes = partners(found, references, pair.restored, pair.reference)
    except ValueError:
        if len(found) != len(references) or found.keys() & references.keys():
            raise
        report("frames have no name in common and were paired by their order")
        return [*zip(found.values(), references.values(), strict=True)]
    for line in notes:
        report(line)
    return [(one, other) for _, one, other in matched]


def _stream(path: Path) -> Iterator[Tensor]:
    """The frames of a video file or a folder in 8 bits, as `adc upscale` and training read them; damage is an error."""
    with nullcontext(FrameFolder(path)) if path.is_dir() else VideoReader(path) as video:
        for frame in video.frames():
            if video.damage:
                break
            yield quantize(frame.pixels) if isinstance(video, VideoReader) and video.deep else frame.pixels
        if video.damage:
            raise ValueError(f"{path}: damaged ({video.damage[0]}); replace it.")


def _compare_times(pair: Pair, report: Report) -> None:
    """Report gaps in the numbers of frames, and that two files are not equally fast: frames are compared in order."""
    rates: list[float] = []
    gaps: dict[str, None] = {}
    for path in (pair.restored, pair.reference):
        if path.is_dir():
            gaps |= {gap: None for gap in [FrameFolder(path).gap] if gap is not None}
        else:
            with VideoReader(path) as video:
                rates.append(float(video.rate))
    for gap in gaps:
        report(gap)
    if len(rates) == 2 and not math.isclose(*rates, rel_tol=SAME_RATE):
        pace = " and ".join(f"{rate:.5g}" for rate in rates)
        report(f"result and reference have {pace} frames per second; frames were compared by number, not by time")


def _images(restored: Path, reference: Path, report: Report) -> tuple[Tensor, Tensor]:
    """Both images of a pair, in 8 bits; damage and what makes them hard to compare are reported."""
    found = [decode_image(path) for path in (restored, reference)]
    for image, which in zip(found, ("result", "reference"), strict=True):
        for line in image.notes:
            report(f"the {which}: {line}")
    transparent = [image.is_transparent for image in found]
    if transparent[0] != transparent[1]:
        report(f"only the {'result' if transparent[0] else 'reference'} is transparent; it was laid over white")
    spaces = [profile_name(image.metadata.icc) for image in found]
    if spaces[0] != spaces[1]:
        report(f"the result's colours are {spaces[0]}, the reference's {spaces[1]}; values were compared")
    said = [{name: data for name, data in image.metadata.chunks.items() if not is_srgb(name, data)} for image in found]
    if different := sorted(name.decode() for name, _ in said[0].items() ^ said[1].items()):
        report(f"result and reference differ in what they say of their colours ({', '.join(dict.fromkeys(different))})")
    one, other = (to_frame(eight_bits(over_white(image.pixels, image.alpha))) for image in found)
    return one, other
