import pytest
import torch

from adc.ops.color import adain, brightness, luma, wavelet


def pictures(seed=0, size=(24, 20)):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 3, *size, generator=generator, dtype=torch.float64) * 2 - 1


def test_luma_of_black_white_and_the_primaries():
    colors = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    y = luma(colors[:, :, None, None]).flatten() * 255
    assert y.tolist() == pytest.approx([16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966])


def test_adain_takes_mean_and_spread():
    picture, colors = pictures(0), pictures(1, (7, 9)) * 0.3 + 0.4
    result = adain(picture, colors, eps=0.0)
    torch.testing.assert_close(result.mean((-2, -1)), colors.mean((-2, -1)))
    torch.testing.assert_close(result.std((-2, -1)), colors.std((-2, -1)))
    torch.testing.assert_close(adain(picture, picture), picture)


def test_adain_of_a_flat_picture_is_flat():
    flat, colors = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), -0.25)
    torch.testing.assert_close(adain(flat, colors), colors)


def test_wavelet_moves_the_coarse_part_only():
    picture = pictures()
    torch.testing.assert_close(wavelet(picture, picture), picture)
    torch.testing.assert_close(wavelet(picture, picture + 0.25), picture + 0.25)
    checks = torch.ones(1, 3, 8, 8)
    checks[..., ::2] = -1
    interior = wavelet(torch.zeros_like(checks), checks, levels=1)[..., 1:-1]
    torch.testing.assert_close(interior, torch.zeros_like(interior))


def test_one_step_of_the_wavelet_is_the_binomial_kernel():
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 16
    expected = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    torch.testing.assert_close(wavelet(torch.zeros_like(dot), dot, levels=1)[0, 0, 1:4, 1:4], expected)


def test_brightness_is_the_luma_of_yiq():
    colors = torch.eye(3).view(3, 3, 1, 1)
    torch.testing.assert_close(brightness(colors).flatten(), torch.tensor([0.299, 0.587, 0.114]))
