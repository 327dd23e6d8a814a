"""Makes clips of photos, over which a camera moves: videos, or folders of frames, for training and for tests.

python tools/make_clips.py data/lsdir data/clips --frames 25 --height 512 --width 512

The photos are searched with sub-folders and tar files; those smaller than the frame are left out and named. A clip
is a function of the seed and the photo's number, appears when it is whole, and is not made again if it is there.
Recipes can do without the files: DegradedClips with a camera draws new clips of photos in every epoch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from adc.data.bundled import training_photos
from adc.data.datasets.camera import Camera
from adc.degradation.draws import randint
from adc.media.frame_folders import FrameFolderWriter
from adc.media.images import list_photos, read_image
from adc.media.names import VIDEO_WRITTEN, name_of
from adc.media.tar_shards import TarMember
from adc.media.video_reader import Frame
from adc.media.video_writer import VideoWriter
from adc.ops.random import generator_of

FRAMES = "frames"


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes:
        camera: How it moves.
        frames: Frames per clip.
        size: Height and width.
        ending: Of the video files, or `FRAMES` for folders of frames.
        rate: Frames per second of a video.
        each: Clips per photo.
        seed: Of all draws.
    """

    camera: Camera
    frames: int = 25
    size: tuple[int, int] = (512, 512)
    ending: str = ".mp4"
    rate: int = 25
    each: int = 1
    seed: int = 0

    def check(self) -> None:
        """Refuse numbers below 1, unknown endings, and videos with odd sides."""
        numbers = {"frames": self.frames, "height": self.size[0], "width": self.size[1], "rate": self.rate}
        for key, number in {**numbers, "each": self.each}.items():
            if number < 1:
                raise ValueError(f"{key}: {number} is less than 1.")
        if self.ending not in (*VIDEO_WRITTEN, FRAMES):
            raise ValueError(f"as: '{self.ending}' is neither '{FRAMES}' nor one of {', '.join(VIDEO_WRITTEN)}.")
        if self.ending != FRAMES and (self.size[0] % 2 or self.size[1] % 2):
            raise ValueError(f"height, width: {self.size[0]}, {self.size[1]}; of videos they are even.")


def make(folder: Path | None, out: Path, order: Order) -> tuple[list[Path], list[str]]:
    """Make all clips.

    Args:
        folder: Holds the photos; the bundled ones if none.
        out: Where the clips go; what is there already is kept.
        order: What is to be made.

    Returns:
        The clips, and the photos that are too small.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a number is out of range, or no photo is large enough.
    """
    from rich.progress import track

    order.check()
    photos: Sequence[Path | TarMember] = training_photos() if folder is None else list_photos(folder)
    made, small = [], []
    for index in track(range(len(photos)), description="photos"):
        photo = read_image(photos[index])
        if photo.shape[0] < order.size[0] or photo.shape[1] < order.size[1]:
            small.append(f"{photos[index]} ({photo.shape[1]}x{photo.shape[0]})")
            continue
        for number in range(order.each):
            name = name_of(photos[index], folder) + (f"_{number}" if order.each > 1 else "")
            path = out / (name if order.ending == FRAMES else f"{name}{order.ending}")
            if path in made:
                raise ValueError(f"{photos[index]}: another photo has the name {name}. Rename one of them.")
            if not path.exists():
                _write(path, _clip(photos, index, number, order), order)
            made.append(path)
    if not made:
        raise ValueError(f"{folder}: no photo is as large as {order.size[1]}x{order.size[0]}. Lower height and width.")
    return made, small


def _clip(photos: Sequence[Path | TarMember], index: int, number: int, order: Order) -> Tensor:
    generator = generator_of(order.seed, index, number)
    front = None
    if len(photos) > 1 and order.camera.has_foreground(generator):
        front = read_image(photos[(index + randint(generator, 1, len(photos) - 1)) % len(photos)])
    return order.camera.clip(read_image(photos[index]), order.frames, order.size, generator, front)


def _write(path: Path, clip: Tensor, order: Order) -> None:
    if order.ending != FRAMES:
        with VideoWriter(path, rate=order.rate) as writer:
            for frame in _frames(clip):
                writer.write(frame)
        return
    partial = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    writer = FrameFolderWriter(partial)
    for frame in _frames(clip):
        writer.write(frame)
    partial.rename(path)


def _frames(clip: Tensor) -> Iterator[Frame]:
    return (Frame(pixels, number, 1) for number, pixels in enumerate(clip))


def main(argv: list[str] | None = None) -> int:
    """Make clips of a folder of photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the photos; 'bundled' takes those of scikit-image")
    parser.add_argument("out", type=Path, help="where the clips go")
    parser.add_argument("--frames", type=int, default=25, help="frames per clip (25)")
    parser.add_argument("--height", type=int, default=512, help="of the frames (512)")
    parser.add_argument("--width", type=int, default=512, help="of the frames (512)")
    parser.add_argument("--as", dest="ending", default=".mp4", help="ending of the videos, or 'frames' (.mp4)")
    parser.add_argument("--rate", type=int, default=25, help="frames per second of a video (25)")
    parser.add_argument("--each", type=int, default=1, help="clips per photo (1)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    parser.add_argument("--speed", type=float, default=6.0, help="most pixels a picture moves per frame (6)")
    parser.add_argument("--zoom", type=float, default=2.0, help="most pixels of the photo along one of the frame (2)")
    parser.add_argument("--turn", type=float, default=5.0, help="most degrees to either side (5)")
    parser.add_argument("--foreground", type=float, default=0.5, help="chance that something moves in front (0.5)")
    given = parser.parse_args(argv)
    folder = None if given.folder == Path("bundled") else given.folder
    try:
        camera = Camera(given.speed, given.zoom, given.turn, given.foreground)
        size = (given.height, given.width)
        order = Order(camera, given.frames, size, given.ending, given.rate, given.each, given.seed)
        made, small = make(folder, given.out, order)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"make_clips: error: {error}\n")
        return 1
    if small:
        sys.stderr.write(f"make_clips: {len(small)} photos are smaller than the frame: {', '.join(small)}\n")
    print(f"{len(made)} clips are in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
