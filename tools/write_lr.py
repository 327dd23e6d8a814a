"""Writes one degraded small photo of each photo of a folder, for one to tag them as training sees them.

python tools/write_lr.py data/lsdir lr --preset adcsr
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from _command import run


def write_lr(
    photos: str, out: str, preset: Literal["adcsr", "pisasr", "real-esrgan"] = "adcsr", size: int = 512, seed: int = 0
) -> None:
    """Write ``NAME.png`` for each photo: its middle, degraded to a quarter of the size.

    Args:
        photos: A folder of photos or of tar shards.
        out: The folder to write; what is there already stays.
        preset: Of the second-order degradation.
        size: Largest height and width of the middle that is degraded, a multiple of 4.
        seed: Of what is drawn; each photo has its own draw.
    """
    import torch
    from PIL import Image
    from rich.progress import track

    from adc.degradation import SecondOrder
    from adc.media.images import list_photos, read_image, to_bytes, to_frame
    from adc.media.names import name_of

    degradation, home = SecondOrder(preset), Path(out)
    for number, photo in enumerate(track(list_photos(photos), description="photos")):
        path = home / f"{name_of(photo, photos)}.png"
        if path.is_file():
            continue
        frame = to_frame(read_image(photo))
        height, width = (min(size, side) // degradation.scale * degradation.scale for side in frame.shape[-2:])
        top, left = (frame.shape[-2] - height) // 2, (frame.shape[-1] - width) // 2
        middle = frame[None, :, top : top + height, left : left + width]
        small = degradation(middle, torch.Generator().manual_seed(seed * 1_000_003 + number))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(to_bytes(small[0])).save(path)


if __name__ == "__main__":
    sys.exit(run(write_lr))
