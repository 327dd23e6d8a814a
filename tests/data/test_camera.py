import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import picture

from adc.data.datasets.camera import Camera, CameraPath, glide, shoot
from adc.media.images import read_image, to_frame, write_image
from adc.media.video_source import list_video_sources
from adc.ops.clip import quantize

TOOLS = Path(__file__).parents[2] / "tools"


def photo(height=96, width=128, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw(seed, picture=None, frames=6, size=(32, 32), front=None, **options):
    picture = photo() if picture is None else picture
    return Camera(**options).clip(picture, frames, size, torch.Generator().manual_seed(seed), front)


def corners(path, size):
    """x and y of the outermost pixels' centres of every frame, in the photo."""
    for center, zoom, angle in zip(path.center, path.zoom, path.angle, strict=True):
        for across in (-1, 1):
            for down in (-1, 1):
                x, y = across * (size[1] - 1) / 2 * zoom, down * (size[0] - 1) / 2 * zoom
                yield (
                    (center[0] + x * math.cos(angle) - y * math.sin(angle)).item(),
                    (center[1] + x * math.sin(angle) + y * math.cos(angle)).item(),
                )


def test_a_pan_by_whole_pixels_shifts_the_picture():
    pixels, still = to_frame(photo()), torch.zeros(4, dtype=torch.float64)
    center = torch.tensor([[31.5 + 5 * t, 31.5 + 3 * t] for t in range(4)], dtype=torch.float64)
    clip = shoot(pixels, CameraPath(center, still + 1, still), (32, 40))
    for t in range(4):
        expected = pixels[:, 16 + 3 * t : 48 + 3 * t, 12 + 5 * t : 52 + 5 * t]
        assert torch.allclose(clip[t], expected, atol=2e-3)
    assert torch.equal(quantize(clip)[1, :, 3:, 5:], quantize(clip)[2, :, :-3, :-5])


def test_half_a_pixel_lies_between():
    ramp = torch.arange(40.0).expand(1, 40, 40) / 40
    still = torch.zeros(1, dtype=torch.float64)
    path = CameraPath(torch.tensor([[20.0, 19.5]], dtype=torch.float64), still + 1, still)
    assert torch.allclose(shoot(ramp, path, (8, 8))[0, 0, 0], (torch.arange(8) + 16.5) / 40, atol=1e-5)


def test_a_quarter_turn_turns_the_picture():
    pixels, still = to_frame(photo(32, 32)), torch.zeros(1, dtype=torch.float64)
    path = CameraPath(torch.tensor([[15.5, 15.5]], dtype=torch.float64), still + 1, still + math.pi / 2)
    assert torch.allclose(shoot(pixels, path, (32, 32))[0], pixels.rot90(1, (1, 2)), atol=2e-3)


def test_a_reduced_picture_is_antialiased():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    still = torch.zeros(2, dtype=torch.float64)
    center = torch.tensor([[31.5, 31.5], [31.9, 31.2]], dtype=torch.float64)
    assert shoot(board[None], CameraPath(center, still + 2, still), (16, 16)).abs().max() < 0.2
    assert shoot(board[None], CameraPath(center, still + 1, still), (16, 16))[0].abs().min() > 0.9


def test_a_way_is_smooth_from_its_first_point_to_its_last():
    way = glide(torch.tensor([0.0, 2.0, 10.0]), 101)
    assert way[0] == 0 and way[-1] == 10 and way[50] == pytest.approx(3.5)
    assert (way.diff().diff() - way.diff().diff().mean()).abs().max() < 1e-9
    assert glide(torch.tensor([3.0, 4.0, 5.0]), 1).tolist() == [3.0]


@pytest.mark.parametrize("size", [(32, 32), (48, 80), (80, 32)])
def test_all_that_is_seen_lies_inside_of_the_photo(size):
    camera, steepest, widest = Camera(speed=30, zoom=3, turn=30), 0.0, 0.0
    for seed in range(60):
        path = camera.path((96, 128), 5, size, torch.Generator().manual_seed(seed))
        for x, y in corners(path, size):
            assert -1e-6 <= x <= 127 + 1e-6 and -1e-6 <= y <= 95 + 1e-6
        steepest, widest = max(steepest, path.angle.abs().max().item()), max(widest, path.zoom.max().item())
    assert steepest > 0.05 and widest > 1.1


def test_the_speed_is_limited_in_pixels_of_the_frame():
    camera, corner = Camera(speed=1, zoom=2, turn=20), math.hypot(16, 16)
    fastest = torch.zeros(3)
    for seed in range(60):
        path = camera.path((600, 600), 8, (32, 32), torch.Generator().manual_seed(seed))
        zoom = torch.minimum(path.zoom[1:], path.zoom[:-1])
        pan = path.center.diff(dim=0).norm(dim=1) / zoom
        moved = torch.stack([pan, corner * path.zoom.diff().abs() / zoom, corner * path.angle.diff().abs()])
        assert moved.max() <= 1 + 1e-9
        fastest = torch.maximum(fastest, moved.amax(dim=1))
    assert fastest.min() > 0.5


def test_a_photo_as_large_as_the_frame_stands_still():
    clip = draw(0, photo(32, 32))
    assert torch.equal(clip, quantize(to_frame(photo(32, 32))).expand(6, -1, -1, -1))


def test_clips_are_a_function_of_the_generator_alone():
    first, other = draw(0, front=photo(seed=1)), draw(1, front=photo(seed=1))
    assert first.shape == (6, 3, 32, 32) and torch.equal(first, quantize(first))
    assert not torch.equal(first, other) and not torch.equal(first[0], first[-1])
    threads = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            assert torch.equal(draw(0, front=photo(seed=1)), first)
    finally:
        torch.set_num_threads(threads)


def test_something_moves_in_front():
    black, white = np.zeros((96, 128, 3), np.uint8), np.full((96, 128, 3), 255, np.uint8)
    moved = 0
    for seed in range(8):
        covered = draw(seed, black, front=white, speed=8)[:, 0] > 0
        assert 0 < covered.float().mean() < 0.5
        moved += (covered[0] != covered[-1]).any().item()
    assert moved >= 6
    assert (draw(0, black) == -1).all()


def test_one_frame_is_a_clip():
    assert draw(0, frames=1, front=photo(seed=1)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": -1}, "speed: -1"),
        ({"zoom": 0.5}, "zoom: 0.5"),
        ({"turn": 90}, "turn: 90"),
        ({"foreground": 2}, "foreground: 2"),
    ],
)
def test_what_is_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=f"^{message} "):
        Camera(**options)


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs the tool: its status, what it wrote to the one and to the other stream."""
    spec = importlib.util.spec_from_file_location("make_clips", TOOLS / "make_clips.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_clips", module)
    spec.loader.exec_module(module)
    return lambda *arguments: (module.main([str(argument) for argument in arguments]), *capsys.readouterr())


def test_the_tool_writes_videos_and_folders_of_frames(tmp_path, tool):
    pytest.importorskip("av")
    for index in range(2):
        write_image(tmp_path / "photos" / "deep" / f"{index}.png", picture(20 * index, 128, 96))
    write_image(tmp_path / "photos" / "tiny.png", photo(16, 16))
    options = ("--frames", 3, "--height", 32, "--width", 48, "--seed", 1)
    status, out, err = tool(tmp_path / "photos", tmp_path / "a", *options, "--as", "frames", "--each", 2)
    assert status == 0 and "4 clips are in" in out
    assert "1 photos are smaller than the frame" in err and "tiny.png (16x16)" in err
    found = list_video_sources(str(tmp_path / "a"))
    assert [(item.name, len(item)) for item in found] == [(f"deep/{name}", 3) for name in ("0_0", "0_1", "1_0", "1_1")]
    assert read_image(tmp_path / "a" / "deep" / "0_0" / "000001.png").shape == (32, 48, 3)
    assert tool(tmp_path / "photos", tmp_path / "b", *options, "--as", ".mkv")[0] == 0
    for video, frames in zip(list_video_sources(str(tmp_path / "b")), found[::2], strict=True):
        ours, theirs = video.read(range(3)), frames.read(range(3))
        assert np.abs(np.stack(ours).astype(int) - np.stack(theirs)).mean() < 6
    written = {path: path.stat().st_mtime_ns for place in "ab" for path in (tmp_path / place).rglob("*")}
    assert len(written) == 1 + 4 + 4 * 3 + 1 + 2
    tool(tmp_path / "photos", tmp_path / "b", *options, "--as", ".mkv")
    assert all(path.stat().st_mtime_ns == time for path, time in written.items()), "what is there is not made again"


def test_the_tool_tells_in_one_line_what_is_wrong(tmp_path, tool):
    write_image(tmp_path / "a.png", photo())
    for options, message in (
        (("--frames", 0), "frames: 0 is less than 1."),
        (("--as", ".xyz"), "as: '.xyz' is neither"),
        (("--height", 31), "height, width: 31, 512; of videos they are even."),
        (("--height", 512), "no photo is as large as 512x512"),
        (("--zoom", 0.1), "zoom: 0.1"),
    ):
        status, _, err = tool(tmp_path, tmp_path / "out", *options)
        assert status == 1 and err.startswith("make_clips: error: ") and message in err and err.count("\n") == 1
