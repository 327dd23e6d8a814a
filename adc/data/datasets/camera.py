"""Synthetic video clips of photos under a moving camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adc.degradation.draws import bernoulli, uniform
from adc.media.images import to_frame
from adc.ops.clip import quantize

WAVES = 3
"""Of the outline of what moves in front."""


@dataclass(frozen=True)
class CameraPath:
    """Path of a camera over a photo.

    Attributes:
        center: ``(T, 2)``, x and y in the photo of the middle of the frame; 0, 0 is the middle of the first pixel.
        zoom: ``(T,)``, pixels of the photo per pixel of the frame.
        angle: ``(T,)``, rotation of the camera in radians.
    """

    center: Tensor
    zoom: Tensor
    angle: Tensor


def glide(points: Tensor, frames: int) -> Tensor:
    """A smooth path ``(T, N)`` from the first of three points ``(3, N)`` to the last: a quadratic Bezier curve."""
    u = torch.linspace(0, 1, frames, dtype=torch.float64) if frames > 1 else torch.zeros(1, dtype=torch.float64)
    shares = torch.stack([(1 - u) ** 2, 2 * u * (1 - u), u**2], dim=1)
    return shares @ points.double()


def shoot(photo: Tensor, path: CameraPath, size: tuple[int, int]) -> Tensor:
    """Frames ``(T, C, height, width)`` of a camera over a photo ``(C, H, W)``, not clamped.

    Photos are sampled bicubically between their pixels, and their border is continued. Where a pixel of the frame
    covers several of the photo, it is the mean of ``n x n`` samples, ``n`` the largest zoom of the path rounded up:
    one number for the whole path, as otherwise the image would jump where the number changes.
    """
    height, width = photo.shape[-2:]
    samples = max(1, math.ceil(float(path.zoom.max()) - 1e-6))
    rows, columns = (_offsets(side, samples) for side in size)
    frames = []
    for center, zoom, angle in zip(path.center, path.zoom, path.angle, strict=True):
        cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        x = center[0] + cosine * columns[None, :] - sine * rows[:, None]
        y = center[1] + sine * columns[None, :] + cosine * rows[:, None]
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1).to(photo.dtype)
        sampled = F.grid_sample(photo[None], grid[None], "bicubic", "border", align_corners=False)
        frames.append(F.avg_pool2d(sampled, samples)[0])
    return torch.stack(frames)


def _offsets(side: int, samples: int) -> Tensor:
    """Sample positions in pixels from the middle of a side."""
    places = (torch.arange(side * samples, dtype=torch.float64) + 0.5) / samples
    return places - side / 2


class Camera:
    """Random clips of photos: the camera pans, zooms and turns smoothly, and something may move across in front of it.

    The motion is limited by the photo: of one that is no larger than the frame there is but one view. Photos are never
    magnified.
    """

    def __init__(self, speed: float = 6.0, zoom: float = 2.0, turn: float = 5.0, foreground: float = 0.5) -> None:
        """
        Args:
            speed: The most pixels by which anything in an image moves from one frame to the next, through the pan,
                through the zoom and through the turn: with all of them up to three times as many.
            zoom: The most pixels of the photo along a pixel of the frame, at least 1.
            turn: The most degrees by which the camera is turned to either side.
            foreground: Chance that a piece of another photo moves across.

        Raises:
            ValueError: If a number is out of range.
        """
        if speed < 0:
            raise ValueError(f"speed: {speed} pixels per frame; at least 0.")
        if zoom < 1:
            raise ValueError(f"zoom: {zoom} is less than 1; there a photo is not sharp.")
        if not 0 <= turn <= 45:
            raise ValueError(f"turn: {turn} degrees are not within [0, 45].")
        if not 0 <= foreground <= 1:
            raise ValueError(f"foreground: {foreground} is not a chance between 0 and 1.")
        self.speed, self.zoom, self.turn, self.foreground = speed, zoom, turn, foreground

    def has_foreground(self, generator: Generator) -> bool:
        """Whether something moves across in this clip."""
        return self.foreground > 0 and bernoulli(generator, self.foreground)

    def clip(
        self, photo: np.ndarray, frames: int, size: tuple[int, int], generator: Generator, front: np.ndarray | None
    ) -> Tensor:
        """A clip ``(T, 3, height, width)`` of a photo in ``[-1, 1]``, on the grid of 8-bit values.

        The photo, uint8 ``(H, W, 3)``, is at least as large as the frames. A piece of the `front` photo, if any, moves
        across.
        """
        seen = shoot(to_frame(photo), self.path(photo.shape[:2], frames, size, generator), size)
        if front is not None:
            seen = self._across(seen, front, generator)
        return quantize(seen)

    def path(self, photo: tuple[int, int], frames: int, size: tuple[int, int], generator: Generator) -> CameraPath:
        """A random path on which all frames of a size (height, width) lie inside of the photo."""
        largest = min(self.zoom, photo[0] / size[0], photo[1] / size[1])
        reach = self.speed * (frames - 1) / 2
        swing = reach / (math.hypot(*size) / 2)
        zooms = _wander(1, largest, swing, generator)
        widest = float(zooms.max())
        steepest = min(math.radians(self.turn), _steepest(photo, size, widest))
        angles = _wander(-steepest, steepest, swing, generator)
        angle = float(angles.abs().max())
        sides = (_extent(size[1], size[0], angle), _extent(size[0], size[1], angle))
        rooms = [max(0.0, side - widest * needed) for side, needed in zip(photo[::-1], sides, strict=True)]
        pan = reach * float(zooms.min()) / math.sqrt(2)
        ways = [_wander(-room / 2, room / 2, pan, generator) for room in rooms]
        middle = torch.tensor([(photo[1] - 1) / 2, (photo[0] - 1) / 2], dtype=torch.float64)
        return CameraPath(middle + glide(torch.stack(ways, dim=1), frames), glide(zooms, frames), glide(angles, frames))

    def _across(self, seen: Tensor, front: np.ndarray, generator: Generator) -> Tensor:
        """Lay a piece of a photo over a clip; its outline is round with waves, its path as smooth as the camera's."""
        frames, _, height, width = seen.shape
        radius = uniform(generator, 0.1, 0.3) * min(height, width)
        reach = self.speed * (frames - 1) / 2 / math.sqrt(2)
        ways = [_wander(-side / 2, side / 2, reach, generator) for side in (width, height)]
        way = glide(torch.stack(ways, dim=1), frames)
        outline = [(uniform(generator, 0, 0.3 / WAVES), uniform(generator, 0, 2 * math.pi)) for _ in range(WAVES)]
        rooms = [max(0.0, side - 2.6 * radius) for side in front.shape[1::-1]]
        place = torch.tensor([uniform(generator, -room / 2, room / 2) for room in rooms], dtype=torch.float64)
        middle = torch.tensor([(front.shape[1] - 1) / 2, (front.shape[0] - 1) / 2], dtype=torch.float64)
        still = torch.zeros(frames, dtype=torch.float64)
        piece = shoot(to_frame(front), CameraPath(middle + place - way, still + 1, still), (height, width))
        cover = torch.stack([_cover((height, width), center, radius, outline) for center in way]).to(seen.dtype)
        return seen + cover[:, None] * (piece - seen)


