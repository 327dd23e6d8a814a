import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adc.metrics import psnr_y, ssim_y
from adc.metrics.fidelity import BAND, PsnrRgb, SsimY, SsimYUnrounded
from adc.metrics.quality import find_niqe
from adc.ops.clip import quantize, to_unit
from adc.ops.color import luma
from adc.ops.quality import psnr, ssim

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared"))
PUBLISHED = SHARED / "data/images/val_drealsr16"
NIQE = SHARED / "data/weights/niqe_pris_params.npz"


def clips(frames=1, size=(40, 48), batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    reference = torch.rand(batch, frames, 3, *size, generator=generator) * 2 - 1
    restored = reference + 0.2 * torch.randn(reference.shape, generator=generator)
    return quantize(restored), quantize(reference)


def read(path):
    from PIL import Image

    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
    return pixels[None, None].float() / 255 * 2 - 1


def published():
    rows = csv.DictReader((PUBLISHED / "osediff_published_metrics.csv").open())
    return [row for row in rows if row["name"].endswith(".png")]


def test_equal_clips_are_perfect():
    _, reference = clips()
    assert psnr_y(reference, reference).tolist() == pytest.approx([80.0, 80.0])
    assert ssim_y(reference, reference).tolist() == pytest.approx([1.0, 1.0])


def test_psnr_of_a_constant_shift_has_a_closed_form():
    dark, light = torch.full((1, 1, 3, 16, 16), -1.0), torch.full((1, 1, 3, 16, 16), 1.0)
    assert psnr_y(dark, light).item() == pytest.approx(20 * math.log10(255 / 219), abs=1e-5)


def test_ssim_of_flat_pictures_is_the_luminance_term():
    a, b = torch.full((1, 1, 3, 16, 16), -1.0), torch.full((1, 1, 3, 16, 16), 1.0)
    c1 = (0.01 * 255) ** 2
    assert ssim_y(a, b).item() == pytest.approx((2 * 16 * 235 + c1) / (16**2 + 235**2 + c1), abs=1e-9)


def test_a_clip_is_the_mean_of_its_frames():
    restored, reference = clips(frames=3)
    for metric in (psnr_y, ssim_y):
        whole = metric(restored, reference)
        frames = torch.stack([metric(restored[:, t : t + 1], reference[:, t : t + 1]) for t in range(3)])
        assert whole.shape == (2,)
        torch.testing.assert_close(whole, frames.mean(0))


def test_shapes_that_differ_are_an_error():
    restored, reference = clips()
    with pytest.raises(ValueError, match="not one size"):
        psnr_y(restored, reference[..., :-1])
    with pytest.raises(ValueError, match=r"expected clips \(B, T, 3, H, W\)"):
        ssim_y(restored[:, 0], reference[:, 0])
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim_y(restored[..., :8, :8], reference[..., :8, :8])


@pytest.mark.parametrize("size", [(40, 48), (33, 65)])
def test_the_same_figures_as_pyiqa(size):
    pyiqa = pytest.importorskip("pyiqa")
    restored, reference = clips(size=size)
    images = [(clip[:, 0] * 0.5 + 0.5) for clip in (restored, reference)]
    for name, metric, tolerance in (("psnr", psnr_y, 1e-3), ("ssim", ssim_y, 1e-5)):
        theirs = pyiqa.create_metric(name, test_y_channel=True, color_space="ycbcr", device="cpu")
        torch.testing.assert_close(
            metric(restored, reference), theirs(*images).double().reshape(-1), atol=tolerance, rtol=0
        )


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published results are not here")
def test_the_published_figures_of_osediff():
    assert published()
    for row in published():
        restored, reference = read(PUBLISHED / "osediff" / row["name"]), read(PUBLISHED / "HR" / row["name"])
        assert psnr_y(restored, reference).item() == pytest.approx(float(row["PSNR"]), abs=1e-5)
        assert ssim_y(restored, reference).item() == pytest.approx(float(row["SSIM"]), abs=1e-5)


def test_niqe_says_why_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pytest.importorskip("pyiqa")
    metric, reason = find_niqe()
    assert metric is None
    assert "niqe_modelparameters.mat" in reason
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        find_niqe(str(tmp_path / "absent.npz"))
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz: holds something; expected mu_pris_param"):
        find_niqe(str(tmp_path / "other.npz"))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ValueError, match=r"broken\.npz: not a file of NIQE parameters"):
        find_niqe(str(tmp_path / "broken.npz"))


def test_niqe_takes_parameters_from_a_file(tmp_path):
    pytest.importorskip("pyiqa")
    np.savez(tmp_path / "niqe.npz", mu_pris_param=np.zeros((1, 36)), cov_pris_param=np.eye(36))
    metric, origin = find_niqe(str(tmp_path / "niqe.npz"))
    assert origin.endswith("niqe.npz")
    restored, _ = clips(frames=2, size=(200, 192))
    rates = metric(restored)
    assert rates.shape == (2,)
    assert rates.isfinite().all()
    with pytest.raises(ValueError, match="at least 96 pixels"):
        metric(restored[..., :90, :])


@pytest.mark.skipif(not (NIQE.is_file() and PUBLISHED.is_dir()), reason="the published results are not here")
def test_the_published_niqe_of_osediff():
    pytest.importorskip("pyiqa")
    metric, _ = find_niqe(str(NIQE))
    for row in published()[:3]:
        rate = metric(read(PUBLISHED / "osediff" / row["name"]))
        assert rate.item() == pytest.approx(float(row["NIQE"]), abs=1e-3)


@pytest.mark.parametrize("height", [11, BAND, BAND + 1, BAND + 11, 2 * BAND + 37])
@pytest.mark.parametrize("metric", [PsnrRgb(), SsimYUnrounded(), SsimY()])
def test_bands_make_no_difference(metric, height):
    """Of each frame apart, in one piece, by the formulas."""
    restored, reference = clips(frames=2, size=(height, 24), batch=1)
    frames = [to_unit(clip[0]).double() for clip in (restored, reference)]
    if isinstance(metric, PsnrRgb):
        whole = psnr(*frames)
    else:
        bright = [luma(frame) * 255 for frame in frames]
        whole = ssim(*([one.round() for one in bright] if isinstance(metric, SsimY) else bright), peak=255.0)
    assert metric(restored, reference).item() == pytest.approx(whole.mean().item(), rel=1e-6)


def test_large_frames_take_little_memory():
    """Beside their own 12 bytes a pixel each; 3 megapixels."""
    script = (
        "import resource, torch\n"
        "from adc.metrics.fidelity import psnr_y, ssim_y\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "two = [torch.zeros(1, 1, 3, size, 1024) for size in (3072, 3072)]\n"
        "[metric(*(clip[..., :300, :] for clip in two)) for metric in (psnr_y, ssim_y)]\n"
        "before = peak()\n"
        "[metric(*two) for metric in (psnr_y, ssim_y)]\n"
        "print((peak() - before) / (3072 * 1024))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30
