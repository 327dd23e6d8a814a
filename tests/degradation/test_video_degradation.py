import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import adc.degradation.video as video
from adc.degradation import VIDEO_PRESETS, VideoDegradation
from adc.degradation.filters import blur, sharpen
from adc.degradation.kernels import gaussian
from adc.ops.clip import to_unit
from adc.testing import check_degradation

NAMES = ("realbasicvsr", "dove")
SILENT = {
    "sinc_probability": 0,
    "sinc_probability2": 0,
    "final_sinc_probability": 0,
    "kernel_probabilities": [1, 0, 0, 0, 0, 0],
    "blur_sigma": [0.2, 0.2],
    "blur_sigma2": [0.2, 0.2],
    "resize_probabilities": [0, 0, 1],
    "resize_probabilities2": [0, 0, 1],
    "resize_step": 0,
    "resize_step2": 0,
    "gaussian_probability": 1,
    "gaussian_probability2": 1,
    "noise_sigma": [0, 0],
    "noise_sigma2": [0, 0],
    "jpeg_quality": [100, 100],
    "jpeg_quality2": [100, 100],
}
LETTERS = {"blur": "b", "resize": "r", "compress": "j", "gaussian_noise": "g", "poisson_noise": "p"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(frames=3, height=64, width=96):
    coarse = torch.rand(frames, 3, height // 8, width // 8, generator=seeded()) * 2 - 1
    return F.interpolate(coarse, size=(height, width), mode="bilinear")


def recorded(monkeypatch, seeds, frames=2, **options):
    """What degradations did with every frame: for each seed a list of (letter, argument)."""
    calls = []

    def spy(letter, function):
        def call(frame, *rest):
            calls.append((letter, rest[:2] if letter == "r" else rest[0]))
            return frame

        return call

    for name, letter in LETTERS.items():
        monkeypatch.setattr(video, name, spy(letter, getattr(video, name)))
    monkeypatch.setattr(video, "recode", lambda shown, *rest: calls.append(("c", rest)) or shown)
    degradation, found = VideoDegradation(scale=1, sharpen=False, **options), []
    for seed in range(seeds):
        calls.clear()
        degradation(torch.zeros(frames, 3, 64, 64), seeded(seed))
        found.append(list(calls))
    return found


def words(records):
    return ["".join(letter for letter, _ in record) for record in records]


@pytest.mark.parametrize("preset", NAMES)
@pytest.mark.parametrize("scale", [2, 4])
def test_the_written_contract(preset, scale):
    check_degradation(VideoDegradation(preset, scale))


def test_the_table():
    table = {
        "kernel_sizes": (7, 21),
        "kernel_probabilities": (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
        "sinc_probability": 0.1,
        "sinc_probability2": 0.1,
        "final_sinc_probability": 0.8,
        "blur_sigma": (0.2, 3),
        "blur_sigma2": (0.2, 1.5),
        "beta_gaussian": (0.5, 4),
        "beta_plateau": (1, 2),
        "second_blur_probability": 0.8,
        "resize_probabilities": (0.2, 0.7, 0.1),
        "resize_probabilities2": (0.3, 0.4, 0.3),
        "resize_range": (0.15, 1.5),
        "resize_range2": (0.3, 1.2),
        "gaussian_probability": 0.5,
        "gaussian_probability2": 0.5,
        "noise_sigma": (1, 30),
        "noise_sigma2": (1, 25),
        "poisson_scale": (0.05, 3),
        "poisson_scale2": (0.05, 2.5),
        "gray_probability": 0.4,
        "jpeg_quality": (30, 95),
        "jpeg_quality2": (30, 95),
        "codec_probabilities": (1 / 3, 1 / 3, 1 / 3),
        "bitrate": (10_000, 100_000),
    }
    steps = {
        "blur_sigma_step": 0.02,
        "angle_step": 0.31416,
        "beta_gaussian_step": 0.05,
        "beta_plateau_step": 0.1,
        "cutoff_step": 0.0628,
        "resize_step": 0.015,
        "resize_step2": 0.03,
        "noise_sigma_step": 0.1,
        "poisson_scale_step": 0.005,
        "jpeg_quality_step": 3,
    }
    assert dataclasses.asdict(VIDEO_PRESETS["realbasicvsr"]) == table | steps
    assert dataclasses.asdict(VIDEO_PRESETS["dove"]) == table | dict.fromkeys(steps, 0) | {"jpeg_quality_step": 3}
    assert VideoDegradation().values == VIDEO_PRESETS["realbasicvsr"] and VideoDegradation().sharpen
    assert VideoDegradation("dove").values == VIDEO_PRESETS["dove"] and not VideoDegradation("dove").sharpen
    assert dataclasses.asdict(VideoDegradation(walk=False).values) == table | dict.fromkeys(steps, 0)


def test_the_order_of_operations(monkeypatch):
    order = re.compile("bbrr(gg|pp)jjc(bb)?rr(gg|pp)jj(crr(bb)?|rr(bb)?c)")
    found = words(recorded(monkeypatch, 300))
    assert all(order.fullmatch(word) for word in found)

    def share(pattern):
        return sum(bool(re.search(pattern, word)) for word in found) / len(found)

    assert share("jjcbb") == pytest.approx(0.8, abs=0.07)
    assert share("^bbrrgg") == pytest.approx(0.5, abs=0.09)
    assert share("(gg)jj(rr|c)[rbc]*$") == pytest.approx(0.5, abs=0.09)
    assert share("c$") == pytest.approx(0.5, abs=0.09)
    assert share("rrbbc?$") == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize(("passes", "order"), [(0, "j{4}rr(bb)?"), (1, "j{4}(crr(bb)?|rr(bb)?c)")])
def test_fewer_codec_passes(monkeypatch, passes, order):
    for word in words(recorded(monkeypatch, 20, codec_passes=passes)):
        first, last = word.split("jj")[0], re.sub("jj(bb)?rr(gg|pp)jj", "jjjj", word)
        assert first in {"bbrrgg", "bbrrpp"} and re.fullmatch("bbrr(gg|pp)" + order, last)


@pytest.mark.parametrize("preset", NAMES)
def test_an_image_meets_no_codec(monkeypatch, preset):
    found = words(recorded(monkeypatch, 60, frames=1, preset=preset))
    assert all(re.fullmatch("br[gp]jb?r[gp]jrb?", word) for word in found)


def test_strengths_drift_within_step_and_range(monkeypatch):
    ranges = {"g": (1, 30, 0.1), "p": (0.05, 3, 0.005), "j": (30, 95, 3)}
    seen = {letter: [] for letter in "gpjr"}
    for record in recorded(monkeypatch, 40, frames=5):
        for letter, (low, high, step) in ranges.items():
            numbers = torch.tensor([argument for other, argument in record if other == letter], dtype=torch.float64)
            for walked in numbers.view(-1, 5):
                assert walked.min() >= low and walked.max() <= high and walked.diff().abs().max() <= step
                seen[letter].append(walked.diff().abs().max())
        sizes = torch.tensor([argument for letter, argument in record if letter == "r"]).view(-1, 5, 2)
        assert (sizes % 2 == 0).all() and (sizes[..., 0] == sizes[..., 1]).all()
        for walked, (low, high, step) in zip(sizes[:2, :, 0], [(0.15, 1.5, 0.015), (0.3, 1.2, 0.03)], strict=True):
            assert walked.min() >= low * 64 - 2 and walked.max() <= high * 64
            assert walked.diff().abs().max() <= step * 64 + 2
            seen["r"].append(walked.diff().abs().max())
        assert (sizes[2] == 64).all()
    assert all(sum(change > 0 for change in changes) > len(changes) / 3 for changes in seen.values())


@pytest.mark.parametrize(("options", "drifting"), [({"walk": False}, set()), ({"preset": "dove"}, {"j"})])
def test_without_walks_all_frames_share_their_strengths(monkeypatch, options, drifting):
    changed = set()
    for record in recorded(monkeypatch, 30, frames=3, **options):
        rest = [call for call in record if call[0] != "c"]
        for start in range(0, len(rest), 3):
            (letter, first), *others = rest[start : start + 3]
            assert {other for other, _ in others} == {letter}
            same = [torch.equal(first, a) if letter == "b" else first == a for _, a in others]
            changed |= set() if all(same) else {letter}
    assert changed == drifting


def test_codec_and_bitrate_are_those_of_the_table(monkeypatch):
    drawn = [argument for record in recorded(monkeypatch, 300) for letter, argument in record if letter == "c"]
    codecs, rates = zip(*drawn, strict=True)
    for codec in ("libx264", "h264", "mpeg4"):
        assert codecs.count(codec) / 600 == pytest.approx(1 / 3, abs=0.08)
    assert all(isinstance(rate, int) and 10_000 <= rate <= 100_000 for rate in rates)
    assert sum(rates) / 600 == pytest.approx(55_000, rel=0.06) and min(rates) < 12_000 and max(rates) > 98_000


@pytest.mark.parametrize("preset", NAMES)
def test_frames_of_changing_size_come_out_right(preset):
    restless = {"resize_step": 0.3, "resize_step2": 0.3}
    for passes in (0, 1, 2):
        for seed in range(4):
            lr = VideoDegradation(preset, codec_passes=passes, overrides=restless)(clip(4, 64, 72), seeded(seed))
            assert lr.shape == (4, 3, 16, 18)


@pytest.mark.parametrize("frames", [1, 4])
def test_with_everything_silenced_the_clip_comes_back(frames):
    hr = clip(frames)[:, :1].repeat(1, 3, 1, 1)
    options = {"scale": 1, "sharpen": False, "overrides": SILENT}
    assert (VideoDegradation(codec_passes=0, **options)(hr, seeded()) - hr).abs().max() < 0.04
    loud = SILENT | {"bitrate": [1_000_000, 1_000_000]}
    back = VideoDegradation(**options | {"overrides": loud})(hr, seeded())
    assert 10 * torch.log10(4 / (back - hr).square().mean()) > 35


def test_the_small_clip_is_made_of_the_sharpened_truth():
    hr, options = clip(2)[:, :1].repeat(1, 3, 1, 1), {"scale": 1, "codec_passes": 0, "overrides": SILENT}
    before, expected = hr.clone(), sharpen(to_unit(hr)) * 2 - 1
    lr = VideoDegradation(**options)(hr, seeded())
    assert torch.equal(hr, before)
    assert (lr - expected).abs().max() < 0.05 < (expected - hr).abs().max()
    plain = VideoDegradation(sharpen=False, **options)(hr, seeded())
    assert (plain - hr).abs().max() < 0.05


def test_sharpening():
    frames, kernel = to_unit(clip(2)), gaussian(51, 8.0, 8.0)
    everywhere = sharpen(frames, weight=0.5, threshold=-1.0)
    torch.testing.assert_close(everywhere, (1.5 * frames - 0.5 * blur(frames, kernel)).clamp(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(sharpen(frames, threshold=300.0), frames, atol=1e-5, rtol=0)
    weak = 0.5 + 0.03 * (frames - 0.5)
    torch.testing.assert_close(sharpen(weak), weak, atol=1e-5, rtol=0)
    assert (sharpen(frames) - frames).abs().max() > 0.05


SCRIPT = """
import hashlib, sys, torch
sys.path.insert(0, {folder!r})
from test_video_degradation import fingerprint
torch.manual_seed(99)
print(fingerprint())
"""


def fingerprint():
    noisy = (clip(3, 96, 128) + 0.3 * torch.randn(3, 3, 96, 128, generator=seeded(5))).clamp(-1, 1)
    lrs = [VideoDegradation()(noisy, seeded(seed)) for seed in range(6)]
    return hashlib.sha256(b"".join(lr.numpy().tobytes() for lr in lrs)).hexdigest()


def test_another_process_with_other_threads_makes_the_same_bytes():
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    other = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.split()[-1] == fingerprint()


def test_seeds_differ_and_repeat():
    hr, degradation = clip(2), VideoDegradation()
    first = [degradation(hr, seeded(seed)) for seed in range(3)]
    assert all(map(torch.equal, first, [degradation(hr, seeded(seed)) for seed in range(3)]))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "bsrgan"}, "preset: unknown 'bsrgan'. There are: realbasicvsr, dove"),
        ({"codec_passes": 3}, "codec_passes: 3 is not 0, 1 or 2"),
        ({"scale": 0}, "scale: 0"),
        ({"overrides": {"bitrates": [1, 2]}}, "unknown value 'bitrates'. Did you mean bitrate"),
        ({"overrides": {"bitrate": [500, 9000]}}, r"bitrate: \[500, 9000\] is not a range"),
        ({"overrides": {"bitrate": [1e4, 1e5]}}, "bitrate: .* must be whole numbers"),
        ({"overrides": {"resize_step2": -0.1}}, "resize_step2: -0.1 is not a number of at least 0"),
        ({"overrides": {"jpeg_quality_step": "3"}}, "jpeg_quality_step: '3' is not a number"),
        ({"overrides": {"codec_probabilities": [1, 1]}}, "codec_probabilities: .* not a list of 3 numbers"),
    ],
)
def test_bad_arguments_name_key_and_value(options, message):
    with pytest.raises(ValueError, match=message):
        VideoDegradation(**options)


def test_encoders_are_looked_for_when_they_are_needed(monkeypatch):
    monkeypatch.setattr(video, "CODECS", ("libx999", "h264", "mpeg4"))
    with pytest.raises(ValueError, match="no encoder 'libx999'"):
        VideoDegradation()
    VideoDegradation(codec_passes=0)
    VideoDegradation(overrides={"codec_probabilities": [0, 1, 1]})


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_pixels_that_are_no_numbers_are_refused(bad):
    hr = clip(2)
    hr[1, 2, 3, 4] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        VideoDegradation()(hr, seeded())


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 3, 18, 16)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"frames \(T, 3, H, W\)|multiples of the scale 4"):
        VideoDegradation()(torch.zeros(shape), seeded())


def test_doves_poisson_noise_counts_photons_of_levels(monkeypatch):
    kinds = {"realbasicvsr": False, "dove": True}
    for preset, per_level in kinds.items():
        given = []

        def note(frame, scale, is_gray, generator, per_level=False, given=given):
            given.append(per_level)
            return frame

        monkeypatch.setattr("adc.degradation.video.poisson_noise", note)
        overrides = {"gaussian_probability": 0, "gaussian_probability2": 0}
        degradation = VideoDegradation(preset, codec_passes=0, overrides=overrides)
        degradation(torch.zeros(2, 3, 32, 32), torch.Generator().manual_seed(0))
        assert given and set(given) == {per_level}
