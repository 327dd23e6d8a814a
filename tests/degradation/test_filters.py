import pytest
import torch
import torch.nn.functional as F

from adc.degradation.codec import compress
from adc.degradation.filters import blur, gaussian_noise, poisson_noise, reflected, resize


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [7, 21])
def test_blur_is_a_mirrored_correlation(size):
    frames = torch.rand(2, 3, 33, 46, generator=seeded())
    kernel = torch.rand(size, size, generator=seeded(1))
    kernel /= kernel.sum()
    padded = F.pad(frames, (size // 2,) * 4, mode="reflect")
    expected = F.conv2d(padded, kernel.expand(3, 1, size, size), groups=3)
    torch.testing.assert_close(blur(frames, kernel), expected, atol=1e-5, rtol=0)


def test_blur_with_a_pulse_changes_nothing_even_on_tiny_frames():
    pulse = torch.zeros(21, 21)
    pulse[10, 10] = 1
    for shape in ((1, 3, 1, 1), (1, 3, 2, 5), (1, 3, 40, 24)):
        frames = torch.rand(shape, generator=seeded())
        torch.testing.assert_close(blur(frames, pulse), frames, atol=1e-5, rtol=0)


def test_reflected_folds_as_often_as_needed():
    assert reflected(3, 5, 4).tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    assert reflected(1, 2, 1).tolist() == [0, 0, 0, 0]


def test_resize_halves_by_averaging_and_keeps_what_fits():
    frames = torch.rand(1, 3, 8, 8, generator=seeded())
    torch.testing.assert_close(resize(frames, 4, 4, "area"), F.avg_pool2d(frames, 2))
    assert resize(frames, 8, 8, "bicubic") is frames
    assert resize(frames, 0, 0, "bilinear").shape == (1, 3, 1, 1)


def test_gaussian_noise_has_its_sigma():
    frames = torch.full((1, 3, 200, 200), 0.5)
    noise = gaussian_noise(frames, 10, False, seeded()) - frames
    assert noise.std().item() * 255 == pytest.approx(10, rel=0.02)
    assert not torch.equal(noise[:, 0], noise[:, 1])
    shared = gaussian_noise(frames, 10, True, seeded())
    assert torch.equal(shared[:, 0], shared[:, 1])
    assert torch.equal(gaussian_noise(frames, 0, False, seeded()), frames)


@pytest.mark.parametrize("is_gray", [False, True])
def test_poisson_noise_grows_with_brightness(is_gray):
    levels = torch.arange(64, 192) / 255
    frames = levels.repeat(1, 3, 600, 1)
    noise = (poisson_noise(frames, 0.5, is_gray, seeded()) - frames)[0]
    expected = levels / 128 * 0.5**2
    measured = noise.square().mean((0, 1))
    assert (measured[:64].mean() / expected[:64].mean()).item() == pytest.approx(1, rel=0.03)
    assert (measured[64:].mean() / expected[64:].mean()).item() == pytest.approx(1, rel=0.03)
    assert torch.equal(noise[0], noise[1]) == is_gray


def test_poisson_noise_of_eight_bit_values_has_the_deviation_of_doves_code():
    levels = torch.arange(256.0)
    frames = (levels / 255).repeat(1, 3, 800, 1)
    for scale in (1.0, 3.0):
        noise = (poisson_noise(frames, scale, False, seeded(), per_level=True) - frames)[0] * 255
        measured = noise.square().mean((0, 1)).sqrt()[30:220]
        expected = scale * (levels / 256).sqrt()[30:220]
        assert (measured / expected).mean().item() == pytest.approx(1, rel=0.005)
        assert (measured / expected - 1).abs().max() < 0.08
        whole = (poisson_noise(frames, scale / 30, False, seeded()) - frames)[0, :, :, 128] * 255
        assert whole.std().item() == pytest.approx(scale / 30 * (255 * 128 / 256) ** 0.5, rel=0.06)


def test_jpeg_loses_more_at_lower_quality_and_stays_on_the_grid():
    frames = F.interpolate(torch.rand(2, 3, 7, 9, generator=seeded()), size=(37, 50), mode="bilinear")
    errors = [(compress(frames, quality) - frames).abs().mean().item() for quality in (95, 60, 20)]
    assert errors[0] < errors[1] < errors[2] < 0.1
    steps = compress(frames, 50) * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert torch.equal(compress(frames, 50)[:1], compress(frames[:1], 50))
