import pickle
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import adc.degradation.base as base
import adc.degradation.image as image
from adc.degradation import BicubicDown, NoDegradation, SecondOrder
from adc.testing import check_degradation

PRESET_NAMES = ("adcsr", "pisasr", "real-esrgan")
SILENT = {
    "sinc_probability": 0,
    "sinc_probability2": 0,
    "final_sinc_probability": 0,
    "kernel_probabilities": [1, 0, 0, 0, 0, 0],
    "blur_sigma": [0.2, 0.2],
    "blur_sigma2": [0.2, 0.2],
    "resize_probabilities": [0, 0, 1],
    "resize_probabilities2": [0, 0, 1],
    "gaussian_probability": 1,
    "gaussian_probability2": 1,
    "noise_sigma": [0, 0],
    "noise_sigma2": [0, 0],
    "jpeg_quality": [100, 100],
    "jpeg_quality2": [100, 100],
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(frames=1, height=64, width=96, seed=0):
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=seeded(seed)) * 2 - 1
    return F.interpolate(coarse, size=(height, width), mode="bilinear").repeat(frames, 1, 1, 1)


@pytest.mark.parametrize(
    ("degradation", "scale"),
    [(SecondOrder(name), 4) for name in PRESET_NAMES]
    + [(SecondOrder(scale=2), 2), (BicubicDown(), 4), (BicubicDown(3), 3), (NoDegradation(), 1)],
)
def test_contract(degradation, scale):
    hr = clip(2, 48, 96)
    for seed in range(6):
        lr = degradation(hr, seeded(seed))
        assert degradation.scale == scale and lr.shape == (2, 3, 48 // scale, 96 // scale)
        assert lr.dtype == torch.float32 and lr.abs().max() <= 1
        steps = (lr + 1) * 127.5
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
        assert torch.equal(lr, degradation(hr, seeded(seed)))


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_the_generator_is_the_only_randomness(name):
    degradation, hr = pickle.loads(pickle.dumps(SecondOrder(name))), clip()
    torch.manual_seed(1)
    first = [degradation(hr, seeded(seed)) for seed in range(5)]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = [degradation(hr, seeded(seed)) for seed in range(5)]
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_threads_do_not_change_the_picture():
    hr, before = torch.rand(1, 3, 320, 256, generator=seeded()) * 2 - 1, torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append([SecondOrder("real-esrgan")(hr, seeded(seed)) for seed in range(16)])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_with_everything_silenced_the_clip_comes_back():
    hr = clip(1, 64, 64)[:, :1].repeat(1, 3, 1, 1)
    lr = SecondOrder(scale=1, overrides=SILENT)(hr, seeded())
    assert (lr - hr).abs().max() < 0.03


def test_frames_share_the_draw_and_have_their_own_noise():
    silent = {"noise_sigma": [0, 0], "noise_sigma2": [0, 0], "gaussian_probability": 1, "gaussian_probability2": 1}
    hr = clip(3)
    for seed in range(8):
        still = SecondOrder("real-esrgan", overrides=silent)(hr, seeded(seed))
        assert torch.equal(still[0], still[1]) and torch.equal(still[0], still[2])
    noisy = SecondOrder("real-esrgan")(hr, seeded(1))
    assert not torch.equal(noisy[0], noisy[1])


@pytest.fixture(scope="module")
def operations():
    """What 400 degradations did, as words of letters; every operation adds one to what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        word = []
        letters = {"blur": "b", "_resize": "r", "diff_compress": "j", "gaussian_noise": "g", "poisson_noise": "p"}
        for name, letter in letters.items():
            patch.setattr(image, name, lambda frames, *rest, letter=letter: word.append(letter) or frames + 1)
        patch.setattr(base, "quantize", lambda frames: frames)
        words, hr = [], -torch.ones(1, 3, 16, 16)
        for seed in range(400):
            word.clear()
            steps = (SecondOrder()(hr, seeded(seed)) + 1) / 2
            assert (steps == len(word)).all()
            words.append("".join(word))
    return words


def test_the_order_of_operations(operations):
    assert all(re.fullmatch("br[gp]jb?r[gp](rb?j|jrb?)", word) for word in operations)


def test_how_often_what_happens(operations):
    def share(pattern):
        return sum(bool(re.search(pattern, word)) for word in operations) / len(operations)

    assert share("^br[gp]jb") == pytest.approx(0.5, abs=0.08)
    assert share("^brg") == pytest.approx(0.5, abs=0.08)
    assert share("g(rb?j|jrb?)$") == pytest.approx(0.5, abs=0.08)
    assert share("j$") == pytest.approx(0.5, abs=0.08)
    assert share("rbj?$") == pytest.approx(0.8, abs=0.07)


def test_the_second_resize_aims_at_the_small_size(monkeypatch):
    sizes, heights = [], set()
    monkeypatch.setattr(
        image, "_resize", lambda frames, height, width, generator: sizes.append((height, width)) or frames
    )
    for seed in range(60):
        sizes.clear()
        SecondOrder("adcsr")(clip(1, 64, 128), seeded(seed))
        first, second, last = sizes
        assert 0.3 * 64 <= first[0] <= 1.5 * 64 and first[1] == 2 * first[0]
        assert 0.6 * 16 <= second[0] <= 1.2 * 16 and second[1] == 2 * second[0]
        assert last == (16, 32)
        heights.add(second[0])
    assert min(heights) < 11 and max(heights) > 18 and 16 in heights


def test_bicubic_keeps_flat_colour():
    flat = torch.full((1, 3, 16, 16), 51 / 127.5 - 1)
    torch.testing.assert_close(BicubicDown()(flat, seeded()), flat[..., ::4, ::4])


def test_bicubic_is_that_of_pillow():
    pixels = (torch.rand(40, 24, 3, generator=seeded()) * 255).byte()
    expected = np.array(Image.fromarray(pixels.numpy()).resize((6, 10), Image.Resampling.BICUBIC)).astype(float)
    lr = BicubicDown()((pixels.permute(2, 0, 1)[None] / 127.5 - 1), seeded())
    assert np.abs((lr[0].permute(1, 2, 0).numpy() + 1) * 127.5 - expected).max() <= 1.01


def test_no_degradation_rounds_only():
    hr = clip() * 1.01
    assert (NoDegradation()(hr, seeded()) - hr.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 18, 16)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"frames \(T, 3, H, W\)|multiples of the scale 4"):
        SecondOrder()(torch.zeros(shape), seeded())


def test_a_scale_below_one_is_refused():
    for degradation in (SecondOrder, BicubicDown):
        with pytest.raises(ValueError, match="scale: 0"):
            degradation(scale=0)


@pytest.mark.parametrize("degradation", [SecondOrder(), SecondOrder(scale=2), BicubicDown(), NoDegradation()])
def test_the_written_contract(degradation):
    check_degradation(degradation)


def test_a_noisy_reduction_is_the_reduction_and_noise_of_the_drawn_strength():
    flat = torch.zeros(1, 3, 256, 256)
    noisy = BicubicDown(noise_sigma=(20.0, 20.0))(flat, torch.Generator().manual_seed(0))
    assert ((noisy - flat[..., ::4, ::4]).std() * 127.5 - 20.0).abs() < 0.5
    again = BicubicDown(noise_sigma=(20.0, 20.0))(flat, torch.Generator().manual_seed(0))
    assert torch.equal(noisy, again)
    drawn = [BicubicDown(noise_sigma=(10.0, 30.0))(flat, torch.Generator().manual_seed(i)).std() for i in range(5)]
    assert all(9.5 < float(s) * 127.5 < 30.5 for s in drawn) and len({round(float(s), 4) for s in drawn}) == 5
    with pytest.raises(ValueError, match=r"noise_sigma: \[3, 1\]"):
        BicubicDown(noise_sigma=(3, 1))
