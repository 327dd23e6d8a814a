import math

import pytest
import torch

from adc.degradation.draws import bernoulli, categorical, randint, uniform
from adc.degradation.kernels import KINDS, distance, draw_blur, draw_sinc, draw_size, gaussian, plateau, sinc
from adc.degradation.presets import SecondOrderValues


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", range(7, 22, 2))
def test_every_kernel_sums_to_one_and_is_symmetric(size):
    for kernel in (
        gaussian(size, 0.2, 0.2),
        gaussian(size, 2.5, 0.7, 0.4, 0.6),
        plateau(size, 1.0, 2.0, -1.0, 1.7),
        sinc(size, math.pi / 3),
        sinc(size, math.pi),
    ):
        assert kernel.shape == (size, size) and kernel.dtype == torch.float32
        assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(kernel, kernel.flip(0, 1))


def test_gaussian_is_the_closed_form():
    kernel = gaussian(21, 1.5, 1.5)
    line = torch.exp(-(torch.arange(-10, 11.0) ** 2) / (2 * 1.5**2))
    torch.testing.assert_close(kernel, torch.outer(line, line) / line.sum() ** 2)


def test_rotation_turns_the_first_axis():
    assert distance(7, 2.0, 1.0)[3, 5].item() == pytest.approx(1)
    assert distance(7, 2.0, 1.0, math.pi / 2)[5, 3].item() == pytest.approx(1)
    torch.testing.assert_close(gaussian(9, 2.0, 1.0, math.pi / 2), gaussian(9, 2.0, 1.0).T)
    diagonal = distance(9, 3.0, 1.0, math.pi / 4)
    assert diagonal[6, 6].item() == pytest.approx(8 / 9) and diagonal[6, 2].item() == pytest.approx(8)


def test_generalised_and_plateau_ratios():
    wide = gaussian(9, 1.0, 1.0, beta=2.0)
    assert (wide[4, 6] / wide[4, 4]).item() == pytest.approx(math.exp(-0.5 * 4**2))
    flat = plateau(9, 1.0, 1.0, beta=1.5)
    assert (flat[4, 6] / flat[4, 4]).item() == pytest.approx(1 / (1 + 4**1.5))


def test_sinc_passes_below_its_cutoff_only():
    cutoff, size = 2 * math.pi * 50 / 201, 201
    response = torch.fft.rfft2(torch.fft.ifftshift(sinc(size, cutoff))).real[0]
    frequency = 2 * math.pi * torch.arange(len(response)) / size
    assert response[frequency < 0.8 * cutoff].sub(1).abs().max() < 0.1
    assert response[frequency > 1.2 * cutoff].abs().max() < 0.1
    assert response[50].item() == pytest.approx(0.5, abs=0.05)


def test_an_even_size_is_refused():
    with pytest.raises(ValueError, match="odd size, not 8"):
        gaussian(8, 1.0, 1.0)


def test_sizes_are_the_odd_numbers_from_7_to_21():
    generator = seeded()
    assert {draw_size(generator) for _ in range(300)} == set(range(7, 22, 2))


@pytest.mark.parametrize("kind", range(6))
def test_kinds_are_what_they_say(kind):
    probabilities = tuple(float(index == kind) for index in range(6))
    values = SecondOrderValues((15, 15), probabilities, beta_gaussian=(0.5, 2.0), beta_plateau=(1.0, 1.5))
    kernel = draw_blur(seeded(3), values, 0.0, (1.0, 3.0))
    is_round = torch.allclose(kernel, kernel.T, atol=1e-7) and torch.allclose(kernel, kernel.flip(0), atol=1e-7)
    assert is_round == (not KINDS[kind].endswith("anisotropic"))


def test_sinc_cutoffs_depend_on_the_size(monkeypatch):
    import adc.degradation.kernels as kernels

    seen = []
    monkeypatch.setattr(kernels, "sinc", lambda size, cutoff: seen.append(cutoff))
    generator = seeded()
    for size, lowest in ((11, math.pi / 3), (13, math.pi / 5)):
        seen.clear()
        for _ in range(200):
            draw_sinc(generator, size)
        assert lowest <= min(seen) < lowest + 0.1 and math.pi - 0.1 < max(seen) <= math.pi


def test_draws_follow_their_probabilities():
    generator = seeded()
    counts = torch.bincount(
        torch.tensor([categorical(generator, (0.2, 0.7, 0.1, 0.0)) for _ in range(2000)]), minlength=4
    )
    torch.testing.assert_close(counts / 2000, torch.tensor([0.2, 0.7, 0.1, 0.0]), atol=0.04, rtol=0)
    assert {randint(generator, 3, 5) for _ in range(100)} == {3, 4, 5}
    assert sum(bernoulli(generator, 0.25) for _ in range(2000)) / 2000 == pytest.approx(0.25, abs=0.04)
    assert not bernoulli(generator, 0.0) and bernoulli(generator, 1.0)
    assert all(2 <= uniform(generator, 2, 3) < 3 for _ in range(50))
