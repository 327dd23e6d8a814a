import logging
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from adc.metrics import clips, registry
from adc.metrics.clips import clip_figures, steadiness, warping_origin
from adc.metrics.fidelity import SsimYUnrounded, psnr_y, ssim_y
from adc.metrics.flow import dis
from adc.metrics.registry import VIDEO, build, expand
from adc.metrics.temporal import flicker, sharpness, unsteadiness, warping_error
from adc.ops.clip import quantize

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared"))
WALK = SHARED / "data/video/vid4_walk12"


@pytest.fixture(autouse=True)
def forget():
    """Whether OpenCV is there is looked up once."""
    clips._warping.cache_clear()
    yield
    clips._warping.cache_clear()


def moving(frames=4, batch=1, noise=0.0, seed=0):
    """A picture that slides to the right, with noise that each frame draws anew."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 12, 24, generator=torch.Generator().manual_seed(9))
    wide = F.interpolate(coarse, size=(48, 96), mode="bicubic", align_corners=False).clamp(0, 1) * 2 - 1
    clip = torch.stack([wide[..., 20 - 2 * t : 84 - 2 * t] for t in range(frames)], dim=1)
    return quantize(clip + noise * torch.randn(clip.shape, generator=generator))


def test_flicker_is_in_bytes():
    """Steps of 10 and 0 against 0 and 0, of 255 bytes for 2 units."""
    ours = torch.tensor([0.0, 10.0, 10.0]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 6, 6) / 127.5
    assert flicker(ours, torch.zeros_like(ours)).item() == pytest.approx(5, rel=1e-5)
    assert unsteadiness(ours).item() == pytest.approx(2.5, rel=1e-5)
    with pytest.raises(ValueError, match="not one size"):
        flicker(ours, torch.zeros(1, 3, 3, 6, 7))


def test_noise_flickers_and_blur_is_no_way_out():
    """Blur lowers the figures without a reference; the one with a reference tells that it is no better."""
    truth, noisy = moving(), moving(noise=0.1)
    blurred = F.avg_pool2d(truth.flatten(0, 1), 9, stride=1, padding=4).unflatten(0, truth.shape[:2])
    assert flicker(truth, truth).item() == 0
    assert flicker(noisy, truth).item() > 5
    assert flicker(blurred, truth).item() > 2
    assert unsteadiness(blurred).item() < unsteadiness(truth).item() < unsteadiness(noisy).item()


def test_images_have_no_figures_of_motion():
    restored, truth = moving(frames=1, noise=0.1), moving(frames=1)
    figures = clip_figures(restored, truth)
    assert list(figures) == ["psnr_y", "ssim_y"]
    assert figures["psnr_y"].item() == psnr_y(restored, truth).item()
    assert figures["ssim_y"].item() == ssim_y(restored, truth).item()


def test_clips_have_them():
    pytest.importorskip("cv2")
    restored, truth = moving(batch=2, noise=0.1), moving(batch=2)
    figures = clip_figures(restored, truth)
    assert list(figures) == ["psnr_y", "ssim_y", "flicker", "ewarp", "sharpness"]
    assert all(figure.shape == (2,) for figure in figures.values())
    torch.testing.assert_close(figures["flicker"], flicker(restored, truth))
    torch.testing.assert_close(figures["ewarp"], warping_error(restored, dis()))
    torch.testing.assert_close(figures["sharpness"], sharpness(restored))
    alone = steadiness(truth, truth)
    assert list(alone) == ["ewarp", "sharpness"] and (alone["ewarp"] < figures["ewarp"]).all()
    assert "DIS" in warping_origin()


def test_steps_across_cuts_do_not_count():
    """Two shots; what differs is a constant, which only the step across the cut would show."""
    pytest.importorskip("cv2")
    first, second = moving(4, 2), moving(3, 2).flip(-1) * 0.1 + 0.8
    truth = torch.cat([first, second], dim=1)
    restored = torch.cat([first, second - 0.1], dim=1)
    figures = clip_figures(restored, truth)
    assert figures["flicker"].abs().max() < 1e-4 < flicker(restored, truth).min()
    parts = [warping_error(part, dis()) for part in (first, second - 0.1)]
    torch.testing.assert_close(figures["ewarp"], (3 * parts[0] + 2 * parts[1]) / 5)
    assert (figures["ewarp"] < warping_error(restored, dis())).all()
    alike = torch.cat([truth[:1], moving(7, 1)])  # the second of the batch has no cut
    torch.testing.assert_close(clip_figures(alike, alike)["ewarp"][1], warping_error(alike[1:], dis())[0])


def test_two_frames_are_a_step_whatever_is_between():
    truth = torch.cat([moving(1), -moving(1)], dim=1)
    torch.testing.assert_close(clip_figures(truth * 0.5, truth)["flicker"], flicker(truth * 0.5, truth))


def test_what_is_left_out_is_said_once(monkeypatch, caplog):
    there = registry.importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None if name == "cv2" else there(name))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert list(clip_figures(moving(), moving())) == ["psnr_y", "ssim_y", "flicker", "sharpness"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("ewarp is left out: cv2 is not installed")
    assert warping_origin() == "left out: cv2 is not installed"


def test_pictures_too_small_for_the_flow_are_refused():
    pytest.importorskip("cv2")
    with pytest.raises(ValueError, match="DIS needs a side of at least 12 pixels"):
        warping_error(torch.zeros(1, 2, 3, 16, 16), dis())


def test_they_can_be_asked_for_by_name():
    assert "flicker" in VIDEO
    built, _ = build(expand(["flicker", "unsteadiness", "ssim_y_unrounded"]))
    restored, truth = moving(noise=0.1), moving()
    expected = {
        "flicker": flicker(restored, truth),
        "unsteadiness": unsteadiness(restored),
        "ssim_y_unrounded": SsimYUnrounded()(restored, truth),
    }
    for name, metric in built.items():
        torch.testing.assert_close(metric(restored, truth), expected[name])
        assert metric.frames == {"flicker": 2, "unsteadiness": 3}.get(name, 1)


@pytest.mark.slow
@pytest.mark.skipif(not WALK.is_dir(), reason="the clip walk of Vid4 is not here")
def test_duf_on_walk_as_scikit_image_rates_it():
    """An implementation that shares no line with this one: luminance, PSNR and SSIM of scikit-image."""
    color, metrics = pytest.importorskip("skimage.color"), pytest.importorskip("skimage.metrics")
    from adc.media.images import list_images, read_image, to_frame

    built, _ = build(["psnr_y", "ssim_y", "ssim_y_unrounded"], border=8)
    for ours, theirs in list(zip(list_images(WALK / "DUF52L"), list_images(WALK / "GT"), strict=True))[::4]:
        pixels = [read_image(path) for path in (ours, theirs)]
        frames = [to_frame(picture)[None, None] for picture in pixels]
        a, b = (color.rgb2ycbcr(picture)[8:-8, 8:-8, 0] for picture in pixels)
        options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected = {
            "psnr_y": metrics.peak_signal_noise_ratio(b, a, data_range=255),
            "ssim_y": metrics.structural_similarity(a.round(), b.round(), **options),
            "ssim_y_unrounded": metrics.structural_similarity(a, b, **options),
        }
        for name, tolerance in (("psnr_y", 1e-3), ("ssim_y", 1e-4), ("ssim_y_unrounded", 1e-4)):
            assert built[name](*frames).item() == pytest.approx(expected[name], abs=tolerance), name
