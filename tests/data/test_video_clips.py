import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import HEIGHT, WIDTH, film, frames_of, picture, spoil, turn_left

from adc.data import PairedClips
from adc.data.datasets.clip_maker import ClipSpec
from adc.data.datasets.clips import TrainingClips, ValidationClips
from adc.data.datasets.pairs import PairClips
from adc.data.datasets.stills import Stills
from adc.data.datasets.videos import VideoClips
from adc.degradation import BicubicDown
from adc.media.images import to_bytes, to_frame, write_image
from adc.media.video_color import to_rgb
from adc.media.video_reader import BrokenVideoError, VideoReader
from adc.media.video_seek import VideoFile
from adc.media.video_source import VideoSourceReader, image_sources, list_video_sources, match_sources

pytest.importorskip("av")
FORMATS = [
    ("mp4", "libx264", {"g": 12, "bf": 3}),
    ("mkv", "libx264", {"g": 12, "bf": 3}),
    ("ts", "libx264", {"g": 12, "bf": 3}),
    ("avi", "libx264", {"g": 12, "bf": 2}),
    ("mp4", "libx264", {"x264_params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
    ("mp4", "libx264", {"x264_params": "intra-refresh=1:keyint=12"}),
    ("mp4", "libx265", {"x265_params": "open-gop=1:keyint=12:min-keyint=12:log-level=none"}),
    ("mpg", "mpeg2video", {"g": 12, "bf": 2}),
    ("webm", "libvpx-vp9", {"g": 12, "deadline": "realtime"}),
]


def every(path):
    with VideoReader(path) as reader:
        size = reader.color, reader.width, reader.height, False
        return [to_rgb(frame, *size) for frame in reader.container.decode(reader.stream)]


def videos(folder, frames=4, size=32, **options):
    wanted = ClipSpec(frames, size, 4, **options)
    files = list_video_sources(str(folder))
    return TrainingClips(VideoClips(files, wanted, str(folder), VideoSourceReader()), BicubicDown(), 0)


def equal(first, second):
    return first["name"] == second["name"] and all(
        torch.equal(first[key], second[key]) for key in first if key != "name"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos and two folders of frames."""
    root = tmp_path_factory.mktemp("videos")
    film(root / "a.mp4", [picture(number) for number in range(30)], g=10, bf=2)
    film(root / "deep" / "er" / "b.mkv", [picture(100 + number) for number in range(12)])
    frames_of(root / "frames", [picture(200 + number) for number in range(12)])
    frames_of(root / "deep" / "c", [picture(300 + number) for number in range(9)])
    (root / "deep" / "notes.txt").write_text("no video")
    write_image(root / ".hidden" / "1.png", picture(0))
    return root


@pytest.mark.parametrize(("ending", "codec", "options"), FORMATS)
def test_frames_are_those_of_reading_from_the_beginning(tmp_path, ending, codec, options):
    path = film(tmp_path / f"a.{ending}", [picture(3 * number) for number in range(40)], codec, **options)
    expected, video = every(path), VideoFile(path, "a")
    assert video.index.counted == (ending in ("avi", "mpg"))
    assert len(video) == len(expected) == 40 and (len(video.index.keys) > 2 or video.index.counted)
    for numbers in ([0], [39], [11, 12, 13], range(22, 30), [5, 17, 38], range(40)):
        for number, frame in zip(numbers, video.read(list(numbers)), strict=True):
            assert np.array_equal(frame, expected[number]), number
    assert video.keyframes[0] == 0 and len(video.keyframes) == len(video.index.keys)


@pytest.mark.parametrize(("ending", "codec", "options"), FORMATS)
def test_a_stream_has_as_many_frames_as_its_file(tmp_path, ending, codec, options):
    path = film(tmp_path / f"a.{ending}", [picture(3 * number) for number in range(40)], codec, **options)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert not reader.damage
    for frame, expected in zip(frames, every(path), strict=True):
        assert np.array_equal(to_bytes(frame.pixels), expected)
    starts = [float(frame.start * reader.time_base) for frame in frames]
    assert np.allclose(np.diff(starts), 1 / 25, atol=2e-3)


def test_frames_are_those_of_a_reader_that_turns_them_upright(tmp_path):
    path = turn_left(film(tmp_path / "a.mp4", [picture(3 * number) for number in range(20)], g=8, bf=2))
    with VideoReader(path) as reader:
        expected = [to_bytes(frame.pixels) for frame in reader.frames()]
    assert expected[0].shape == (WIDTH, HEIGHT, 3)
    for numbers in ([17, 19], [0, 3]):
        for number, frame in zip(numbers, VideoFile(path, "a").read(numbers), strict=True):
            assert np.array_equal(frame, expected[number])


def test_decoding_begins_near_what_is_wanted(tmp_path):
    path = film(tmp_path / "a.mp4", [picture(number) for number in range(40)], g=10, bf=2, sc_threshold=0)
    expected = every(path)
    spoil(path, 13)
    video = VideoFile(path, "a")
    for numbers in (range(8), range(20, 28), [39]):
        assert all(np.array_equal(frame, expected[n]) for n, frame in zip(numbers, video.read(numbers), strict=True))
    for numbers in (range(8, 16), [19]):
        with pytest.raises(BrokenVideoError, match=r"a\.mp4: damaged; its frames \d+ to 1[59] cannot"):
            video.read(numbers)


def test_what_is_no_video_or_ends_early_is_named(tmp_path):
    path = film(tmp_path / "a.mp4", [picture(number) for number in range(40)], movflags="faststart")
    randint = film(tmp_path / "b.mkv", [picture(number) for number in range(40)])
    (tmp_path / "c.mp4").write_bytes(b"no video at all")
    for name in ("a.mp4", "c.mp4"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: path.stat().st_size * 3 // 5])
        with pytest.raises(BrokenVideoError, match=rf"^\S+{name}: "):
            len(VideoFile(tmp_path / name, "x"))
    assert len(VideoFile(randint, "b")) == 40
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4: no such file"):
        len(VideoFile(tmp_path / "nowhere.mp4", "x"))


def test_folders_are_searched_for_files_and_folders_of_frames(folder):
    found = list_video_sources(str(folder))
    assert [(item.name, len(item)) for item in found] == [("a", 30), ("deep/c", 9), ("deep/er/b", 12), ("frames", 12)]
    assert [item.name for item in list_video_sources(str(folder / "a.mp4"))] == ["a"]
    frames = found[1].read([1, 8])
    assert np.array_equal(frames[0], picture(301)) and np.array_equal(frames[1], picture(308))
    for place, message in ((folder / ".hidden" / "x", "no such folder"), (folder / "*" / "x.mp4", "neither a video")):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            list_video_sources(str(place))


def test_a_star_names_one_video_in_each_of_many_folders(tmp_path):
    for name in ("one", "two"):
        film(tmp_path / name / "lq.mp4", [picture(0)])
        film(tmp_path / name / "sr.mp4", [picture(0)])
    frames_of(tmp_path / "three" / "lq", [picture(0)])
    assert [item.name for item in list_video_sources(f"{tmp_path}/*/sr.mp4")] == ["one", "two"]
    pairs = match_sources(f"{tmp_path}/*/lq.mp4", f"{tmp_path}/*/sr.mp4", 2)
    assert [(small.path.name, large.name) for small, large in pairs] == [("lq.mp4", "one"), ("lq.mp4", "two")]
    assert [item.name for item in list_video_sources(f"{tmp_path}/*/lq")] == ["three"]
    with pytest.raises(ValueError, match="more than one star"):
        list_video_sources(f"{tmp_path}/*/*.mp4")


def test_a_clip_is_a_window_of_a_video(folder):
    dataset, seen = videos(folder / "frames", frames=3, stride=2), set()
    sources = [to_frame(picture(200 + number)) for number in range(12)]
    for epoch in range(60):
        hr = dataset[epoch * len(dataset), 0]["hr"]
        starts = [
            (start, top, left, flip)
            for start in range(8)
            for flip in (False, True)
            for top, left in _places(sources[start].flip(-1) if flip else sources[start], hr[0])
        ]
        assert len(starts) == 1
        start, top, left, flip = starts[0]
        seen.add(starts[0])
        for number in range(3):
            source = sources[start + 2 * number]
            source = source.flip(-1) if flip else source
            assert torch.equal(hr[number], source[:, top : top + 32, left : left + 32])
    assert {start for start, *_ in seen} == set(range(8))
    assert {flip for *_, flip in seen} == {False, True}


def _places(source, crop):
    """Where a crop lies in a picture."""
    corner = (source[:, : HEIGHT - 31, : WIDTH - 31] == crop[:, :1, :1]).all(0)
    return [
        (top, left)
        for top, left in corner.nonzero().tolist()
        if torch.equal(source[:, top : top + 32, left : left + 32], crop)
    ]


def test_items_are_functions_of_seed_index_and_epoch(folder):
    dataset, again = videos(folder), videos(folder)
    assert len(dataset) == 4
    for index in range(4):
        item = dataset[index]
        assert item["hr"].shape == (4, 3, 32, 32) and item["lr"].shape == (4, 3, 8, 8)
        assert equal(item, again[3, index]) and not torch.equal(item["hr"], dataset[4, index]["hr"])


def test_what_is_kept_changes_nothing(folder):
    plain, kept = videos(folder), videos(folder)
    kept.maker.read = VideoSourceReader(1)
    for position in range(12):
        assert equal(plain[position, position % 4], kept[position, position % 4])
    assert 0 <= kept.maker.read.room < 2**20 and len(kept.maker.read.kept) > 10
    for file in kept.maker.files:
        file.read = None
    randint = videos(folder / "a.mp4", frames=30)
    randint.maker.read = VideoSourceReader(10)
    first = randint[0]
    randint.maker.files[0].read = None
    assert equal(first, randint[0])


def test_a_clip_of_one_frame(folder):
    assert videos(folder, frames=1)[0]["hr"].shape == (1, 3, 32, 32)
    frames_of(folder.parent / "single" / "x", [picture(0)])
    assert videos(folder.parent / "single", frames=1)[0]["hr"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize("lengths", [(6, 7), (3, 10), (10, 3)])
def test_a_window_across_a_cut_is_not_used(tmp_path, lengths):
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)) for _ in range(2)]
    frames_of(tmp_path / "a", [scenes[0]] * lengths[0] + [scenes[1]] * lengths[1])
    kept, refused = videos(tmp_path, shots=False), videos(tmp_path)
    moving = [not torch.equal(kept[epoch, 0]["hr"][0], kept[epoch, 0]["hr"][-1]) for epoch in range(40)]
    assert sum(moving) >= 4
    colors, seen = [to_frame(scene).unique() for scene in scenes], set()
    for epoch in range(40):
        clip = refused[epoch, 0]["hr"]
        assert torch.equal(clip[0], clip[-1])
        seen |= {number for number in range(2) if torch.isin(clip, colors[number]).all()}
    assert refused.skipped == {} and seen == {number for number in range(2) if lengths[number] > 3}


def test_a_video_that_is_all_cuts_gives_its_place_and_is_named(tmp_path):
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)) for _ in range(9)]
    frames_of(tmp_path / "a", [scene for scene in scenes for _ in range(3)])
    with pytest.raises(BrokenVideoError, match="not one of its 1 files gives a clip"):
        videos(tmp_path)[0]
    frames_of(tmp_path / "b", [scenes[0]] * 5)
    dataset = videos(tmp_path)
    assert dataset[0]["name"] == "b"
    assert dataset.skipped == {f"{tmp_path}/a (cuts in all clips that were drawn)": "cuts"}


def test_too_short_too_small_and_of_two_sizes(folder, tmp_path):
    with pytest.raises(
        ValueError, match=r"c: 9 frames are fewer than the 11 that frames: 6 with stride: 2 need\. Lower"
    ):
        videos(folder / "deep" / "c", frames=6, stride=2)[0]
    with pytest.raises(ValueError, match=r"a\.mp4: 96x64 pixels are smaller than the crop .*small: reflect"):
        videos(folder / "a.mp4", size=80)[0]
    large = videos(folder / "a.mp4", size=80, small="reflect")[0]["hr"]
    assert large.shape == (4, 3, 80, 80) and torch.equal(large[:, :, 64:], large[:, :, 47:63].flip(2))
    frames_of(tmp_path / "x", [picture(0), picture(0)[:, :-2], picture(0), picture(0)])
    with pytest.raises(ValueError, match=r"2\.png: 94x64 but 96x64 pixels before"):
        videos(tmp_path)[0]


def test_a_broken_video_stops_or_is_skipped(folder, tmp_path):
    shutil.copy(folder / "a.mp4", tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    with pytest.raises(BrokenVideoError, match=r"^\S+b\.mp4: not a video"):
        videos(tmp_path)[1]
    dataset = videos(tmp_path, broken="skip")
    assert dataset[1]["name"] == "a" and set(dataset.skipped) == {str(tmp_path / "b.mp4")}


def test_stills_are_key_frames_of_the_others_and_leave_the_clip_as_it_is(folder):
    plain, dataset = videos(folder), videos(folder)
    dataset.stills = Stills(dataset.maker.files, dataset.maker.spec, dataset.maker.read)
    item = dataset[0]
    assert item["stills"].shape == item["hr"].shape and torch.equal(
        item["stills"], videos_with_stills(folder)[0]["stills"]
    )
    assert equal({key: value for key, value in item.items() if key != "stills"}, plain[0])
    assert len({frame.sum().item() for frame in item["stills"]}) == 4
    dataset.stills.sources[0].read = None
    for epoch in range(8):
        dataset.stills.draw(3, torch.Generator().manual_seed(epoch), own=0)
    with pytest.raises(TypeError):
        dataset.stills.draw(4, torch.Generator())


def videos_with_stills(folder):
    dataset = videos(folder)
    dataset.stills = Stills(dataset.maker.files, dataset.maker.spec)
    return dataset


def test_broken_stills_stop_or_are_skipped(tmp_path):
    write_image(tmp_path / "a.png", picture(0))
    (tmp_path / "b.png").write_text("")
    files = image_sources([tmp_path / "a.png", tmp_path / "b.png"])
    spec = ClipSpec(1, 32, 4)
    stills = Stills(files, replace(spec, broken="skip"))
    assert stills.draw(5, torch.Generator()).shape == (5, 3, 32, 32) and set(stills.skipped) == {str(files[1].path)}
    with pytest.raises(ValueError, match=r"b\.png: not an image"):
        Stills(files, spec).draw(2, torch.Generator())
    with pytest.raises(ValueError, match="none of the 1 files"):
        Stills(files[1:], replace(spec, broken="skip")).draw(2, torch.Generator())
    with pytest.raises(ValueError, match=r"a\.png: 96x64 pixels are smaller"):
        Stills(files[:1], replace(spec, size=80)).draw(1, torch.Generator())


def test_validation_takes_the_middle_of_the_first_frames(folder):
    files = list_video_sources(str(folder / "frames"))
    maker = VideoClips(files, ClipSpec(3, 40, 4, 16, stride=2), str(folder), VideoSourceReader())
    item = ValidationClips(maker, BicubicDown())[0]
    expected = torch.stack([to_frame(picture(200 + number)) for number in (0, 2, 4)])
    assert torch.equal(item["hr"], expected[:, :, 16:48, 32:64]) and item["lr"].shape == (3, 3, 8, 8)
    assert len(ValidationClips(maker, BicubicDown(), limit=0)) == 0


@pytest.fixture
def pairs(tmp_path):
    """Large frames are small ones, each pixel four by four times: every crop tells its place."""
    rng = np.random.default_rng(0)
    for name in "ab":
        small = [rng.integers(0, 256, (16, 24, 3), dtype=np.uint8) for _ in range(6)]
        frames_of(tmp_path / "lr" / name, small)
        large = [np.kron(frame, np.ones((4, 4, 1), np.uint8)) for frame in small]
        film(tmp_path / "hr" / f"{name}.mkv", large, "ffv1", "bgr0")
    return tmp_path


def paired(root, frames=3, size=32, **options):
    matched = match_sources(str(root / "lr"), str(root / "hr"), frames)
    maker = PairClips(matched, ClipSpec(frames, size, 4, shots=False, **options), str(root / "hr"), VideoSourceReader())
    return TrainingClips(maker, None)


def test_pairs_are_cut_at_one_place_and_time(pairs):
    dataset = paired(pairs)
    items = [dataset[position, position % 2] for position in range(20)]
    for item in items:
        assert item["lr"].shape == (3, 3, 8, 8) and item["hr"].shape == (3, 3, 32, 32)
        enlarged = item["lr"].repeat_interleave(4, 2).repeat_interleave(4, 3)
        assert torch.allclose(item["hr"], enlarged, atol=1e-6)
    assert len({item["lr"].sum().item() for item in items}) == 20
    maker = PairClips(dataset.maker.files, ClipSpec(2, None, 4, 32), None, VideoSourceReader())
    first = ValidationClips(maker, None)[1]
    assert first["name"] == "b" and first["hr"].shape == (2, 3, 64, 96) and first["lr"].shape == (2, 3, 16, 24)


@pytest.mark.parametrize("size", [72, 200])
def test_pairs_smaller_than_the_crop_can_be_mirrored(pairs, size):
    dataset = paired(pairs, size=size, small="reflect")
    for position in range(4):
        item = dataset[position, position % 2]
        assert item["lr"].shape == (3, 3, size // 4, size // 4) and item["hr"].shape == (3, 3, size, size)
        enlarged = item["lr"].repeat_interleave(4, 2).repeat_interleave(4, 3)
        assert torch.allclose(item["hr"], enlarged, atol=1e-6)  # both are mirrored at one line


def test_all_data_modules_of_files_can_mirror():
    data = PairedClips("lr", "hr", 1, small="reflect")
    assert data.spec.small == "reflect"


def test_pairs_that_do_not_fit_are_named(pairs):
    with pytest.raises(ValueError, match=r"a\.mkv: 96x64 pixels are smaller than the crop"):
        paired(pairs, size=72)[0]
    Path(pairs / "lr" / "a" / "6.png").unlink()
    with pytest.raises(ValueError, match=r"a\.mkv: 6 frames, but 5 in \S+lr/a"):
        paired(pairs)[0]
    frames_of(pairs / "lr" / "b", [picture(0)] * 6)
    with pytest.raises(ValueError, match=r"b\.mkv: 96x64 pixels are not 4 times the 96x64"):
        paired(pairs)[1]
    (pairs / "hr" / "b.mkv").unlink()
    with pytest.raises(ValueError, match=r"lr/b: no partner called 'b' in \S+hr\. Add or remove it"):
        paired(pairs)
