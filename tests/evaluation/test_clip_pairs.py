"""Clips in evaluation: whatever holds them, their figures are the same; what is left out is told."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from filming import film, frames_of, picture, spoil, turn_left
from PIL import Image

import adc
from adc.evaluation.shots import shot_starts
from adc.media.images import to_frame
from adc.ops.shots import cuts

av = pytest.importorskip("av")
COUNT = 12
METRICS = ["psnr_rgb", "ssim_y", "flicker", "unsteadiness", "sharpness"]
LOSSLESS = {
    "mp4": ("libx264rgb", "rgb24", {"qp": 0}),
    "mkv": ("ffv1", "bgr0", {}),
    "ts": ("libx264", "yuv444p", {"qp": 0}),
}


@pytest.fixture(autouse=True)
def with_video(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))


def pictures(noise=0):
    draw = np.random.default_rng(noise)
    moving = [picture(9 * number).astype(float) for number in range(COUNT)]
    return [(one + noise * draw.normal(size=one.shape)).clip(0, 255).astype(np.uint8) for one in moving]


def held(path, kind, images):
    """The pictures as a clip: lossless but for .ts, whose colours are YUV."""
    if kind == "folder":
        return frames_of(path, images)
    codec, layout, options = LOSSLESS[kind]
    return film(path.with_suffix(f".{kind}"), images, codec, layout, **options)


def figures(restored, reference, **options):
    return adc.evaluate(restored, reference, METRICS, video=True, device="cpu", **options)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "folder"])
@pytest.mark.parametrize("other", ["mp4", "mkv", "folder"])
def test_whatever_holds_a_clip(tmp_path, kind, other):
    """Frames are called 1.png ... 12.png, so that their order is that of numbers."""
    found = figures(held(tmp_path / "a", kind, pictures(6)), held(tmp_path / "b", other, pictures()))["mean"]
    plain = figures(held(tmp_path / "c", "folder", pictures(6)), held(tmp_path / "d", "folder", pictures()))["mean"]
    assert found == pytest.approx(plain, abs=1e-3, rel=1e-4)
    mean = np.mean(
        [
            10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))
            for a, b in zip(pictures(6), pictures(), strict=True)
        ]
    )
    assert found["psnr_rgb"] == pytest.approx(mean, abs=1e-3)


def test_more_than_eight_bits_are_rounded_as_those_of_images(tmp_path):
    av = pytest.importorskip("av")
    draw = np.random.default_rng(0)
    with av.open(str(tmp_path / "deep.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = picture(0).shape[:2]
        stream.pix_fmt = "gbrp16le"
        for one in pictures(6):
            finer = one.astype(np.int32) * 257 + draw.integers(-100, 101, one.shape)
            frame = av.VideoFrame.from_ndarray(finer.clip(0, 65535).astype(np.uint16), format="rgb48le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reference = held(tmp_path / "b", "folder", pictures())
    deep, plain = (figures(one, reference) for one in (tmp_path / "deep.mkv", frames_of(tmp_path / "c", pictures(6))))
    assert deep["mean"] == pytest.approx(plain["mean"], abs=1e-4, rel=1e-6)


def test_a_rotation_of_the_file_is_applied(tmp_path):
    for name, noise in (("restored", 6), ("reference", 0)):
        turn_left(held(tmp_path / name / "a", "mp4", pictures(noise)))
        held(tmp_path / f"upright-{name}" / "a", "folder", [np.rot90(one) for one in pictures(noise)])
    upright = figures(tmp_path / "upright-restored", tmp_path / "upright-reference")["mean"]
    for restored in ("restored", "upright-restored"):
        for reference in ("reference", "upright-reference"):
            assert figures(tmp_path / restored, tmp_path / reference)["mean"] == pytest.approx(upright, abs=1e-3), (
                restored
            )


def test_every_ending_is_known_and_the_rest_is_told(tmp_path, capsys):
    for folder in ("ours", "theirs"):
        held(tmp_path / folder / "y", "ts", pictures())
        held(tmp_path / folder / "x", "mkv", pictures())
        frames_of(tmp_path / folder, pictures()[:1])  # beside the videos
        (tmp_path / folder / "notes.txt").write_text("x")
    with pytest.warns(UserWarning, match=r"ours: .*ours: 2 other files left out \(\.png, \.txt\)"):
        found = figures(tmp_path / "ours", tmp_path / "theirs")
    assert [row["name"] for row in found["images"]] == ["x.mkv", "y.ts"]
    assert len(found["notes"]) == 2
    with pytest.warns(UserWarning, match=r"3 other files left out \(\.mkv, \.ts, \.txt\)"):
        found = adc.evaluate(tmp_path / "ours", tmp_path / "theirs", ["psnr_y"], device="cpu")
    assert [row["name"] for row in found["images"]] == ["1.png"]


def test_text_that_is_not_utf_8(tmp_path):
    path = held(tmp_path / "a", "mp4", pictures())
    av = pytest.importorskip("av")
    titled = tmp_path / "titled.mp4"
    with av.open(str(path)) as source, av.open(str(titled), "w") as target:
        target.metadata["title"] = "cafe!"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    titled.write_bytes(titled.read_bytes().replace(b"cafe!", b"caf\xe9!"))
    assert figures(titled, path)["mean"]["psnr_rgb"] == 80


@pytest.mark.parametrize("harm", ["spoilt", "cut"])
def test_damage_fails_and_stands_in_the_notes(tmp_path, capsys, harm):
    from adc.cli import main

    for folder in ("ours", "theirs"):
        for name in "ab":
            held(tmp_path / folder / name, "mkv", pictures())
    path = tmp_path / "ours/a.mkv"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        spoil(path, 5)
    files = ["--json", str(tmp_path / "f.json"), "--markdown", str(tmp_path / "f.md")]
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(tmp_path / "ours"), str(tmp_path / "theirs"), "--metrics", "psnr_y", *files])
    assert stop.value.code == 3
    found = json.loads((tmp_path / "f.json").read_text())
    (line,) = found["notes"]
    assert line.startswith(f"error: {path}: {'damaged (' if harm == 'spoilt' else ''}") and [
        row["name"] for row in found["images"]
    ] == ["b.mkv"]
    assert f"- note: {line}" in (tmp_path / "f.md").read_text()
    assert capsys.readouterr().err.count(line) == 1


@pytest.mark.parametrize("clip", [False, True])
def test_damaged_codes_of_a_jpeg_are_noted(tmp_path, clip):
    """Pillow reads it without a word."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (18, 20, 3), dtype=np.uint8))
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            coarse.resize((300, 200), Image.Resampling.BICUBIC).save(tmp_path / folder / f"{number}.jpg", quality=90)
    path = tmp_path / "ours/1.jpg"
    whole, place = path.read_bytes(), path.stat().st_size * 2 // 3
    path.write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
    with pytest.warns(UserWarning, match="the result: damaged; parts of it may be wrong"):
        found = adc.evaluate(tmp_path / "ours", tmp_path / "theirs", ["psnr_y"], video=clip, device="cpu")
    assert found["notes"] == [f"{'theirs' if clip else '1.jpg'}: the result: damaged; parts of it may be wrong"]


