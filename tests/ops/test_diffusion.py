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


def scheduler(**changes):
    from diffusers import CogVideoXDPMScheduler

    config = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    return CogVideoXDPMScheduler(**{**config, "snr_shift_scale": 1.0, **changes})


@pytest.mark.parametrize(("shift", "at_399"), [(1.0, 0.393544), (3.0, 0.178615)])
def test_the_schedule_of_cogvideox(shift, at_399):
    alphas = diffusion.scaled_linear_alphas(precision=torch.float64)
    shifted = diffusion.shift_signal_to_noise(alphas, shift)
    assert torch.allclose(shifted / (1 - shifted), alphas / (1 - alphas) / shift)
    assert torch.allclose(shifted, scheduler(snr_shift_scale=shift, rescale_betas_zero_snr=False).alphas_cumprod)
    ours = diffusion.to_zero_terminal(shifted)
    assert torch.allclose(ours, scheduler(snr_shift_scale=shift).alphas_cumprod, atol=1e-12)
    assert ours[-1].item() == 0
    assert ours[0].item() == pytest.approx(shifted[0].item())
    assert ours[399].item() == pytest.approx(at_399, abs=5e-7)


def test_clean_from_velocity_inverts_mixing():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 1, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    for alpha in (0.0, 0.393544, 1.0):
        mixed = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
        velocity = alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean
        assert torch.allclose(diffusion.clean_from_velocity(mixed, velocity, alpha), clean, atol=1e-12)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_rounded_coefficients_are_those_of_diffusers(precision):
    published = scheduler()
    generator = torch.Generator().manual_seed(0)
    latent, velocity = (torch.randn(1, 2, 16, 8, 8, generator=generator).to(precision) for _ in range(2))
    alpha = published.alphas_cumprod[399].to(precision)
    ours = diffusion.clean_from_velocity(latent, velocity, alpha)
    assert torch.equal(ours, published.get_velocity(velocity, latent, torch.tensor([399])))
    if precision is torch.bfloat16:
        one, zero = torch.ones((), dtype=precision), torch.zeros((), dtype=precision)
        assert diffusion.clean_from_velocity(one, zero, alpha).item() == 0.625
        assert diffusion.clean_from_velocity(zero, one, alpha).item() == -0.78125


def test_the_straight_path_and_the_preserved_variance_are_one():
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(1000, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    alphas = diffusion.to_zero_terminal(diffusion.shift_signal_to_noise(diffusion.scaled_linear_alphas(), 3.0)).double()
    a, s = alphas.sqrt()[:, None], (1 - alphas).sqrt()[:, None]
    t = diffusion.straight_times(alphas)
    assert (t.diff() > 0).all()
    assert t[-1] == 1
    z_t = (1 - t)[:, None] * x0 + t[:, None] * eps
    torch.testing.assert_close(diffusion.to_preserved_variance(z_t, t), a * x0 + s * eps)
    torch.testing.assert_close(diffusion.straight_velocity(z_t, a * eps - s * x0, t), eps - x0)


def test_the_straight_path_reaches_the_clean_latent():
    x0, velocity, zero = torch.ones(1, 2), torch.full((1, 2), 3.0), torch.zeros(1)
    assert torch.equal(diffusion.to_preserved_variance(x0, zero), x0)
    assert torch.equal(diffusion.straight_velocity(x0, velocity, zero), velocity - x0)
