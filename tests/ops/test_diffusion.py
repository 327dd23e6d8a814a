import pytest
import torch

from adc.ops import diffusion


def test_the_schedule_of_stable_diffusion():
    alphas = diffusion.scaled_linear_alphas()
    assert alphas.shape == (1000,)
    assert alphas[0].item() == pytest.approx(1 - 0.00085, abs=1e-7)
    assert alphas[999].item() == pytest.approx(0.00466010, abs=5e-9)
    assert (alphas.diff() < 0).all()


def test_the_schedule_is_a_product_in_double_precision_too():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    exact = torch.cumprod(1 - betas, dim=0)
    assert torch.allclose(diffusion.scaled_linear_alphas().double(), exact, rtol=2e-5)


@pytest.mark.parametrize("step", [0, 399, 999])
def test_clean_from_noise_inverts_mixing(step):
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 1, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    alpha = diffusion.scaled_linear_alphas()[step].item()
    mixed = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
    assert torch.allclose(diffusion.clean_from_noise(mixed, noise, alpha), clean, atol=1e-12)


def test_an_error_of_the_noise_grows_by_what_the_reference_says():
    """``1 / sqrt(a_999)`` is about 14.65 (AdcSR's teacher is asked at the last step)."""
    alpha = diffusion.scaled_linear_alphas()[999].item()
    zero, one = torch.zeros(1), torch.ones(1)
    assert -diffusion.clean_from_noise(zero, one, alpha).item() == pytest.approx(14.65 * 0.9976672, rel=1e-3)