def test_flat_frames_are_left_out_of_the_sharpness_ratio(tmp_path):
    black = np.zeros_like(picture(0))
    names = ["psnr_y", "flicker", "sharpness_ratio"]
    for folder, noise in (("ours", 6), ("theirs", 0)):
        frames_of(tmp_path / folder / "whole", pictures(noise))
        frames_of(tmp_path / folder / "fades", [black, *pictures(noise)])
        frames_of(tmp_path / folder / "black", [black, black])
    with pytest.warns(UserWarning, match=r"fades: sharpness_ratio has no value on 1 of 13 frames"):
        found = adc.evaluate(tmp_path / "ours", tmp_path / "theirs", names, video=True, device="cpu")
    rows = {row["name"]: row for row in found["images"]}
    assert rows["fades"]["sharpness_ratio"] == pytest.approx(rows["whole"]["sharpness_ratio"])
    assert rows["black"] == {"name": "black", "psnr_y": 80, "flicker": 0}
    assert found["failed"] == 0 and found["mean"]["sharpness_ratio"] == pytest.approx(rows["whole"]["sharpness_ratio"])
    assert "black: sharpness_ratio has no value on 2 of 2 frames; they are left out" in found["notes"]


def two_shots():
    """Six still frames of one scene and six of another."""
    one, other = picture(0), np.rot90(picture(40), 2) // 3
    return [one] * 6 + [other] * 6


def test_pairs_across_a_cut_are_left_out(tmp_path):
    pytest.importorskip("cv2")
    names = ["psnr_y", "flicker", "unsteadiness", "ewarp_dis"]
    film_of = frames_of(tmp_path / "a", two_shots())
    with pytest.warns(UserWarning, match="1 cut; frames on both sides of a cut are left out of flicker, unsteadiness"):
        found = adc.evaluate(film_of, film_of, names, video=True, device="cpu")
    assert (found["mean"]["unsteadiness"], found["mean"]["ewarp_dis"]) == (0, pytest.approx(0, abs=1e-6))
    assert len(found["notes"]) == 1
    brighter = frames_of(
        tmp_path / "b",
        [np.clip(one.astype(int) + 20 * (n > 5), 0, 255).astype(np.uint8) for n, one in enumerate(two_shots())],
    )
    with pytest.warns(UserWarning):
        found = adc.evaluate(brighter, film_of, ["flicker"], video=True, device="cpu")
    assert found["mean"]["flicker"] == 0  # what changes at the cut only


