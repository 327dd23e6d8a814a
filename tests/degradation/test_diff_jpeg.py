"""DiffJPEG's law beside the formula written anew, block by block, with scipy's cosine transform."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from adc.degradation import SecondOrder
from adc.degradation.codec import compress
from adc.degradation.diff_jpeg import diff_compress

LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMA = "17 18 24 47  18 21 26 66  24 26 56 99  47 66 99 99"


def picture(height, width, seed=0):
    """Smooth waves, edges and some noise, ``(3, H, W)``."""
    rows, columns = np.mgrid[0:height, 0:width] / 13
    waves = [np.sin(rows + 2 * columns), np.cos(rows * columns / 3), np.sign(np.sin(3 * rows) + np.cos(2 * columns))]
    noise = np.random.default_rng(seed).normal(0, 0.05, (3, height, width))
    return torch.from_numpy((0.5 + 0.35 * np.stack(waves) + noise).clip(0, 1)).float()


def expected(image, quality):
    """The law, in 64 bits; rows of the luma's table are horizontal frequencies."""
    luma = np.array(LUMA.split(), float).reshape(8, 8).T
    chroma = np.full((8, 8), 99.0)
    chroma[:4, :4] = np.array(CHROMA.split(), float).reshape(4, 4)
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    height, width = image.shape[1:]
    full = np.zeros((3, -(-height // 16) * 16, -(-width // 16) * 16))
    full[:, :height, :width] = image * 255
    r, g, b = full
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb = -0.168736 * r - 0.331264 * g + 0.5 * b + 128
    cr = 0.5 * r - 0.418688 * g - 0.081312 * b + 128
    planes = []
    for plane, table in ((y, luma), (cb, chroma), (cr, chroma)):
        if table is chroma:
            plane = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
        out = np.empty_like(plane)
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = np.s_[top : top + 8, left : left + 8]
                steps = np.round(dctn(plane[block] - 128, norm="ortho") / (table * factor))
                out[block] = idctn(steps * table * factor, norm="ortho") + 128
        planes.append(np.repeat(np.repeat(out, 2, 0), 2, 1) if table is chroma else out)
    y, cb, cr = planes[0], planes[1] - 128, planes[2] - 128
    restored = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb])
    return restored.clip(0, 255)[:, :height, :width] / 255


@pytest.mark.parametrize("quality", [10, 49.5, 50, 63.7, 95, 99.9])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 50)])
def test_the_law(quality, height, width):
    image = picture(height, width)
    ours = diff_compress(image[None], quality)[0].numpy()
    difference = np.abs(ours - expected(image.double().numpy(), quality))
    # A coefficient at the middle between two steps may go either way in 32 bits: one block of 64 pixels at most.
    assert (difference > 1e-4).mean() <= 64 * 4 / (height * width) and np.median(difference) < 1e-5
    assert ours.shape == (3, height, width)


def test_at_quality_100_only_chroma_is_lost():
    image = picture(32, 32)
    for quality in (100, 99.9999):
        restored = diff_compress(image[None], quality)[0]
        assert restored.isfinite().all()
        luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        inside = ((restored > 0) & (restored < 1)).all(dim=0)
        off = ((restored - image) * luma).sum(0).abs()
        assert inside.any() and off[inside].max() < 1e-3
    gray = picture(32, 32)[:1].expand(3, -1, -1)
    torch.testing.assert_close(diff_compress(gray[None], 100)[0], gray, atol=1e-5, rtol=0)


def test_frames_are_clamped_and_independent():
    frames = torch.stack([picture(24, 40), picture(24, 40, 1)]) * 1.4 - 0.2
    both = diff_compress(frames, 40)
    assert torch.equal(both[:1], diff_compress(frames[:1].clamp(0, 1), 40))
    assert both.min() >= 0 and both.max() <= 1


def test_chroma_keeps_more_than_in_files():
    """The difference for which the presets take this law: at high quality files smooth chroma when they are read."""
    image = picture(64, 64)[None]
    detail = {}
    for name, result in (("diff", diff_compress(image, 90)), ("libjpeg", compress(image, 90))):
        tint = (result[:, 2] - result[:, 1])[0]
        detail[name] = (tint[2::2] - tint[1:-1:2]).square().mean()
    assert detail["diff"] > 1.3 * detail["libjpeg"]


def test_either_jpeg_can_be_had():
    hr = picture(64, 64)[None] * 2 - 1
    made = {}
    for name in ("diff", "libjpeg"):
        made[name] = SecondOrder("adcsr", jpeg=name)(hr, torch.Generator().manual_seed(3))
        assert made[name].shape == (1, 3, 16, 16) and made[name].isfinite().all()
    assert torch.equal(SecondOrder("adcsr")(hr, torch.Generator().manual_seed(3)), made["diff"])
    assert not torch.equal(made["diff"], made["libjpeg"])
    with pytest.raises(ValueError, match=r"jpeg: unknown 'webp'\. There are: diff, libjpeg"):
        SecondOrder(jpeg="webp")


def test_the_small_clip_may_be_made_of_a_sharpened_copy():
    hr = picture(64, 64)[None] * 2 - 1
    calm = {"noise_sigma": [0, 0], "noise_sigma2": [0, 0], "gaussian_probability": 1, "gaussian_probability2": 1}
    spread = {}
    for sharpen in (False, True):
        lr = SecondOrder("real-esrgan", overrides=calm, sharpen=sharpen)
        spread[sharpen] = torch.stack([lr(hr, torch.Generator().manual_seed(seed)).std() for seed in range(8)]).mean()
    assert spread[True] > 1.02 * spread[False]
