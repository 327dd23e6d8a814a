import pytest
import torch
from adc_tiny import Bicubic
from torch import nn

from adc.inference.bands import resized
from adc.inference.restore import Tiling, restore_bands, restore_image
from adc.inference.tiles import BAND, FADE, Axis, blend_weights, in_bands, plan_tiles
from adc.interfaces import Restorer
from adc.ops.clip import upsample_bicubic
from adc.ops.color import adain, wavelet


class Normalising(Restorer):
    """Convolutions with a normalisation between them: a tile is not what the whole makes of it."""

    scale = 4

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 48, 5, padding=2)
        )

    def restore(self, lr, generator=None):
        detail = nn.functional.pixel_shuffle(self.layers(lr.flatten(0, 1)), 4).unflatten(0, lr.shape[:2])
        return upsample_bicubic(lr, 4) + 0.02 * detail


def smooth(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return upsample_bicubic(torch.rand(1, 1, 3, height // 8, width // 8, generator=generator) * 2 - 1, 8).clamp(-1, 1)


def halves(height, width):
    lr = smooth(height, width) * 0.3
    lr[..., : width // 2] += torch.tensor([0.65, -0.6, -0.6]).view(3, 1, 1)
    lr[..., width // 2 :] += torch.tensor([-0.6, -0.5, 0.65]).view(3, 1, 1)
    return lr.clamp(-1, 1)


@pytest.mark.parametrize("side", [1, 15, 16, 63, 64, 65, 100, 255, 1000, 1501])
@pytest.mark.parametrize(("longest", "overlap"), [(16, 0), (17, 8), (64, 31), (128, 32), (250, 16)])
def test_tiles_cover_a_side(side, longest, overlap):
    axis = plan_tiles(side, longest, overlap)
    assert 16 <= axis.tile <= max(longest, 16)
    assert axis.starts[0] == 0 and axis.covered >= side and axis.starts[-1] < side
    for before, after in zip(axis.starts, axis.starts[1:], strict=False):
        assert before < after <= before + axis.tile - overlap
    total = torch.zeros(axis.covered * 2)
    for start, share in zip(axis.starts, blend_weights(axis, 2), strict=True):
        total[start * 2 : (start + axis.tile) * 2] += share
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("lr", [smooth(160, 224), halves(160, 224)], ids=["photo", "halves"])
def test_no_seam_can_be_found(lr):
    restorer = Normalising()
    whole, tiled = restore_image(restorer, lr), restore_image(restorer, lr, tile=96, overlap=32)
    error = ((whole - tiled) / 2).square().mean((0, 1, 2))
    assert -10 * error.mean().log10() >= 35
    rows, columns = plan_tiles(160, 96, 32), plan_tiles(224, 96, 32)
    border = torch.zeros(error.shape, dtype=torch.bool)
    for begin in rows.starts[1:]:
        border[begin * 4 : (begin + 32) * 4] = True
    for begin in columns.starts[1:]:
        border[:, begin * 4 : (begin + 32) * 4] = True
    assert error[border].mean().sqrt() <= 1.2 * error[~border].mean().sqrt()


class Local(Restorer):
    """Three convolutions padded with zeros: what a pixel becomes depends on three around it."""

    scale = 4

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
        self.shown = []

    def restore(self, lr, generator=None):
        self.shown.append(tuple(lr.shape))
        return upsample_bicubic(self.layers(lr.flatten(0, 1)).unflatten(0, lr.shape[:2]), 4)


@pytest.mark.parametrize("size", [(160, 224), (150, 203), (64, 129), (20, 201)])
@pytest.mark.parametrize("batch", [1, 4])
def test_tiles_of_a_local_network_are_the_whole(size, batch):
    lr, restorer = torch.rand(1, 1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1, Local()
    whole = restore_image(restorer, lr)
    torch.testing.assert_close(restore_image(restorer, lr, tile=96, overlap=32, batch=batch), whole, rtol=0, atol=1e-5)
    assert all(max(shown[-2:]) <= 96 for shown in restorer.shown[1:])


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize(("overlap", "fade"), [(6, 3), (15, 7.5), (32, FADE)])
def test_tiles_fade_in_the_middle_of_what_they_share(scale, overlap, fade):
    first, second = blend_weights(Axis(80 - overlap, 40, (0, 40 - overlap)), scale)
    shared = overlap * scale
    both = torch.stack([first[-shared:], second[:shared]])
    place = (torch.arange(shared) + 0.5) / scale - overlap / 2
    assert (both[0, place < -fade / 2] > 0.999).all() and (both[1, place > fade / 2] > 0.999).all()
    assert (both[:, place.abs() < fade / 2 - 1] > 0.001).all()
    torch.testing.assert_close(both[0], both[1].flip(0))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_of_tiles_change_nothing(batch):
    lr = smooth(96, 200)
    one = restore_image(Normalising(), lr, tile=64, overlap=16)
    torch.testing.assert_close(restore_image(Normalising(), lr, tile=64, overlap=16, batch=batch), one)


@pytest.mark.parametrize("tile", [None, 64])
def test_colors_by_bands_are_those_of_the_whole(tile, tmp_path):
    lr = halves(80, 104)
    plain = restore_image(Normalising(), lr, tile, 16)
    raw = torch.cat(
        list(in_bands(Normalising().restore_tiles, lr, 4, plan_tiles(80, tile, 16), plan_tiles(104, tile, 16))), -2
    )
    expected = {"none": raw, "adain": adain(raw, lr), "wavelet": wavelet(raw, upsample_bicubic(lr, 4))}
    torch.testing.assert_close(plain, raw.detach().clamp(-1, 1))
    for color, whole in expected.items():
        bands = list(restore_bands(Normalising(), lr, Tiling(tile, 16), color, scratch=tmp_path))
        assert max(band.shape[-2] for band in bands) <= BAND
        torch.testing.assert_close(torch.cat(bands, -2), whole.detach().clamp(-1, 1), rtol=0, atol=2e-5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wanted", [(60, 90), (200, 311), (320, 416), (7, 5), (500, 416)])
def test_a_size_by_bands_is_that_of_the_whole(wanted):
    picture = smooth(320, 416)
    whole = torch.cat(list(resized([picture], (320, 416), wanted)), -2)
    pieces = torch.cat(list(resized(picture.split(50, -2), (320, 416), wanted)), -2)
    assert whole.shape[-2:] == wanted
    torch.testing.assert_close(pieces, whole)


def test_another_size():
    hr = restore_image(Bicubic(), smooth(40, 56), size=(100, 140))
    assert hr.shape == (1, 1, 3, 100, 140)


def test_what_is_no_number_is_refused():
    class Broken(Bicubic):
        def restore(self, lr, generator=None):
            return super().restore(lr) * float("nan")

    with pytest.raises(ValueError, match="not finite"):
        restore_image(Broken(), smooth(32, 32))
