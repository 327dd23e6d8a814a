"""Tiles of the student that ships with adc, beside the picture taken whole."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from adc_sd21 import AdcSRStudent

from adc.data.bundled import photo_path
from adc.inference.tiles import in_bands, plan_tiles
from adc.media.images import read_image, to_frame
from adc.ops.color import adain

HEIGHT, WIDTH, TILE, OVERLAP = 100, 176, 80, 32
LEFT, RIGHT = (0.65, -0.6, -0.6), (-0.6, -0.5, 0.65)


def photo():
    """A piece of a photograph, reduced by two."""
    frame = to_frame(read_image(photo_path("coffee")))
    return F.avg_pool2d(frame[:, 100 : 100 + 2 * HEIGHT, 120 : 120 + 2 * WIDTH], 2)[None, None]


def halves():
    """The same, its left half red and its right half blue."""
    lr = photo() * 0.3
    for half, color in ((lr[..., : WIDTH // 2], LEFT), (lr[..., WIDTH // 2 :], RIGHT)):
        half += torch.tensor(color).view(3, 1, 1)
    return lr.clamp(-1, 1)


@pytest.fixture(scope="module")
def student():
    return AdcSRStudent(folder="demo").eval()


@pytest.mark.parametrize("picture", [photo, halves])
def test_no_seam_can_be_found(student, picture):
    lr = picture()
    rows, columns = plan_tiles(HEIGHT, TILE, OVERLAP), plan_tiles(WIDTH, TILE, OVERLAP)
    with torch.no_grad():
        whole, tiled = (
            student.restore(lr),
            torch.cat(list(in_bands(student.restore_tiles, lr, 4, rows, columns)), dim=-2),
        )
    border = torch.zeros(tiled.shape[-2:], dtype=torch.bool)
    for axis, area in ((rows, border), (columns, border.T)):
        for before, begin in pairwise(axis.starts):
            area[begin * 4 : (before + axis.tile) * 4] = True
    assert 0.2 < border.float().mean() < 0.8
    for color in (lambda hr: hr, lambda hr: adain(hr, lr)):
        error = ((color(whole).clamp(-1, 1) - color(tiled).clamp(-1, 1)) / 2)[0, 0]
        assert -10 * error.square().mean().log10() > 42  # group normalisation and attention see the tile
        for power in (1, 2):
            found = error.abs().pow(power).mean(dim=0)
            assert (found[border].mean() / found[~border].mean()) ** (1 / power) <= 1.2
