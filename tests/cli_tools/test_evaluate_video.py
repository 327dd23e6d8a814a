import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adc.cli import main
from adc.evaluation.pairs import find_pairs, frames
from adc.metrics.registry import build


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("cache")))


def adc(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    return stop.value.code


def write_clip(folder, seed=0, count=3, noise=0.0):
    """Frames of a picture that slides to the right."""
    folder.mkdir(parents=True)
    wide = np.random.default_rng(0).integers(0, 256, (48 // 4, 96 // 4, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(wide).resize((96, 48), Image.Resampling.BICUBIC)).astype(float)
    generator = np.random.default_rng(seed)
    for t in range(count):
        frame = wide[:, 20 - 2 * t : 84 - 2 * t] + noise * generator.normal(size=(48, 64, 3))
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / f"{t:03d}.png")
    return folder


@pytest.fixture
def clips(tmp_path):
    for name, count in (("a", 3), ("deep/b", 2)):
        write_clip(tmp_path / "reference" / name, count=count)
        write_clip(tmp_path / "restored" / name, seed=1, count=count, noise=12)
    return tmp_path


METRICS = ("psnr_y", "ssim_yiq", "flicker", "ewarp_dis")


def test_folders_of_frames(clips):
    pytest.importorskip("cv2")
    options = ["--video", "--json", clips / "f.json", "--metrics", *METRICS]
    assert adc(clips / "restored", clips / "reference", *options) == 0
    figures = json.loads((clips / "f.json").read_text())
    assert [row["name"] for row in figures["images"]] == ["a", "deep/b"]
    names = ["psnr_y", "ssim_yiq", "flicker", "ewarp_dis", "sharpness", "sharpness_ratio"]
    assert list(figures["mean"]) == list(figures["metrics"]) == names
    assert "DIS" in figures["metrics"]["ewarp_dis"]["title"]
    built, _ = build(names[:-1])
    for row, pair in zip(figures["images"], find_pairs(clips / "restored", clips / "reference", True), strict=True):
        whole = [np_stack(side) for side in zip(*frames(pair, True), strict=True)]
        for name, measure in built.items():
            assert row[name] == pytest.approx(measure(*whole).item(), rel=1e-6), name


def np_stack(side):
    import torch

    return torch.stack(side)[None]


def test_a_metric_of_three_frames(clips, capsys):
    options = ["--video", "--json", clips / "f.json", "--metrics", "unsteadiness", "flicker", "psnr_y"]
    write_clip(clips / "reference/c", count=5)
    write_clip(clips / "restored/c", seed=2, count=5, noise=12)
    assert adc(clips / "restored", clips / "reference", *options) == 3
    assert "deep/b: unsteadiness needs three frames" in capsys.readouterr().err
    rows = {row["name"]: row for row in json.loads((clips / "f.json").read_text())["images"]}
    assert set(rows) == {"a", "c"}
    built, _ = build(["unsteadiness", "flicker"])
    for pair in find_pairs(clips / "restored/c", clips / "reference/c", True):
        whole = [np_stack(side) for side in zip(*frames(pair, True), strict=True)]
        for name, measure in built.items():
            assert rows["c"][name] == pytest.approx(measure(*whole).item(), rel=1e-5), name


def test_a_single_clip_needs_no_common_name(clips, capsys):
    assert adc(clips / "restored/a", clips / "reference/a", "--video", "--metrics", "psnr_y") == 0
    assert "clip" in capsys.readouterr().out


def test_without_the_option_frames_are_images(clips):
    assert adc(clips / "restored", clips / "reference", "--metrics", "psnr_y", "--json", clips / "f.json") == 0
    assert len(json.loads((clips / "f.json").read_text())["images"]) == 5


@pytest.mark.parametrize(
    ("spoil", "status", "message"),
    [
        (lambda root: (root / "restored/a/001.png").unlink(), 3, "no partner called '001' in "),
        (
            lambda root: (root / "reference/deep/b").rename(root / "reference/deep/c"),
            1,
            "no partner called 'deep/b'",
        ),
        (lambda root: (root / "restored/a/001.png").write_bytes(b"x"), 3, "001.png: not an image"),
        (lambda root: [path.unlink() for path in root.glob("re*/deep/b/001.png")], 3, "ewarp_dis needs two frames"),
    ],
)
def test_clips_that_do_not_fit(clips, capsys, spoil, status, message):
    pytest.importorskip("cv2")
    spoil(clips)
    options = ["--video", "--json", clips / "f.json", "--metrics", "ewarp_dis"]
    assert adc(clips / "restored", clips / "reference", *options) == status
    assert message in capsys.readouterr().err
    if status == 3:
        assert len(json.loads((clips / "f.json").read_text())["images"]) == 1


def test_a_clip_and_a_folder_of_clips(clips, capsys):
    assert adc(clips / "restored/a", clips / "reference", "--video") == 2
    assert "give two clips or two folders" in capsys.readouterr().err
    (clips / "empty").mkdir()
    assert adc(clips / "empty", clips / "reference", "--video") == 1
    assert "neither a video" in capsys.readouterr().err


def encode(folder: Path, target: Path, count=None):
    av = pytest.importorskip("av")
    with av.open(str(target), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for path in sorted(folder.iterdir())[:count]:
            frame = av.VideoFrame.from_ndarray(np.asarray(Image.open(path)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_video_file_against_frames(clips):
    """Without loss, so that the figures are those of the frames."""
    (clips / "videos").mkdir()
    encode(clips / "restored/a", clips / "videos/a.mkv")
    (clips / "truth").mkdir()
    (clips / "reference/a").rename(clips / "truth/a")
    options = ["--metrics", "psnr_y", "sharpness", "dover", "--json", clips / "f.json"]
    assert adc(clips / "videos", clips / "truth", *options) == 0
    of_video = json.loads((clips / "f.json").read_text())
    assert adc(clips / "restored/a", clips / "truth/a", "--video", *options) == 0
    of_frames = json.loads((clips / "f.json").read_text())
    assert of_video["mean"] == pytest.approx(of_frames["mean"])
    assert "dover" in of_video["skipped"]


def test_videos_of_different_length(clips, capsys):
    encode(clips / "restored/a", clips / "short.mkv", count=2)
    assert adc(clips / "short.mkv", clips / "reference/a", "--metrics", "psnr_y") == 3
    assert "short.mkv: has 2 frames, fewer than its partner" in capsys.readouterr().err
    (clips / "short.mkv").write_bytes(b"no video")
    assert adc(clips / "short.mkv", clips / "reference/a", "--metrics", "psnr_y") == 3
    assert "short.mkv: not a video, or of an unknown format" in capsys.readouterr().err
