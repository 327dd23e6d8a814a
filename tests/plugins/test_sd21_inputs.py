"""Sizes that do not fit, flat and smooth pictures, half precision."""

import pytest
import torch
from adc_sd21 import AdcSRStudent, OSEDiff

from adc.ops.color import adain, wavelet

VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
FLAT = {f"flat {value}": torch.full((1, 1, 3, 24, 40), value) for value in (-1.0, 0.0, 0.3, 1.0)}
SMOOTH = torch.linspace(-1, 1, 40).expand(1, 1, 3, 24, 40)
NEARLY = torch.full((1, 1, 3, 24, 40), 0.1) + 1e-4 * SMOOTH
PICTURES = {**FLAT, "smooth": SMOOTH, "nearly flat": NEARLY}


@pytest.fixture(scope="module", params=["student", "teacher"])
def restorer(request):
    torch.manual_seed(0)
    if request.param == "student":
        return AdcSRStudent(vae=VAE, unet=UNET, unshuffle=1).eval()
    made = OSEDiff(vae=VAE, unet=UNET, prompt_tokens=2)
    torch.nn.init.normal_(made.unet.conv_out.weight, std=0.1)
    return made.eval()


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 50), (1, 1)])
def test_any_size(restorer, size):
    height, width = size
    with torch.inference_mode():
        large = restorer.restore(torch.rand(1, 2, 3, height, width) * 2 - 1)
    assert large.shape == (1, 2, 3, 4 * height, 4 * width) and large.isfinite().all()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", PICTURES)
def test_smooth_pictures_stay_finite(restorer, name, precision):
    lr = PICTURES[name]
    with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        large = restorer.restore(lr)
    assert large.isfinite().all()
    matched = adain(large.float(), lr)
    assert matched.isfinite().all()
    torch.testing.assert_close(matched.mean((-2, -1)), lr.mean((-2, -1)), atol=1e-3, rtol=0)
    enlarged = torch.nn.functional.interpolate(lr[0], scale_factor=4, mode="bicubic")[None]
    assert wavelet(large.float(), enlarged).isfinite().all()


def test_the_teacher_computes_its_latent_in_float32():
    """The noise of step 999 is divided by 0.07: rounded to 16 bits, it would cost the latent two digits."""
    torch.manual_seed(0)
    teacher = OSEDiff(vae=VAE, unet=UNET, prompt_tokens=2).eval()
    z = torch.randn(1, 4, 8, 8)
    noise = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        clean = teacher.clean(z, noise)
    assert clean.dtype == torch.float32
    torch.testing.assert_close(clean, (z - (1 - teacher.alpha) ** 0.5 * noise) / teacher.alpha**0.5)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert teacher.latent(SMOOTH).dtype == torch.float32


def test_a_student_that_would_not_enlarge_by_four_is_refused():
    with pytest.raises(ValueError, match="unshuffle: 2 and a decoder of stride 4 enlarge by 2, not by 4; set it to 1"):
        AdcSRStudent(vae=VAE, unet=UNET)
