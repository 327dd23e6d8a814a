"""Photos in tar files, captions beside them, and degradation on the device."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import training_clips, validation_clips

from adc.data.datasets.augment import Augmentation
from adc.data.datasets.clips import DRAWS, degraded
from adc.data.loader import clip_loader
from adc.data.modules.clips import DegradedClips
from adc.degradation import BicubicDown, NoDegradation, SecondOrder
from adc.media.images import caption_of, list_photos, read_image, write_image

TOOLS = Path(__file__).parents[2] / "tools"


def photo(height=48, width=56, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        path = tmp_path / "photos" / ("deep" if index > 2 else "") / f"{index}.png"
        write_image(path, photo(seed=index))
        path.with_suffix(".txt").write_text(f"photo number {index}\n")
    return tmp_path / "photos"


@pytest.fixture
def shards(folder, tmp_path):
    out = tmp_path / "shards"
    command = [sys.executable, str(TOOLS / "make_shards.py"), str(folder), str(out), "--photos", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "holds shards already" in again.stderr
    return out


def test_shards_hold_what_the_folder_holds(folder, shards):
    assert [path.name for path in sorted(shards.iterdir())] == ["00000.tar", "00001.tar", "00002.tar"]
    plain, packed = list_photos(folder), list_photos(shards)
    assert len(packed) == 5
    for a, b in zip(plain, packed, strict=True):
        assert np.array_equal(read_image(a), read_image(b)) and caption_of(a) == caption_of(b)
    for key in ((0, 3), (7, 1), (12, 4)):
        items = [training_clips(SecondOrder(), str(home), size=32, captions=True)[key] for home in (folder, shards)]
        assert torch.equal(items[0]["lr"], items[1]["lr"]) and torch.equal(items[0]["hr"], items[1]["hr"])
        assert items[0]["name"] == items[1]["name"] and items[0]["text"] == items[1]["text"] == f"photo number {key[1]}"
    assert validation_clips(BicubicDown(), str(shards), multiple=4, captions=True)[1]["text"] == "photo number 1"


def test_one_shard_stands_for_itself(shards):
    assert [str(path) for path in list_photos(shards / "00002.tar")] == [f"{shards}/00002.tar:deep/4.png"]


def test_a_truncated_photo_in_a_shard_is_skipped_once_and_named(tmp_path, folder):
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:300])
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in sorted(folder.glob("*.png")):
            archive.add(path, path.name)
    clips = training_clips(NoDegradation(), str(tmp_path / "a.tar"), size=32, broken="skip")
    assert clips[1]["name"] == "2" and clips[1]["name"] == "2"
    assert clips.skipped == {f"{tmp_path}/a.tar:1.png": "decoding"}
    with pytest.raises(ValueError, match=r"a\.tar:1\.png: cannot be read as an image"):
        training_clips(NoDegradation(), str(tmp_path / "a.tar"), size=32)[1]


def test_a_photo_that_vanished_is_skipped(folder):
    clips, strict = (training_clips(NoDegradation(), str(folder), size=32, broken=how) for how in ("skip", "error"))
    (folder / "1.png").unlink()
    assert clips[1]["name"] == "2"
    assert clips.skipped == {str(folder / "1.png"): "vanished"}
    with pytest.raises(FileNotFoundError, match=r"1\.png: no such file"):
        strict[1]


def test_what_is_no_tar_file_is_named(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(ValueError, match=r"a\.tar: cannot be read as an uncompressed tar file"):
        list_photos(tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(ValueError, match="no image in this folder"):
        list_photos(tmp_path)


def test_a_missing_caption_is_named(folder):
    (folder / "0.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"0\.png: no caption beside it; add a file that ends in \.txt"):
        training_clips(NoDegradation(), str(folder), size=32, captions=True)[0]


@pytest.mark.parametrize(
    "degradation", [SecondOrder("real-esrgan"), BicubicDown(noise_sigma=(5, 9))], ids=["two", "one"]
)
def test_the_device_makes_what_the_workers_make(folder, degradation):
    here = training_clips(degradation, str(folder), size=32)
    later = training_clips(degradation, str(folder), size=32, degrade="device")
    expected = next(iter(clip_loader(here, 3)))
    batch = next(iter(clip_loader(later, 3)))
    assert "lr" not in batch
    with torch.autocast("cpu", torch.bfloat16):
        made = degraded(batch, degradation)
    assert torch.equal(made["lr"], expected["lr"]) and torch.equal(made["hr"], expected["hr"])
    assert DRAWS not in made
    data = DegradedClips(degradation, 3, str(folder), size=32, degrade="device")
    assert torch.equal(data.on_after_batch_transfer(batch, 0)["lr"], expected["lr"])
    assert data.on_after_batch_transfer(expected, 0) is expected


def test_augmented_crops_are_drawn_from_the_clip_alone(folder):
    augment = Augmentation(reduce=0.7, turn=True, colors=True, blend=0.5)
    first, second = (training_clips(NoDegradation(), str(folder), size=32, augment=augment) for _ in range(2))
    keys = [(position, position % 5) for position in range(20)]
    for key in keys:
        item = first[key]
        assert item["hr"].shape == (1, 3, 32, 32) and item["hr"].abs().max() <= 1
        assert torch.equal(item["hr"], second[key]["hr"])
    assert len({first[key]["hr"].sum().item() for key in keys}) == 20


def test_each_kind_of_augmentation(folder):
    gray = np.repeat(photo(40, 40)[..., :1], 3, axis=2)
    for index in range(2):
        write_image(folder.parent / "gray" / f"{index}.png", np.roll(gray, index, axis=0))
    blended = training_clips(NoDegradation(), str(folder.parent / "gray"), size=32, augment=Augmentation(blend=1.0))
    assert max((blended[0, i]["hr"][0, 0] - blended[0, i]["hr"][0, 1]).abs().max() for i in range(2)) > 0.1
    plain = training_clips(NoDegradation(), str(folder), size=32)[2]["hr"]
    generator = torch.Generator().manual_seed(0)
    crop = ((plain[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    colors = Augmentation(colors=True).change([crop], 32, generator)[0]
    assert sorted(colors.sum((0, 1))) == sorted(crop.sum((0, 1)))
    turned = [Augmentation(turn=True).change([crop], 32, generator)[0] for _ in range(8)]
    assert any(np.array_equal(np.rot90(crop), made) for made in turned)
    assert Augmentation(reduce=0.5).side(32, 40, generator) <= 40
    assert Augmentation().side(32, 40, generator) == 32
    for wrong in ({"reduce": 0.0}, {"blend": 2.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Augmentation(**wrong)