def _extent(own: float, other: float, angle: float) -> float:
    """Side of the bounding box of a frame that is turned by up to an angle."""
    most = min(angle, math.atan2(other, own))
    return own * math.cos(most) + other * math.sin(most)


def _steepest(photo: tuple[int, int], size: tuple[int, int], zoom: float) -> float:
    """The largest angle, up to 45 degrees, at which a turned frame still fits into a photo."""
    low, high = 0.0, math.pi / 4
    for _ in range(40):
        angle = (low + high) / 2
        fits = all(
            zoom * _extent(own, other, angle) <= side for side, own, other in zip(photo, size, size[::-1], strict=True)
        )
        low, high = (angle, high) if fits else (low, angle)
    return low


def _wander(low: float, high: float, reach: float, generator: Generator) -> Tensor:
    """Three numbers ``(3,)`` within ``[low, high]``, each at most ``reach`` from the one before."""
    places = [uniform(generator, low, high)]
    for _ in range(2):
        places.append(uniform(generator, max(low, places[-1] - reach), min(high, places[-1] + reach)))
    return torch.tensor(places, dtype=torch.float64)


def _cover(size: tuple[int, int], center: Tensor, radius: float, outline: list[tuple[float, float]]) -> Tensor:
    """Coverage of each pixel ``(H, W)`` by a piece; its edge is a pixel wide."""
    rows, columns = (_offsets(side, 1) for side in size)
    x, y = columns[None, :] - center[0], rows[:, None] - center[1]
    direction = torch.atan2(y, x.expand(size))
    bulge = sum(height * torch.cos((wave + 2) * direction + phase) for wave, (height, phase) in enumerate(outline))
    return (radius * (1 + bulge) - torch.hypot(x, y) + 0.5).clamp(0, 1)
