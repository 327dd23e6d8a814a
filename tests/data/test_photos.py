from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import training_clips, training_pairs, validation_clips
from torch.utils.data import Dataset

from adc.data import PairedClips
from adc.data.loader import WorkerTraceback, clip_loader
from adc.data.sampler import PositionSampler
from adc.degradation import BicubicDown, NoDegradation, SecondOrder
from adc.media.images import write_image


def photo(height=40, width=56, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        write_image(tmp_path / "photos" / f"{index}.png", photo(seed=index))
    return str(tmp_path / "photos")


def batches(dataset, count, workers=0, batch_size=2, **sampler):
    return list(islice(clip_loader(dataset, batch_size, workers, PositionSampler(len(dataset), **sampler)), count))


def same(a, b):
    return torch.equal(a["lr"], b["lr"]) and torch.equal(a["hr"], b["hr"]) and a["name"] == b["name"]


def test_items(folder):
    item = training_clips(SecondOrder(), folder, size=32)[0]
    assert item["lr"].shape == (1, 3, 8, 8) and item["hr"].shape == (1, 3, 32, 32) and item["name"] == "0"


def test_crops_come_from_the_photo_and_some_are_mirrored(folder):
    dataset, randint = training_clips(NoDegradation(), folder, size=32), photo(seed=2).transpose(2, 0, 1)
    windows = torch.from_numpy(randint.copy()).unfold(1, 32, 1).unfold(2, 32, 1)
    places = []
    for epoch in range(40):
        crop = ((dataset[(epoch * 5, 2)]["hr"][0] + 1) * 127.5).round().byte()
        for mirrored in (False, True):
            view = crop.flip(-1) if mirrored else crop
            hits = (windows == view[:, None, None]).flatten(3).all(-1).all(0).nonzero().tolist()
            places += [(mirrored, *hit) for hit in hits]
    assert len(places) == 40
    mirrored, tops, lefts = zip(*places, strict=True)
    assert 8 < sum(mirrored) < 32
    assert min(tops) == 0 and max(tops) == 8 and min(lefts) <= 4 and max(lefts) >= 20


def test_draws_depend_on_seed_sample_and_epoch_only(folder):
    def item(seed, position, index):
        return training_clips(SecondOrder(), folder, size=16, seed=seed)[(position, index)]

    assert same(item(0, 5, 3), item(0, 9, 3))
    assert not same(item(0, 5, 3), item(0, 10, 3))
    assert not same(item(0, 5, 3), item(1, 5, 3))
    assert same(item(0, 0, 3), training_clips(SecondOrder(), folder, size=16)[3])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_pictures(folder, workers):
    dataset = training_clips(SecondOrder("real-esrgan"), folder, size=32)
    assert all(map(same, batches(dataset, 8), batches(dataset, 8, workers)))


def test_two_processes_see_the_batches_of_one(folder):
    dataset = training_clips(SecondOrder(), folder, size=16)
    joint = batches(dataset, 6, batch_size=4)
    ranks = [batches(dataset, 6, rank=rank, world=2) for rank in range(2)]
    for step in range(6):
        for key in ("lr", "hr"):
            parts = torch.stack([ranks[0][step][key], ranks[1][step][key]], 1).flatten(0, 1)
            assert torch.equal(parts, joint[step][key])


def test_a_start_shows_what_comes_next(folder):
    dataset = training_clips(SecondOrder(), folder, size=16)
    assert all(map(same, batches(dataset, 4, start=6), batches(dataset, 7)[3:]))


class _Threads(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"threads": torch.get_num_threads()}


def test_workers_have_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert [batch["threads"].item() for batch in clip_loader(_Threads(), workers=2)] == [1, 1, 1, 1]
    finally:
        torch.set_num_threads(threads)


def test_the_cache_keeps_what_fits(folder, monkeypatch):
    import adc.media.video_source as clips

    reads, real = [], clips.read_image
    monkeypatch.setattr(clips, "read_image", lambda path: reads.append(path) or real(path))
    for megabytes, expected in ((64, 5), (0, 15)):
        reads.clear()
        dataset = training_clips(NoDegradation(), folder, size=16, cache=megabytes)
        items = [dataset[(epoch * 5, index)] for epoch in range(3) for index in range(5)]
        assert len(reads) == expected
    assert len(items) == 15


@pytest.mark.parametrize("workers", [0, 1])
def test_a_small_photo_is_named_in_one_line(folder, workers):
    dataset = training_clips(BicubicDown(), folder, size=48)
    with pytest.raises(ValueError) as error:
        batches(dataset, 1, workers)
    assert str(error.value).endswith(
        ".png: 56x40 pixels are smaller than the crop (size: 48). Set size to 40 or less, or small: reflect, or "
        "remove the file."
    )
    assert "\n" not in str(error.value) and isinstance(error.value.__cause__, WorkerTraceback)


def test_a_small_photo_can_be_mirrored(folder):
    hr = training_clips(NoDegradation(), folder, size=120, small="reflect")[0]["hr"][0]
    rows = hr.flip(-1) if not torch.equal(hr[:, :, 0], hr[:, :, 110]) else hr
    assert hr.shape == (3, 120, 120)
    torch.testing.assert_close(rows[:, 39 + 5], rows[:, 39 - 5])
    torch.testing.assert_close(hr[:, 0], hr[:, 78])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_stops_or_is_skipped_by_name(folder, workers):
    Path(folder, "3.png").write_bytes(Path(folder, "3.png").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"3\.png: cannot be read"):
        batches(training_clips(BicubicDown(), folder, size=16), 3, workers)
    dataset = training_clips(BicubicDown(), folder, size=16, broken="skip")
    loader = clip_loader(dataset, 1, workers, PositionSampler(5))
    names = [batch["name"][0] for batch in islice(loader, 10)]
    assert sorted(names) == ["0", "0", "1", "1", "2", "2", "4", "4", "4", "4"]
    assert loader.skipped == {f"{folder}/3.png": "decoding"}


def test_a_folder_of_broken_files_does_not_hang(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no")
    with pytest.raises(ValueError, match="not one of its 2 files gives a clip"):
        training_clips(BicubicDown(), str(tmp_path), size=16, broken="skip")[0]


def test_settings_that_cannot_work_name_their_key(folder):
    with pytest.raises(ValueError, match="size: 30 is not a multiple of the scale 4"):
        training_clips(BicubicDown(), folder, size=30)
    with pytest.raises(ValueError, match="validation_size: 32 is less than 64"):
        validation_clips(BicubicDown(), folder, size=32)


def test_validation_photos_are_cut_in_the_middle(folder):
    dataset = validation_clips(NoDegradation(), folder)
    expected = photo(seed=1)[4:36, 4:52].transpose(2, 0, 1)
    np.testing.assert_array_equal(((dataset[1]["hr"][0] + 1) * 127.5).round().byte().numpy(), expected)
    small = validation_clips(BicubicDown(), folder, size=16, multiple=2, limit=3)
    assert len(small) == 3 and small[2]["hr"].shape == (1, 3, 16, 16) and small[2]["lr"].shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"0\.png: 56x40 pixels are too few .* multiples of 64"):
        validation_clips(BicubicDown(), folder)[0]


def test_validation_photos_are_the_same_every_time(folder):
    dataset = validation_clips(SecondOrder("real-esrgan"), folder, multiple=2)
    for workers in (0, 2):
        assert all(map(same, clip_loader(dataset, workers=workers), clip_loader(dataset)))


def test_the_bundled_photos_are_the_default():
    assert len(training_clips(BicubicDown())) == 11
    validation = validation_clips(BicubicDown())
    assert [validation[index]["name"] for index in range(4)] == ["astronaut", "chelsea", "coffee", "rocket"]
    assert validation[3]["hr"].shape == (1, 3, 384, 640)


@pytest.fixture
def pairs(tmp_path):
    for index in range(3):
        hr = photo(48, 64, index)
        write_image(tmp_path / "hr" / "sub" / f"{index}.png", hr)
        write_image(tmp_path / "lr" / "sub" / f"{index}.bmp", hr[::4, ::4])
    return str(tmp_path / "lr"), str(tmp_path / "hr")


def test_pairs_are_cropped_at_the_same_place(pairs):
    dataset = training_pairs(*pairs, size=32)
    mirrored = 0
    for epoch in range(12):
        item = dataset[(epoch * 3, epoch % 3)]
        assert item["lr"].shape == (1, 3, 8, 8) and item["name"] == f"sub/{epoch % 3}"
        straight = torch.equal(item["hr"][..., ::4, ::4], item["lr"])
        mirrored += not straight
        assert straight or torch.equal(item["hr"][..., ::4, 3::4], item["lr"])
    assert 0 < mirrored < 12


def test_validation_pairs_are_cut_in_the_middle(pairs):
    item = PairedClips(*pairs, 1, *pairs, validation_size=40, multiple=2).validation_set()[1]
    assert item["hr"].shape == (1, 3, 40, 40) and torch.equal(item["hr"][..., ::4, ::4], item["lr"])
    expected = photo(48, 64, 1)[4:44, 12:52].transpose(2, 0, 1)
    np.testing.assert_array_equal(((item["hr"][0] + 1) * 127.5).round().byte().numpy(), expected)


def test_wrong_pairs_are_named(pairs):
    lr, hr = pairs
    with pytest.raises(ValueError, match=r"0\.png: 64x48 pixels are not 2 times the 16x12 of .*0\.bmp"):
        training_pairs(lr, hr, scale=2, size=16)[0]
    with pytest.raises(ValueError, match=r"0\.png: 64x48 pixels are smaller than the crop \(size: 52\)"):
        training_pairs(lr, hr, size=52)[0]
    write_image(f"{lr}/sub/extra.png", photo())
    with pytest.raises(ValueError, match=r"extra\.png: no partner called 'sub/extra' in .*hr\. "):
        training_pairs(lr, hr)
    write_image(f"{lr}/sub/0.png", photo())
    with pytest.raises(ValueError, match=r"has the same name"):
        training_pairs(lr, hr)