@pytest.mark.parametrize("at", [1, 2, 3, 6, 10, 11])
def test_cuts_in_a_stream_are_those_of_the_whole(at):
    scenes = [to_frame(picture(9 * n)) if n < at else to_frame(np.rot90(picture(n), 2) // 3) for n in range(COUNT)]
    expected = [False, *cuts(torch.stack(scenes)).tolist()]
    assert expected.count(True) == 1
    found = list(shot_starts((one, one) for one in scenes))
    assert [is_start for _, is_start in found] == expected
    assert all(torch.equal(two[0], scene) for (two, _), scene in zip(found, scenes, strict=True))
    for count in (0, 1, 2):
        assert len(list(shot_starts((one, one) for one in scenes[:count]))) == count


def test_frames_of_other_names_are_paired_by_their_order(tmp_path):
    one = held(tmp_path / "ours", "folder", pictures(6))
    for number, path in enumerate(sorted(one.iterdir(), key=lambda path: int(path.stem))):
        path.rename(one / f"result {number + 7:08d}.png")
    other = held(tmp_path / "theirs", "folder", pictures())
    with pytest.warns(UserWarning, match="frames have no name in common and were paired by their order"):
        assert figures(one, other)["mean"]["psnr_rgb"] > 30
    next(one.iterdir()).unlink()
    with pytest.raises(ValueError, match="none of 1 could be compared"), pytest.warns(UserWarning, match="no partner"):
        figures(one, other)


@pytest.mark.parametrize("clip", [False, True])
def test_a_reference_is_cropped_as_papers_do_and_it_is_told(tmp_path, clip):
    draw = np.random.default_rng(0)
    large = draw.integers(0, 256, (43, 46, 3), dtype=np.uint8)
    for folder, pixels in (("ours", large[:40, :44]), ("theirs", large)):
        for name in ("a", "b"):
            frames_of(tmp_path / folder / name, [pixels])
    with pytest.warns(UserWarning, match="and 1 more: the reference was cropped at the right and bottom"):
        found = adc.evaluate(tmp_path / "ours", tmp_path / "theirs", ["psnr_rgb"], video=clip, device="cpu")
    assert found["mean"]["psnr_rgb"] == 80 and len(found["notes"]) == 1


@pytest.mark.parametrize("size", [(40, 43), (41, 44), (20, 22), (44, 48)])
def test_other_sizes_are_refused(tmp_path, size):
    draw = np.random.default_rng(0)
    one, other = (
        frames_of(tmp_path / name, [draw.integers(0, 256, (*hw, 3), dtype=np.uint8)]) / "1.png"
        for name, hw in (("a", size), ("b", (43, 46)))
    )
    with pytest.raises(ValueError), pytest.warns(UserWarning, match=f"{size[1]}x{size[0]} pixels, but"):
        adc.evaluate(one, other, ["psnr_rgb"], device="cpu")


@pytest.mark.parametrize("kinds", [("folder", "folder"), ("folder", "mkv"), ("mp4", "folder")])
def test_a_gap_in_the_numbers_of_frames_is_noted(tmp_path, kinds):
    one, other = (held(tmp_path / name, kind, pictures()) for name, kind in zip("ab", kinds, strict=True))
    for folder in (path for path in (one, other) if path.is_dir()):
        (folder / "12.png").rename(folder / "14.png")
    notes = [str(line) for line in figures(one, other)["notes"]]
    gap = "there is no frame between 11 and 14; those around a gap follow each other"
    assert sum(gap in line for line in notes) == 1


@pytest.mark.parametrize(("rate", "noted"), [(30, "30 and 25 frames per second"), (25, None), ("24975/1000", None)])
def test_files_that_are_not_equally_fast_are_noted(tmp_path, rate, noted):
    reference = held(tmp_path / "b", "mkv", pictures())
    result = tmp_path / "a.mkv"
    with av.open(str(result), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate))
        stream.height, stream.width, stream.pix_fmt = *pictures()[0].shape[:2], "bgr0"
        for number, pixels in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = figures(result, reference)
    assert found["mean"]["psnr_rgb"] == 80
    notes = [str(line) for line in found["notes"]]
    assert noted is None or any(noted in line for line in notes)
    assert sum("per second" in line for line in notes) == (noted is not None)
