"""Published results, reproduced by the command."""

import csv
import json
import os
from pathlib import Path

import pytest

from adc.cli import main

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data"


def evaluate(restored, reference, target, *options):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(restored), str(reference), "--json", str(target), *options])
    assert stop.value.code == 0
    return json.loads(target.read_text())


def needs(*names):
    absent = [name for name in names if not (DATA / name).exists()]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} is not here")


@pytest.mark.slow
@needs("images/val_drealsr16", "weights/niqe_pris_params.npz")
def test_osediff_on_drealsr(tmp_path):
    pytest.importorskip("pyiqa")
    folder = DATA / "images/val_drealsr16"
    options = ["--weights-dir", str(DATA / "weights"), "--metrics", "psnr_y", "ssim_y", "niqe"]
    figures = evaluate(folder / "osediff", folder / "HR", tmp_path / "f.json", *options)
    ours = {row["name"]: row for row in figures["images"]}
    ours["MEAN"] = figures["mean"]
    published = list(csv.DictReader((folder / "osediff_published_metrics.csv").open()))
    assert len(published) == len(ours) == 17
    for row in published:
        for key, name, tolerance in (("PSNR", "psnr_y", 1e-3), ("SSIM", "ssim_y", 1e-5), ("NIQE", "niqe", 0.03)):
            assert ours[row["name"]][name] == pytest.approx(float(row[key]), abs=tolerance), row["name"]


@needs("iqa_calib", "weights/niqe_pris_params.npz")
def test_the_calibration_of_pyiqa(tmp_path):
    pytest.importorskip("pyiqa")
    folder = DATA / "iqa_calib"
    options = ["--weights-dir", str(DATA / "weights"), "--metrics", "psnr_rgb", "ssim_yiq", "niqe"]
    figures = evaluate(folder / "dist_dir", folder / "ref_dir", tmp_path / "f.json", *options)
    recorded = {row["Method"]: row for row in csv.DictReader((folder / "calibration_summary.csv").open())}
    assert len(figures["images"]) == 3
    for row in figures["images"]:
        for key, name, tolerance in (("psnr", "psnr_rgb", 5e-4), ("ssim", "ssim_yiq", 6e-5), ("niqe", "niqe", 0.03)):
            assert row[name] == pytest.approx(float(recorded[f"{key}(ours)"][row["name"]]), abs=tolerance), key


@pytest.mark.slow
@needs("video/vid4_walk12")
def test_duf_on_walk(tmp_path):
    """Nothing was published for these twelve frames: pyiqa's figures are taken. DUF leaves a black border."""
    pyiqa = pytest.importorskip("pyiqa")
    pytest.importorskip("cv2")
    from adc.media.images import list_images, read_image, to_frame

    folder = DATA / "video/vid4_walk12"
    options = ["--video", "--border", "8", "--metrics", "psnr_y", "ssim_y", "ewarp_dis"]
    figures = evaluate(folder / "DUF52L", folder / "GT", tmp_path / "f.json", *options)["mean"]
    assert figures["psnr_y"] == pytest.approx(30.358, abs=1e-3)
    assert figures["ssim_y"] == pytest.approx(0.9044, abs=1e-4)
    assert figures["ewarp_dis"] == pytest.approx(3.58, rel=0.1)
    assert figures["sharpness_ratio"] == pytest.approx(0.748, abs=2e-3)
    sides = [[to_frame(read_image(path)) / 2 + 0.5 for path in list_images(folder / kind)] for kind in ("DUF52L", "GT")]
    published = {"test_y_channel": True, "color_space": "ycbcr", "crop_border": 8, "device": "cpu"}
    for name, metric, tolerance in (("psnr_y", "psnr", 1e-3), ("ssim_y", "ssim", 1e-5)):
        theirs = pyiqa.create_metric(metric, **published)
        rates = [theirs(a[None].clamp(0, 1), b[None].clamp(0, 1)).item() for a, b in zip(*sides, strict=True)]
        assert figures[name] == pytest.approx(sum(rates) / len(rates), abs=tolerance)
